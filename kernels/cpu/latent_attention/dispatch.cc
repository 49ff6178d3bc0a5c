#include "../common/packed_batch.h"
#include "paths.h"

namespace longcat {
namespace {

Status Check(const LatentAttentionArguments& p) {
    using L = long long;
    if (p.tokens < 0 || p.sequences < 0 || p.pages < 0 || p.page_size < 1 || p.block_table_width < 0) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "tokens %lld, sequences %lld, pages %lld, page size %lld, block_table width %lld: out of range", L{p.tokens},
                             L{p.sequences}, L{p.pages}, L{p.page_size}, L{p.block_table_width});
    }
    if (p.num_heads < 1 || p.nope < 1 || p.v < 1 || p.rank < 1 || p.rope < 2 || p.rope % 2 != 0 || p.rope > kMostRope) {
        return Status::Error(
            StatusCode::kInvalidArgument,
            "num_heads %d, qk_nope_head_dim %d, v_head_dim %d, kv_lora_rank %d must be positive; qk_rope_head_dim %d even, 2..%d",
            p.num_heads, p.nope, p.v, p.rank, p.rope, kMostRope);
    }
    if (Status status = CheckQueryStart(p.query_start, p.sequences, p.tokens); !status.ok()) {
        return status;
    }
    for (int64_t s = 0; s < p.sequences; s++) {
        int64_t first = p.query_start[s], count = p.query_start[s + 1] - first, context = p.context_length[s];
        if (count == 0) {
            continue;
        }
        if (context < count) {
            return Status::Error(StatusCode::kOutOfRange,
                                 "context_length[%lld] is %lld, below the sequence's %lld new tokens (it counts them)", L{s}, L{context},
                                 L{count});
        }
        int64_t used = CeilDivide(context, p.page_size);
        if (used > p.block_table_width) {
            return Status::Error(StatusCode::kOutOfRange,
                                 "context_length[%lld] is %lld: %lld pages of %lld, but block_table has %lld columns", L{s}, L{context},
                                 L{used}, L{p.page_size}, L{p.block_table_width});
        }
        for (int64_t b = 0; b < used; b++) {
            int32_t page = p.block_table[s * p.block_table_width + b];
            if (page < 0 || page >= p.pages) {
                return Status::Error(StatusCode::kOutOfRange,
                                     "block_table[%lld, %lld] is page %d, expected 0..%lld (the cache has %lld pages)", L{s}, L{b}, page,
                                     L{p.pages - 1}, L{p.pages});
            }
        }
        for (int64_t t = 0; t < count; t++) {
            int64_t expected = context - count + t;
            if (p.position_ids[first + t] != expected) {
                return Status::Error(StatusCode::kOutOfRange,
                                     "position_ids[%lld] is %lld, expected %lld (context_length[%lld] = %lld, token %lld of %lld new ones)",
                                     L{first + t}, L{p.position_ids[first + t]}, L{expected}, L{s}, L{context}, L{t}, L{count});
            }
        }
    }
    return {};
}

}  // namespace

size_t LatentAttentionWorkspace([[maybe_unused]] const LatentAttentionArguments& p) {
#if defined(LONGCAT_X86)
    return LatentAttentionScratch(p);
#else
    return 0;
#endif
}

Status LatentAttention(CpuPath path, const LatentAttentionArguments& p, [[maybe_unused]] void* workspace, const ParallelFor& parallel) {
    if (Status status = Check(p); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        return {};
    }
    switch (path) {
        case CpuPath::kReference:
            LatentAttentionReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
            LatentAttentionAvx2(p, workspace, parallel);
            break;
        case CpuPath::kAvx512:
            LatentAttentionAvx512(p, workspace, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
