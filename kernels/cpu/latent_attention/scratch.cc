#include "scratch.h"

#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kShortest = 512, kMostSplits = 64;
constexpr int64_t kChunkBytes = 16 << 20;   // of the folded queries and the means of a chunk
constexpr int64_t kMostTokens = 512;        // … and its tokens
constexpr int64_t kQueryBytes = 128 << 10;  // of the queries of an item: with its sums and a block of keys they stay in the second-level cache
constexpr int64_t kVectorRows = 48;         // three vectors of sixteen rows are a tile of scores, six of eight are two
constexpr int64_t kSpreadTokens = 64;       // a sequence with at most so many new tokens may spread its parts over items
constexpr int64_t kSpreadBytes = 32 << 20;  // … while the sums that wait fit here
constexpr int64_t kMostLanes = 64;          // threads that work at once

// Places arrays one behind the other, each on a cache line of its own.
class Places {
  public:
    size_t Take(int64_t bytes) {
        size_t result = at_;
        at_ += static_cast<size_t>(CeilDivide(bytes, 64) * 64);
        return result;
    }
    size_t bytes() const { return at_; }

  private:
    size_t at_ = 0;
};

}  // namespace

int64_t SplitLength(int64_t visible) {
    int64_t length = kShortest;
    while (length * kMostSplits < visible) {
        length *= 2;
    }
    return length;
}

LatentAttentionPlan PlanLatentAttention(const LatentAttentionArguments& p) {
    LatentAttentionPlan plan{};
    int64_t width = p.rank + p.rope;
    plan.stride = CeilDivide(p.rank, 16) * 16;
    plan.line = CeilDivide(width, 16) * 16;
    plan.chunk = Larger(1, Smaller(Smaller(p.tokens, kMostTokens), kChunkBytes / (p.num_heads * (width + p.rank) * 4)));

    // The lengths are not checked yet when the workspace is asked for: they are bounded by the block table here.
    int64_t most_context = p.block_table_width * p.page_size, most_rows = kSpreadBytes / ((plan.stride + 2) * 4), spread = 0, most_count = 1, longest = 1;
    for (int64_t s = 0; s < p.sequences; s++) {
        int64_t count = Larger(0, Smaller(int64_t{p.query_start[s + 1]} - p.query_start[s], p.tokens));
        int64_t context = Larger(count, Smaller(p.context_length[s], most_context));
        int64_t seen = context > 0 ? MostVisibleKeys(p.streaming, context - 1) : 0;
        seen = p.selected == nullptr ? seen : Smaller(seen, p.selected_width);
        // A streaming pattern cuts its two runs apart, and neither begins with a split.
        int64_t parts = Smaller(CeilDivide(seen, kShortest), kMostSplits) + (p.streaming.block_size > 0 ? 4 : 0);
        plan.partials += count <= kSpreadTokens && parts > 1 ? Smaller(count, plan.chunk) * p.num_heads * parts : 0;
        plan.partials = Smaller(plan.partials, most_rows);
        spread = Larger(spread, parts), most_count = Larger(most_count, count), longest = Larger(longest, seen);
    }
    int64_t rows = Smaller(2, Larger(1, kQueryBytes / (width * 4) / kVectorRows)) * kVectorRows;
    plan.rows = Smaller(rows, CeilDivide(most_count * p.num_heads, kVectorRows) * kVectorRows);
    plan.lanes = Smaller(plan.chunk * CeilDivide(p.num_heads, kFewestHeads) * Larger(1, spread), kMostLanes);

    Places lane;
    plan.lane.query = lane.Take(plan.rows * width * 4);
    plan.lane.sum = lane.Take(plan.rows * plan.stride * 4);
    plan.lane.total = lane.Take(plan.rows * plan.stride * 4);
    plan.lane.state = lane.Take(plan.rows * 2 * 4);
    plan.lane.total_state = lane.Take(plan.rows * 2 * 4);
    plan.lane.scores = lane.Take(plan.rows * kKeyBlock * 4);
    plan.lane.ratio = lane.Take(plan.rows * 4);
    int64_t pairs = p.cache_type == CacheType::kBFloat16 ? kKeyBlock / 2 * plan.stride * 4 + kKeyBlock * CeilDivide(width, kLineChunk) * kLineChunk * 2 : 0;
    plan.lane.block = lane.Take(Larger(kKeyBlock * plan.line * 4, pairs));
    plan.lane.bytes = lane.bytes();

    Places all;
    plan.rotation = all.Take(plan.chunk * p.rope * 4);
    plan.query = all.Take(plan.chunk * p.num_heads * width * 4);
    plan.latent = all.Take(plan.chunk * p.num_heads * p.rank * 4);
    plan.tiles = all.Take(plan.chunk * static_cast<int64_t>(sizeof(LatentTile)));
    plan.partial = all.Take(plan.partials * plan.stride * 4);
    plan.partial_state = all.Take(plan.partials * 2 * 4);
    plan.lanes_at = all.Take(plan.lanes * static_cast<int64_t>(plan.lane.bytes));
    if (SparseSequences(p) > 0) {
        plan.columns = CeilDivide(longest, p.page_size);
        plan.candidates = p.sparse.choose ? CeilDivide(longest, p.sparse.block_size) : 0;
        plan.removed = all.Take(p.sequences * 8);
        plan.tables = all.Take(p.sequences * plan.columns * 4);
        plan.scores = all.Take(p.sequences * plan.candidates * 4);
    }
    plan.bytes = all.bytes();
    return plan;
}

size_t LatentAttentionScratch(const LatentAttentionArguments& p) { return PlanLatentAttention(p).bytes; }

}  // namespace longcat
