#include "scratch.h"

#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kShortest = 512, kMost = 64;

}  // namespace

int64_t SplitLength(int64_t visible) {
    int64_t length = CeilDivide(CeilDivide(visible, kMost), 64) * 64;
    return length > kShortest ? length : kShortest;
}

LatentAttentionPlan PlanLatentAttention(const LatentAttentionArguments& p) {
    constexpr int64_t kBudget = 16 << 20, kMostTokens = 64;
    LatentAttentionPlan plan{};
    // The lengths are not checked yet when the workspace is asked for: they are bounded by the block table here.
    int64_t longest = 1, most = p.block_table_width * p.page_size;
    for (int64_t s = 0; s < p.sequences; s++) {
        longest = Larger(longest, MostVisibleKeys(p.streaming, Smaller(p.context_length[s], most) - 1));
    }
    longest = p.selected == nullptr ? longest : Larger(1, Smaller(longest, p.selected_width));
    // A shorter prefix can have more splits than the whole where the length has just grown.
    int64_t shorter = Smaller(longest, kMost * kShortest);
    plan.splits = Larger(CeilDivide(longest, SplitLength(longest)), CeilDivide(shorter, SplitLength(shorter)));
    int64_t per_token = p.num_heads * (p.rank + p.rope + plan.splits * (p.rank + 2)) * 4;
    plan.chunk = Larger(1, Smaller(Smaller(p.tokens, kMostTokens), kBudget / per_token));

    size_t at = 0;
    auto place = [&](int64_t bytes) {
        size_t result = at;
        at += static_cast<size_t>(CeilDivide(bytes, 64) * 64);
        return result;
    };
    int64_t lines = plan.chunk * p.num_heads;
    plan.rotation = place(plan.chunk * p.rope * 4);
    plan.query = place(lines * (p.rank + p.rope) * 4);
    plan.partial = place(lines * plan.splits * p.rank * 4);
    plan.state = place(lines * plan.splits * 2 * 4);
    plan.first_task = place((plan.chunk + 1) * 8);
    if (SparseSequences(p) > 0) {
        plan.columns = CeilDivide(longest, p.page_size);
        plan.candidates = p.sparse.choose ? CeilDivide(longest, p.sparse.block_size) : 0;
        plan.removed = place(p.sequences * 8);
        plan.tables = place(p.sequences * plan.columns * 4);
        plan.scores = place(p.sequences * plan.candidates * 4);
    }
    plan.bytes = at;
    return plan;
}

size_t LatentAttentionScratch(const LatentAttentionArguments& p) { return PlanLatentAttention(p).bytes; }

}  // namespace longcat
