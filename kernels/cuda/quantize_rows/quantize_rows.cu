#include "longcat/cuda/quantize_rows.h"

#include <initializer_list>

#include "../common/launch.h"
#include "pitched.h"
#include "quantize.cuh"

namespace longcat::cuda {
namespace {

constexpr int64_t kMostColumns = int64_t{1} << 24;  // 127 times as many fit 32 bits

bool Finite(float value) { return value - value == 0; }

Status Check(const QuantizedRows& p, bool inputs) {
    using L = long long;
    if (p.m < 0 || p.m > INT32_MAX || p.k < 0 || p.k > kMostColumns) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld rows of %lld values: expected fewer than 2^31 rows of at most 2^24", L{p.m},
                             L{p.k});
    }
    if (p.group < 1 || (p.group < p.k && p.group % kPiece != 0)) {
        return Status::Error(StatusCode::kInvalidArgument, "group is %lld, expected a multiple of 8, or %lld (k) or more", L{p.group}, L{p.k});
    }
    if (!(p.static_scale == 0 || p.static_scale >= 0x1p-100f) || !Finite(p.static_scale)) {
        return Status::Error(StatusCode::kInvalidArgument, "the static scale is %g, expected a number of at least 2^-100, or 0 for dynamic scales",
                             static_cast<double>(p.static_scale));
    }
    if (p.m > 0 && (p.scale == nullptr || (p.k > 0 && (p.a == nullptr || !inputs)))) {
        return Status::Error(StatusCode::kInvalidArgument, "a row's values, its integers and its scale must not be null");
    }
    return {};
}

bool Aligned(const void* pointer, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

template <class Source>
Status Launch(const char* name, const Execution& execution, QuantizeParameters p) {
    if (p.rows.m == 0) {
        return {};
    }
    p.rows.group = SmallerOf(p.rows.group, LargerOf(p.rows.k, 1));
    p.vector = p.rows.k % kPiece == 0 && p.pitch % kPiece == 0 && Aligned(p.rows.a, 8);
    for (const void* pointer : {static_cast<const void*>(p.first), static_cast<const void*>(p.second), static_cast<const void*>(p.weight),
                                static_cast<const void*>(p.value), static_cast<const void*>(p.sum)}) {
        p.vector = p.vector && Aligned(pointer, 16);
    }
    LaunchShape shape;
    shape.x = p.rows.m, shape.threads = kQuantizeThreads, shape.shared = kQuantizeShared;
    return Start(name, QuantizeKernel<Source>, shape, p, execution);
}

}  // namespace

Status QuantizeRowsPitched(const Execution& execution, const QuantizeRowsArguments& arguments, int64_t pitch) {
    QuantizeParameters p;
    p.rows = arguments.rows, p.pitch = pitch, p.first = arguments.x;
    return Launch<PlainSource>("QuantizeRows", execution, p);
}

Status SiluMulQuantizePitched(const Execution& execution, const SiluMulQuantizeArguments& arguments, int64_t pitch, const int32_t* count) {
    QuantizeParameters p;
    p.rows = arguments.rows, p.pitch = pitch, p.count = count;
    p.first = arguments.gate, p.second = arguments.up, p.value = arguments.value;
    return Launch<SiluSource>("SiluMulQuantize", execution, p);
}

Status QuantizeRows(const Execution& execution, const QuantizeRowsArguments& arguments) {
    if (Status status = Check(arguments.rows, arguments.x != nullptr); !status.ok()) {
        return status;
    }
    return QuantizeRowsPitched(execution, arguments, arguments.rows.k);
}

Status RmsNormQuantize(const Execution& execution, const RmsNormQuantizeArguments& arguments) {
    if (Status status = Check(arguments.rows, arguments.x != nullptr && arguments.weight != nullptr); !status.ok()) {
        return status;
    }
    if (!(arguments.epsilon >= 0) || !Finite(arguments.epsilon)) {
        return Status::Error(StatusCode::kInvalidArgument, "epsilon is %g, expected 0 or more", static_cast<double>(arguments.epsilon));
    }
    QuantizeParameters p;
    p.rows = arguments.rows, p.pitch = arguments.rows.k, p.epsilon = arguments.epsilon;
    p.first = arguments.x, p.second = arguments.skip, p.weight = arguments.weight, p.value = arguments.normed, p.sum = arguments.sum;
    return Launch<NormSource>("RmsNormQuantize", execution, p);
}

Status SiluMulQuantize(const Execution& execution, const SiluMulQuantizeArguments& arguments) {
    if (Status status = Check(arguments.rows, arguments.gate != nullptr && arguments.up != nullptr); !status.ok()) {
        return status;
    }
    return SiluMulQuantizePitched(execution, arguments, arguments.rows.k, nullptr);
}

}  // namespace longcat::cuda
