#include "../common/paged_step.h"
#include "paths.h"

namespace longcat {
namespace {

// What the workspace's size is computed from.
Status CheckSizes(const PagedAttentionArguments& p) {
    if (Status status = CheckStepSizes(StepOf(p)); !status.ok()) {
        return status;
    }
    if (p.num_heads < 1 || p.num_heads > kMostHeads || p.num_kv_heads < 1 || p.num_heads % p.num_kv_heads != 0) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "num_heads is %d, expected 1..%d and a multiple of num_kv_heads, which is %d (1 or more)", p.num_heads,
                             kMostHeads, p.num_kv_heads);
    }
    if (p.head_dim < 1 || p.head_dim > kMostHeadDim) {
        return Status::Error(StatusCode::kInvalidArgument, "head_dim is %d, expected 1..%d", p.head_dim, kMostHeadDim);
    }
    if (p.rotary_dim < 0 || p.rotary_dim > p.head_dim || p.rotary_dim % 2 != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "rotary_dim is %d, expected an even number, 0..%d (head_dim)", p.rotary_dim,
                             p.head_dim);
    }
    if (p.window < 0) {
        return Status::Error(StatusCode::kInvalidArgument, "window is %d, expected 1 or more, or 0 for all keys", p.window);
    }
    if (p.window > 0 && p.streaming.block_size > 0) {
        return Status::Error(StatusCode::kInvalidArgument, "window is %d with a streaming pattern of blocks of %d: expected one of the two",
                             p.window, p.streaming.block_size);
    }
    return {};
}

}  // namespace

size_t PagedAttentionWorkspace(const PagedAttentionArguments& p) {
    if (!CheckSizes(p).ok()) {
        return 0;  // PagedAttention refuses them before it touches the workspace
    }
#if defined(LONGCAT_X86) || defined(LONGCAT_ARM64)
    return PageMarkBytes(StepOf(p)) + PagedAttentionScratch(p);
#else
    return PageMarkBytes(StepOf(p));
#endif
}

Status PagedAttention(CpuPath path, const PagedAttentionArguments& p, void* workspace, const ParallelFor& parallel) {
    if (Status status = CheckSizes(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckStep(StepOf(p)); !status.ok()) {
        return status;
    }
    if (Status status = CheckSparseBlocks(p.sparse, StepOf(p), p.num_kv_heads, p.window > 0 || p.streaming.block_size > 0); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        TakeNone(p.sparse, p.sequences * p.num_kv_heads);
        return {};
    }
    if (Status status = CheckWrittenPages(StepOf(p), workspace); !status.ok()) {
        return status;
    }
    [[maybe_unused]] void* scratch = static_cast<char*>(workspace) + PageMarkBytes(StepOf(p));
    switch (path) {
        case CpuPath::kReference:
            PagedAttentionReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            PagedAttentionAvx2(p, scratch, parallel);
            break;
        case CpuPath::kAvx512:
            PagedAttentionAvx512(p, scratch, parallel);
            break;
        case CpuPath::kAvx512Bf16:
            (p.cache_type == CacheType::kBFloat16 ? PagedAttentionAvx512Bf16 : PagedAttentionAvx512)(p, scratch, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            PagedAttentionNeon(p, scratch, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
