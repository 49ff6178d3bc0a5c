#include "../common/paged_step.h"
#include "plan.h"

namespace longcat {
namespace {

PagedStep WholeStep(const AttentionIndexerArguments& p) {
    return {p.tokens,       p.sequences,   p.pages,          p.page_size,   p.block_table_width,
            p.position_ids, p.query_start, p.context_length, p.block_table, {}};
}

}  // namespace

Status CheckIndexerSizes(const AttentionIndexerArguments& p) {
    if (Status status = CheckStepSizes(WholeStep(p)); !status.ok()) {
        return status;
    }
    if (p.num_heads < 1 || p.num_heads > kMostIndexHeads || p.head_dim < 1 || p.head_dim > kMostIndexDim) {
        return Status::Error(StatusCode::kInvalidArgument, "num_heads %d: expected 1..%d; head_dim %d: expected 1..%d", p.num_heads,
                             kMostIndexHeads, p.head_dim, kMostIndexDim);
    }
    if (p.rope_dim < 0 || p.rope_dim > p.head_dim || p.rope_dim % 2 != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "rope_dim is %d, expected an even number, 0..%d (head_dim)", p.rope_dim,
                             p.head_dim);
    }
    if (p.top_k < 1 || p.top_k > kMostTopK || p.init_tokens < 0 || p.local_tokens < 0 || p.init_tokens > p.top_k ||
        p.local_tokens > p.top_k - p.init_tokens) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "top_k %d: expected 1..%d; init_tokens %d and local_tokens %d: expected 0 or more, together at most top_k",
                             p.top_k, kMostTopK, p.init_tokens, p.local_tokens);
    }
    return {};
}

size_t AttentionIndexerWorkspace(const AttentionIndexerArguments& p) {
    if (!CheckIndexerSizes(p).ok()) {
        return 0;  // AttentionIndexer refuses them before it touches the workspace
    }
#if defined(LONGCAT_X86) || defined(LONGCAT_ARM64)
    return PageMarkBytes(WholeStep(p)) + PlanAttentionIndexer(p).bytes;
#else
    return PageMarkBytes(WholeStep(p));
#endif
}

Status AttentionIndexer(CpuPath path, const AttentionIndexerArguments& p, void* workspace, const ParallelFor& parallel) {
    if (Status status = CheckIndexerSizes(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckStep(WholeStep(p)); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        return {};
    }
    if (Status status = CheckWrittenPages(WholeStep(p), workspace); !status.ok()) {
        return status;
    }
    [[maybe_unused]] void* scratch = static_cast<char*>(workspace) + PageMarkBytes(WholeStep(p));
    switch (path) {
        case CpuPath::kReference:
            AttentionIndexerReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            AttentionIndexerAvx2(p, scratch, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            AttentionIndexerAvx512(p, scratch, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            AttentionIndexerNeon(p, scratch, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
