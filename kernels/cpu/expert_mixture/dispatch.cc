#include "../common/dot_product.h"
#include "../common/numbers.h"
#include "adapters.h"
#include "paths.h"
#include "w4a8_plan.h"

namespace longcat {

namespace {

using L = long long;

Status CheckW4A8(const ExpertMixtureArguments& p) {
    const W4A8Experts& w = *p.w4a8;
    if (w.group < 0 || w.group % 8 != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "group_size is %lld, expected a multiple of 8, or 0 for one group per channel",
                             L{w.group});
    }
    if (w.group_scale_bytes < 0 || w.group_scale_bytes > 2) {
        return Status::Error(StatusCode::kInvalidArgument, "group_scale_bytes is %d, expected 0, 1 or 2", w.group_scale_bytes);
    }
    if (w.group_scale_bytes == 0 && w.group != 0 && w.group < Larger(p.hidden, p.intermediate)) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "group_size is %lld without group scales (group_scale_bytes 0), expected 0 for one group per channel",
                             L{w.group});
    }
    if (p.hidden > INT32_MAX || p.intermediate > INT32_MAX) {
        return Status::Error(StatusCode::kInvalidArgument, "hidden %lld, intermediate %lld: expected at most %d", L{p.hidden},
                             L{p.intermediate}, INT32_MAX);
    }
    if (p.experts > 0 && (w.gate == nullptr || w.up == nullptr || w.down == nullptr || w.gate_scale == nullptr || w.up_scale == nullptr ||
                          w.down_scale == nullptr)) {
        return Status::Error(StatusCode::kInvalidArgument, "gate, up, down and their scales must not be null");
    }
    return {};
}

W4A8Layout LayoutOf(const W4A8Experts& experts, int64_t n, int64_t k) {
    int64_t whole = CeilDivide(k, kW4A8StepDepth) * kW4A8StepDepth;
    return {n, k, experts.group == 0 ? whole : experts.group, experts.group_scale_bytes};
}

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t ActivationBytes(const ExpertMixtureArguments& p) {
    return Aligned(static_cast<size_t>(p.tokens) * static_cast<size_t>(p.top_k) * static_cast<size_t>(p.intermediate) * sizeof(float));
}

Status RunFloat(CpuPath path, const ExpertMixtureArguments& p, const Routing& routing, float* activation, const ParallelFor& parallel) {
    switch (path) {
        case CpuPath::kReference:
            ExpertMixtureReference(p, routing, activation, parallel);
            return {};
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            ExpertMixtureAvx2(p, routing, activation, parallel);
            return {};
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            ExpertMixtureAvx512(p, routing, activation, parallel);
            return {};
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            ExpertMixtureNeon(p, routing, activation, parallel);
            return {};
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
}

Status RunW4A8(CpuPath path, const ExpertMixtureArguments& p, const Routing& routing, float* activation, void* workspace,
               const ParallelFor& parallel) {
    switch (path) {
        case CpuPath::kReference:
            W4A8MixtureReference(p, routing, activation, workspace, parallel);
            return {};
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
            W4A8MixtureAvx2(p, routing, activation, workspace, parallel);
            return {};
        case CpuPath::kAvxVnni:
            W4A8MixtureAvxVnni(p, routing, activation, workspace, parallel);
            return {};
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            (HasAvx512Vnni() ? W4A8MixtureVnni : W4A8MixtureAvx2)(p, routing, activation, workspace, parallel);
            return {};
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            (HasNeonDotProduct() ? W4A8MixtureNeonDot : W4A8MixtureReference)(p, routing, activation, workspace, parallel);
            return {};
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
}

}  // namespace

Status CheckMixture(const ExpertMixtureArguments& p) {
    if (p.tokens < 0 || p.hidden < 1 || p.intermediate < 1 || p.experts < 0 || p.zero_experts < 0) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "x has %lld tokens of %lld, gate %d experts of %lld (and %d zero experts): expected sizes of 1 or more",
                             L{p.tokens}, L{p.hidden}, p.experts, L{p.intermediate}, p.zero_experts);
    }
    if (p.top_k < 1 || p.top_k > p.experts + p.zero_experts) {
        return Status::Error(StatusCode::kInvalidArgument, "top_k is %d, expected 1..%d (num_experts + num_zero_experts)", p.top_k,
                             p.experts + p.zero_experts);
    }
    if (p.tokens > INT32_MAX / p.top_k) {
        return Status::Error(StatusCode::kInvalidArgument, "x has %lld tokens, expected at most %d with top_k %d", L{p.tokens},
                             INT32_MAX / p.top_k, p.top_k);
    }
    if (p.w4a8 != nullptr) {
        return CheckW4A8(p);
    }
    if (p.gate.layout != p.up.layout || p.gate.layout != p.down.layout) {
        return Status::Error(StatusCode::kInvalidArgument, "gate, up and down must have one layout");
    }
    return {};
}

W4A8Layout GateLayout(const ExpertMixtureArguments& p) { return LayoutOf(*p.w4a8, p.intermediate, p.hidden); }
W4A8Layout DownLayout(const ExpertMixtureArguments& p) { return LayoutOf(*p.w4a8, p.hidden, p.intermediate); }

size_t ExpertMixtureWorkspace(const ExpertMixtureArguments& p) {
    if (!CheckMixture(p).ok()) {
        return 0;  // ExpertMixture refuses them before it touches the workspace
    }
    size_t bytes = RoutingBytes(p) + ActivationBytes(p);
    if (p.w4a8 != nullptr) {
        size_t reference = static_cast<size_t>(p.tokens * Larger(p.hidden, p.intermediate)) * sizeof(float);
        size_t others = PlanW4A8Mixture(p).bytes;
        bytes += reference > others ? reference : others;
    }
    return bytes;
}

Status ExpertMixture(CpuPath path, const ExpertMixtureArguments& p, void* workspace, const ParallelFor& parallel) {
    if (Status status = CheckMixture(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckAdapters(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckSkipping(p); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        return {};
    }
    Routing routing = PlaceRouting(p, workspace);
    char* memory = static_cast<char*>(workspace) + RoutingBytes(p);
    float* activation = reinterpret_cast<float*>(memory);
    Status status = p.w4a8 == nullptr ? RunFloat(path, p, routing, activation, parallel)
                                      : RunW4A8(path, p, routing, activation, memory + ActivationBytes(p), parallel);
    if (status.ok()) {
        WriteChoices(p, routing, activation, parallel);
    }
    return status;
}

}  // namespace longcat
