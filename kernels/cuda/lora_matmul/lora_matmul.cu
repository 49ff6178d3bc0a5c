#include "longcat/cuda/lora_matmul.h"

#include "../common/launch.h"
#include "kernels.cuh"

namespace longcat::cuda {
namespace {

constexpr int64_t kMost = INT32_MAX;

int64_t Ceil(int64_t value, int64_t by) { return (value + by - 1) / by; }

Status CheckSizes(const LoraMatMulArguments& p) {
    using L = long long;
    auto wrong = [](int64_t value) { return value < 0 || value > kMost; };
    if (wrong(p.m) || wrong(p.n) || wrong(p.k) || wrong(p.ranks) || p.adapters < 1 || wrong(p.adapters)) {
        return Status::Error(StatusCode::kInvalidArgument, "sizes m %lld, n %lld, k %lld, %lld ranks of %lld adapters: expected 0..2^31-1, 1 adapter or more", L{p.m}, L{p.n},
                             L{p.k}, L{p.ranks}, L{p.adapters});
    }
    return {};
}

}  // namespace

size_t LoraMatMulWorkspace(const Device&, const LoraMatMulArguments& p) {
    return CheckSizes(p).ok() ? (static_cast<size_t>(p.m) * static_cast<size_t>(p.ranks) * sizeof(float) + 255) / 256 * 256 : 0;
}

Status LoraMatMul(const Execution& execution, const LoraMatMulArguments& p, void* workspace, int32_t* fault) {
    if (Status status = CheckSizes(p); !status.ok()) {
        return status;
    }
    if (p.m == 0 || p.n == 0) {
        return {};
    }
    if (p.base == nullptr || p.y == nullptr || (p.ranks > 0 && (p.b == nullptr || (p.k > 0 && (p.x == nullptr || p.a == nullptr))))) {
        return Status::Error(StatusCode::kInvalidArgument, "x, base, A, B and y must not be null");
    }
    if (p.adapters > 1 && (p.row_adapter == nullptr || p.adapter_start == nullptr)) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld adapters without row_adapter or adapter_start, expected both beside several",
                             static_cast<long long>(p.adapters));
    }
    LoraParameters parameters;
    parameters.p = p, parameters.u = static_cast<float*>(workspace), parameters.fault = fault;
    LaunchShape shape;
    shape.x = Ceil(p.m, kLoraRows), shape.threads = kLoraThreads, shape.shared = kLoraShared;
    Status status = p.ranks > 0 ? Start("LoraMatMul (shrink)", LoraShrink, shape, parameters, execution) : Status{};
    shape.x = Ceil(p.n, kLoraThreads), shape.y = Ceil(p.m, kLoraRows), shape.shared = 0;
    return status.ok() ? Start("LoraMatMul (expand)", LoraExpand, shape, parameters, execution) : status;
}

}  // namespace longcat::cuda
