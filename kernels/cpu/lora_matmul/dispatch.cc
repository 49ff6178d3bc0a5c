#include "../common/numbers.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kMost = INT32_MAX, kMostRanks = 1 << 20;

Status CheckSizes(const LoraMatMulArguments& p) {
    using L = long long;
    auto wrong = [](int64_t size) { return size < 0 || size > kMost; };
    if (wrong(p.m) || wrong(p.n) || wrong(p.k) || p.ranks < 0 || p.ranks > kMostRanks || p.adapters < 0 ||
        p.adapters > kMostRanks) {
        return Status::Error(StatusCode::kInvalidArgument, "sizes m %lld, n %lld, k %lld, ranks %lld, adapters %lld: expected 0..%lld, of ranks and adapters 0..%lld",
                             L{p.m}, L{p.n}, L{p.k}, L{p.ranks}, L{p.adapters}, L{kMost}, L{kMostRanks});
    }
    if (p.adapter_start == nullptr && p.adapters != 1) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld adapters without adapter_start: expected 1", L{p.adapters});
    }
    return {};
}

Status CheckAdapters(const LoraMatMulArguments& p) {
    using L = long long;
    if (p.adapter_start != nullptr) {
        if (p.adapter_start[0] != 0 || p.adapter_start[p.adapters] != p.ranks) {
            return Status::Error(StatusCode::kInvalidArgument,
                                 "adapter_start goes from %d to %d, expected from 0 to %lld, the columns of A: each adapter's ranks behind those before it",
                                 p.adapter_start[0], p.adapter_start[p.adapters], L{p.ranks});
        }
        for (int64_t a = 0; a < p.adapters; a++) {
            if (p.adapter_start[a + 1] < p.adapter_start[a]) {
                return Status::Error(StatusCode::kInvalidArgument, "adapter_start[%lld] is %d, below adapter_start[%lld] = %d", L{a + 1},
                                     p.adapter_start[a + 1], L{a}, p.adapter_start[a]);
            }
        }
    }
    if (p.row_adapter == nullptr) {
        return p.adapters == 1 || p.m == 0 ? Status{}
                               : Status::Error(StatusCode::kInvalidArgument, "%lld adapters and no row_adapter that says which row has which",
                                               L{p.adapters});
    }
    for (int64_t i = 0; i < p.m; i++) {
        if (p.row_adapter[i] < -1 || p.row_adapter[i] >= p.adapters) {
            return Status::Error(StatusCode::kOutOfRange, "row_adapter[%lld] is %d, expected -1 (none)..%lld", L{i}, p.row_adapter[i],
                                 L{p.adapters - 1});
        }
    }
    return {};
}

}  // namespace

size_t LoraMatMulWorkspace(const LoraMatMulArguments& p) {
#if defined(LONGCAT_X86) || defined(LONGCAT_ARM64)
    return CheckSizes(p).ok() && p.n > 0 ? LoraTileBytes(p) : 0;
#else
    return 0;
#endif
}

Status LoraMatMul(CpuPath path, const LoraMatMulArguments& p, [[maybe_unused]] void* workspace, const ParallelFor& parallel) {
    if (Status status = CheckSizes(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckAdapters(p); !status.ok()) {
        return status;
    }
    if (p.m == 0 || p.n == 0) {
        return {};
    }
    if (p.y == nullptr || p.base == nullptr || (p.k > 0 && p.ranks > 0 && (p.x == nullptr || p.a == nullptr)) ||
        (p.ranks > 0 && p.b == nullptr)) {
        return Status::Error(StatusCode::kInvalidArgument, "x, base, A, B and y must not be null");
    }
    switch (path) {
        case CpuPath::kReference:
            LoraMatMulReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            LoraMatMulAvx2(p, SortLoraRows(p, workspace), parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            LoraMatMulAvx512(p, SortLoraRows(p, workspace), parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            LoraMatMulNeon(p, SortLoraRows(p, workspace), parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
