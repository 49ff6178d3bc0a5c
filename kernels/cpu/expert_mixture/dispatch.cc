#include "paths.h"

namespace longcat {

namespace {

Status Check(const ExpertMixtureArguments& p) {
    using L = long long;
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
    if (p.gate.layout != p.up.layout || p.gate.layout != p.down.layout) {
        return Status::Error(StatusCode::kInvalidArgument, "gate, up and down must have one layout");
    }
    return {};
}

}  // namespace

size_t ExpertMixtureWorkspace(const ExpertMixtureArguments& p) {
    if (!Check(p).ok()) {
        return 0;  // ExpertMixture refuses them before it touches the workspace
    }
    return RoutingBytes(p) + static_cast<size_t>(p.tokens) * p.top_k * static_cast<size_t>(p.intermediate) * sizeof(float);
}

Status ExpertMixture(CpuPath path, const ExpertMixtureArguments& p, void* workspace, const ParallelFor& parallel) {
    if (Status status = Check(p); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        return {};
    }
    Routing routing = PlaceRouting(p, workspace);
    float* activation = reinterpret_cast<float*>(static_cast<char*>(workspace) + RoutingBytes(p));
    switch (path) {
        case CpuPath::kReference:
            ExpertMixtureReference(p, routing, activation, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
            ExpertMixtureAvx2(p, routing, activation, parallel);
            break;
        case CpuPath::kAvx512:
            ExpertMixtureAvx512(p, routing, activation, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    WriteChoices(p, routing, activation, parallel);
    return {};
}

}  // namespace longcat
