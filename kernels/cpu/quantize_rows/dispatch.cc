#include <cmath>

#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kMostRows = int64_t{1} << 31;
constexpr int64_t kMostColumns = int64_t{1} << 24;  // 127 times as many fit 32 bits

Status CheckSizes(const QuantizedRows& p) {
    using L = long long;
    if (p.m < 0 || p.m > kMostRows || p.k < 0 || p.k > kMostColumns) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld rows of %lld values: expected at most 2^31 rows of at most 2^24", L{p.m},
                             L{p.k});
    }
    return {};
}

Status Check(const QuantizedRows& p, bool inputs) {
    if (Status status = CheckSizes(p); !status.ok()) {
        return status;
    }
    if (p.group < 1) {
        return Status::Error(StatusCode::kInvalidArgument, "group is %lld, expected 1 or more", static_cast<long long>(p.group));
    }
    if (!(p.static_scale == 0 || p.static_scale >= 0x1p-100f) || !std::isfinite(p.static_scale)) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "the static scale is %g, expected a number of at least 2^-100, or 0 for dynamic scales",
                             static_cast<double>(p.static_scale));
    }
    if (p.m > 0 && (p.scale == nullptr || (p.k > 0 && (p.a == nullptr || !inputs)))) {
        return Status::Error(StatusCode::kInvalidArgument, "a row's values, its integers and its scale must not be null");
    }
    return {};
}

// The same, no group longer than the row: sums over groups then overflow nowhere.
template <class Arguments>
Arguments Trimmed(const Arguments& arguments) {
    Arguments trimmed = arguments;
    trimmed.rows.group = Smaller(arguments.rows.group, Larger(arguments.rows.k, 1));
    return trimmed;
}

}  // namespace

size_t QuantizeWorkspace(const QuantizedRows& p) {
    return CheckSizes(p).ok() ? static_cast<size_t>(Smaller(p.m, kRowTasks) * FloatsOfRow(p.k)) * sizeof(float) : 0;
}

Status QuantizeRows(CpuPath path, const QuantizeRowsArguments& arguments, const ParallelFor& parallel) {
    if (Status status = Check(arguments.rows, arguments.x != nullptr); !status.ok()) {
        return status;
    }
    const QuantizeRowsArguments p = Trimmed(arguments);
    switch (path) {
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            QuantizeRowsAvx2(p, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            QuantizeRowsAvx512(p, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            QuantizeRowsNeon(p, parallel);
            break;
#endif
        default:
            QuantizeRowsReference(p, parallel);
            break;
    }
    return {};
}

Status RmsNormQuantize(CpuPath path, const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    if (Status status = Check(arguments.rows, arguments.x != nullptr && arguments.weight != nullptr); !status.ok()) {
        return status;
    }
    if (!(arguments.epsilon >= 0) || !std::isfinite(arguments.epsilon)) {
        return Status::Error(StatusCode::kInvalidArgument, "epsilon is %g, expected 0 or more", static_cast<double>(arguments.epsilon));
    }
    const RmsNormQuantizeArguments p = Trimmed(arguments);
    switch (path) {
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            RmsNormQuantizeAvx2(p, workspace, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            RmsNormQuantizeAvx512(p, workspace, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            RmsNormQuantizeNeon(p, workspace, parallel);
            break;
#endif
        default:
            RmsNormQuantizeReference(p, workspace, parallel);
            break;
    }
    return {};
}

Status SiluMulQuantize(CpuPath path, const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    if (Status status = Check(arguments.rows, arguments.gate != nullptr && arguments.up != nullptr); !status.ok()) {
        return status;
    }
    const SiluMulQuantizeArguments p = Trimmed(arguments);
    switch (path) {
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            SiluMulQuantizeAvx2(p, workspace, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            SiluMulQuantizeAvx512(p, workspace, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            SiluMulQuantizeNeon(p, workspace, parallel);
            break;
#endif
        default:
            SiluMulQuantizeReference(p, workspace, parallel);
            break;
    }
    return {};
}

}  // namespace longcat
