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
    if (p.selected != nullptr && (p.selected_width < 1 || p.selected_width > INT32_MAX || p.streaming.block_size != 0)) {
        return Status::Error(
            StatusCode::kInvalidArgument,
            "selected has %lld columns, block_size is %d: expected 1 or more columns, and no streaming pattern beside them",
            static_cast<long long>(p.selected_width), p.streaming.block_size);
    }
    return {};
}

// After CheckStep: query_start is what it should be.
Status CheckAdapters(const LatentAttentionArguments& p) {
    using L = long long;
    if (p.adapters < 0 || (p.adapters > 0 && p.tokens > 0 && (p.row_adapter == nullptr || p.kv_b_adapted == nullptr))) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld adapters: expected 0 or more, with kv_b_adapted and row_adapter",
                             L{p.adapters});
    }
    for (int64_t s = 0; p.row_adapter != nullptr && s < p.sequences; s++) {
        for (int64_t t = p.query_start[s], first = t; t < p.query_start[s + 1]; t++) {
            if (p.row_adapter[t] < -1 || p.row_adapter[t] >= p.adapters) {
                return Status::Error(StatusCode::kOutOfRange, "row_adapter[%lld] is %d, expected -1 (none)..%lld", L{t}, p.row_adapter[t],
                                     L{p.adapters - 1});
            }
            if (p.row_adapter[t] != p.row_adapter[first]) {
                return Status::Error(
                    StatusCode::kOutOfRange,
                    "row_adapter[%lld] is %d and row_adapter[%lld] is %d, both of sequence %lld: a sequence has one adapter", L{first},
                    p.row_adapter[first], L{t}, p.row_adapter[t], L{s});
            }
        }
    }
    return {};
}

// After CheckStep: positions are what they should be.
Status CheckSelected(const LatentAttentionArguments& p) {
    using L = long long;
    for (int64_t t = 0; p.selected != nullptr && t < p.tokens; t++) {
        const int32_t* row = p.selected + t * p.selected_width;
        int64_t before = -1;
        for (int64_t i = 0; i < p.selected_width; i++) {
            bool ended = i > 0 && before < 0, last = row[i] == -1 && i > 0;
            if (last ? false : ended || row[i] <= before || row[i] > p.position_ids[t]) {
                return Status::Error(
                    StatusCode::kOutOfRange,
                    "selected[%lld, %lld] is %d: expected positions in ascending order, at least one and none above the token's own "
                    "(%lld), and -1 behind them",
                    L{t}, L{i}, row[i], L{p.position_ids[t]});
            }
            before = row[i];
        }
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
    if (Status status = CheckAdapters(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckSelected(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckSparseBlocks(p.sparse, StepOf(p), 1, p.streaming.block_size > 0 || p.selected != nullptr); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        TakeNone(p.sparse, p.sequences);
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
        case CpuPath::kAvx512Bf16:
            (p.cache_type == CacheType::kBFloat16 ? LatentAttentionAvx512Bf16 : LatentAttentionAvx512)(p, scratch, parallel);
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
