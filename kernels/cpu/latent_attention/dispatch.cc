#include "../common/paged_step.h"
#include "paths.h"

namespace longcat {
namespace {

// What the workspace's size is computed from.
Status CheckSizes(const LatentAttentionArguments& p) {
    if (Status status = CheckStepSizes(StepOf(p)); !status.ok()) {
        return status;
    }
    auto wide = [](int value) { return value < 1 || value > kMostWidth; };
    if (wide(p.num_heads) || wide(p.nope) || wide(p.v) || wide(p.rank) || p.rope < 2 || p.rope % 2 != 0 || p.rope > kMostRope) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "num_heads %d, qk_nope_head_dim %d, v_head_dim %d, kv_lora_rank %d: expected 1..%d; "
                             "qk_rope_head_dim %d: expected an even number, 2..%d",
                             p.num_heads, p.nope, p.v, p.rank, kMostWidth, p.rope, kMostRope);
    }
    return {};
}

}  // namespace

size_t LatentAttentionWorkspace(const LatentAttentionArguments& p) {
    if (!CheckSizes(p).ok()) {
        return 0;  // LatentAttention refuses them before it touches the workspace
    }
#if defined(LONGCAT_X86) || defined(LONGCAT_ARM64)
    return PageMarkBytes(StepOf(p)) + LatentAttentionScratch(p);
#else
    return PageMarkBytes(StepOf(p));
#endif
}

Status LatentAttention(CpuPath path, const LatentAttentionArguments& p, void* workspace, const ParallelFor& parallel) {
    if (Status status = CheckSizes(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckStep(StepOf(p)); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        return {};
    }
    if (Status status = CheckWrittenPages(StepOf(p), workspace); !status.ok()) {
        return status;
    }
    [[maybe_unused]] void* scratch = static_cast<char*>(workspace) + PageMarkBytes(StepOf(p));
    switch (path) {
        case CpuPath::kReference:
            LatentAttentionReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            LatentAttentionAvx2(p, scratch, parallel);
            break;
        case CpuPath::kAvx512:
            LatentAttentionAvx512(p, scratch, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            LatentAttentionNeon(p, scratch, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
