// The scratch memory of the vectorised paths. It depends on the arguments alone, never on threads.
#pragma once

#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kIndexChunk = 64;   // the most tokens worked on at a time
constexpr int64_t kIndexGroup = 16;   // tokens of one sequence that share the keys a task reads
constexpr int64_t kIndexSplit = 512;  // keys of one task

struct AttentionIndexerPlan {
    int64_t chunk, stride;        // tokens at a time, scores of one token
    size_t query, scores, bytes;  // offsets into the scratch memory, its size
};

inline AttentionIndexerPlan PlanAttentionIndexer(const AttentionIndexerArguments& p) {
    constexpr int64_t kBudget = 16 << 20;
    // The lengths are not checked yet when the workspace is asked for: they are bounded by the block table here.
    int64_t longest = 0, most = p.block_table_width * p.page_size;
    for (int64_t s = 0; s < p.sequences; s++) {
        longest = Larger(longest, Smaller(p.context_length[s], most));
    }
    bool choose = longest > p.top_k;
    AttentionIndexerPlan plan{};
    plan.stride = choose ? CeilDivide(longest, 64) * 64 : 0;
    int64_t width = CeilDivide(int64_t{p.num_heads} * p.head_dim, 16) * 16;
    plan.chunk = choose ? Larger(1, Smaller(Smaller(p.tokens, kIndexChunk), kBudget / (plan.stride * 4))) : p.tokens;
    plan.query = 0;
    plan.scores = choose ? static_cast<size_t>(plan.chunk * width * 4) : 0;
    plan.bytes = plan.scores + static_cast<size_t>(choose ? plan.chunk * plan.stride * 4 : 0);
    return plan;
}

}  // namespace
}  // namespace longcat
