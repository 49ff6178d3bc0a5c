#include "plan.h"

#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kSpreadTokens = 8;             // a sequence with at most so many new tokens spreads its splits over tasks
constexpr int64_t kSpreadBytes = 32 << 20;       // … while the sums that wait fit here
constexpr int64_t kMostLanes = 64;               // threads that work at once
constexpr int64_t kEnoughItems = 32;             // units are worked on together where so many tasks are left
constexpr int64_t kTogetherBytes = 128 << 10;    // … and their queries and sums fit here
constexpr int64_t kTileBytes = kTileRows * 512;  // of the queries of a tile: three times that and a block stay in the second-level cache

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

// How the heads and tokens are cut; nothing is placed.
PagedAttentionPlan Tiles(const PagedAttentionArguments& p) {
    PagedAttentionPlan plan{};
    int64_t group = p.num_heads / p.num_kv_heads;
    plan.stride = CeilDivide(p.head_dim, 16) * 16;
    plan.value_stride = plan.stride + 16;
    int64_t rows = Larger(12, Smaller(kTileRows, kTileBytes / (plan.stride * 4)));
    plan.chunk = Smaller(group, rows);
    plan.chunks = CeilDivide(group, plan.chunk);
    plan.tile_tokens = rows / plan.chunk;
    plan.together = 1;
    return plan;
}

// Where everything lies, once the tasks and the rows of a lane are known.
void Place(const PagedAttentionArguments& p, int64_t rows, PagedAttentionPlan* to) {
    PagedAttentionPlan& plan = *to;
    Places lane;
    plan.lane.query = lane.Take(rows * plan.stride * 4);
    plan.lane.sum = lane.Take(rows * plan.stride * 4);
    plan.lane.total = lane.Take(rows * plan.stride * 4);
    plan.lane.sum_state = lane.Take(rows * 2 * 4);
    plan.lane.total_state = lane.Take(rows * 2 * 4);
    plan.lane.scores = lane.Take(rows * (p.cache_type == CacheType::kBFloat16 ? kPairBlock : kBlock) * 4);
    plan.lane.ratio = lane.Take(rows * 4);
    static_assert(kPairBlock / 2 <= kBlock);
    plan.lane.keys = lane.Take(kBlock * CeilDivide(p.head_dim, 2) * 8);
    plan.lane.values = lane.Take(kBlock * plan.value_stride * 4);
    plan.lane.bytes = lane.bytes();

    Places all;
    plan.rotation = all.Take(p.tokens * p.rotary_dim * 4);
    plan.first_item = all.Take((p.sequences + 1) * 8);
    plan.first_partial = all.Take((p.sequences + 1) * 8);
    plan.next = all.Take(8);
    plan.partial = all.Take(plan.partials * plan.stride * 4);
    plan.partial_state = all.Take(plan.partials * 2 * 4);
    plan.lanes_at = all.Take(plan.lanes * static_cast<int64_t>(plan.lane.bytes));
    plan.bytes = all.bytes();
}

}  // namespace

Splits SplitsOf(const PagedAttentionArguments& p, int64_t first_position, int64_t last_position) {
    int64_t sink_end = SinkEnd(p.streaming), sinks = CeilDivide(Smaller(sink_end, last_position + 1), kSplit);
    if (last_position < sink_end) {
        return {sinks, 0, -1};
    }
    return {sinks, FirstVisible(p, first_position) / kSplit, last_position / kSplit};
}

PagedAttentionPlan PlanPagedAttention(const PagedAttentionArguments& p, int64_t* first_item, int64_t* first_partial) {
    PagedAttentionPlan plan = Tiles(p);

    // The step is not checked yet when the workspace is asked for: what comes from it is bounded here. First what spreads, then the items.
    int64_t units = p.num_kv_heads * plan.chunks, most_count = 0, most_spread = 0, most_context = p.block_table_width * p.page_size;
    int64_t spread_items = 0;
    for (int64_t pass = 0, s = 0; pass < 2; s++) {
        if (s == p.sequences) {
            if (pass == 0) {
                int64_t one = Larger(1, most_spread) * plan.chunk * (plan.stride + 2) * 4 * 2;
                plan.together = Larger(1, Smaller(Smaller(units, kTogether), Smaller(spread_items / kEnoughItems, kTogetherBytes / one)));
                plan.partials = 0, plan.items = 0;
            }
            pass++, s = -1;
            continue;
        }
        int64_t count = IsSparse(p, s) ? 0 : Larger(0, Smaller(int64_t{p.query_start[s + 1]} - p.query_start[s], p.tokens));
        int64_t context = Larger(count, Smaller(p.context_length[s], most_context));
        Splits splits = count > 0 ? SplitsOf(p, context - count, context - 1) : Splits{0, 0, 0};
        int64_t length = splits.Count(), partials = count * p.num_heads * (length + 1);
        bool spread = length > 1 && count <= Smaller(kSpreadTokens, plan.tile_tokens) &&
                      (plan.partials + partials) * (plan.stride + 2) * 4 <= kSpreadBytes;
        if (first_item != nullptr) {
            first_item[s] = plan.items;
            first_partial[s] = spread ? plan.partials : -1;
        }
        plan.partials += spread ? partials : 0;
        spread_items += spread ? units * length : 0;
        most_spread = Larger(most_spread, spread ? count : 0);
        plan.items += spread ? CeilDivide(units, plan.together) * length : units * CeilDivide(count, plan.tile_tokens);
        most_count = Larger(most_count, count);
    }
    if (first_item != nullptr) {
        first_item[p.sequences] = plan.items;
    }
    plan.lanes = Smaller(plan.items, kMostLanes);
    Place(p, plan.chunk * Larger(Smaller(plan.tile_tokens, Larger(1, most_count)), plan.together * most_spread), &plan);
    return plan;
}

namespace {

// Scratch memory that is enough for p.sequences sequences of at most so many new tokens and so long a context each.
size_t MostScratch(const PagedAttentionArguments& p, int64_t most_count, int64_t longest) {
    PagedAttentionPlan plan = Tiles(p);
    int64_t units = p.num_kv_heads * plan.chunks, splits = CeilDivide(longest, kSplit), spread = Smaller(kSpreadTokens, most_count);
    plan.items = p.sequences * units * Larger(CeilDivide(most_count, plan.tile_tokens), splits);
    plan.partials = Smaller(p.tokens * p.num_heads * (splits + 1), kSpreadBytes / ((plan.stride + 2) * 4));
    plan.lanes = Smaller(plan.items, kMostLanes);
    Place(p, plan.chunk * Larger(Smaller(plan.tile_tokens, Larger(1, most_count)), Smaller(units, kTogether) * spread), &plan);
    return plan.bytes;
}

}  // namespace

PagedAttentionArguments OneHead(const PagedAttentionArguments& p, const SparsePlan& plan) {
    PagedAttentionArguments one;
    one.tokens = plan.rows * p.num_kv_heads, one.sequences = plan.sequences * p.num_kv_heads, one.pages = p.pages * p.num_kv_heads;
    one.page_size = p.page_size, one.block_table_width = plan.columns;
    one.num_heads = p.num_heads / p.num_kv_heads, one.num_kv_heads = 1, one.head_dim = p.head_dim;
    one.softmax_scale = p.softmax_scale, one.cache = p.cache, one.cache_type = p.cache_type;
    return one;
}

SparsePlan PlanSparse(const PagedAttentionArguments& p) {
    SparsePlan plan{};
    int64_t longest = 0, most = p.block_table_width * p.page_size, most_rows = 0;
    for (int64_t s = 0; s < p.sequences; s++) {
        if (IsSparse(p, s)) {
            int64_t count = Smaller(int64_t{p.query_start[s + 1]} - p.query_start[s], p.tokens);
            plan.sequences++;
            plan.rows += count;
            most_rows = Larger(most_rows, count);
            longest = Larger(longest, Smaller(p.context_length[s], most));
        }
    }
    plan.rows = Smaller(plan.rows, p.tokens);  // the step is not checked yet when the workspace is asked for
    if (plan.sequences == 0) {
        return plan;
    }
    plan.columns = CeilDivide(longest, p.page_size);
    plan.candidates = p.sparse.choose ? CeilDivide(longest, p.sparse.block_size) : 0;
    int64_t heads = p.num_kv_heads, sequences = plan.sequences * heads, rows = plan.rows * heads, width = p.num_heads / heads * p.head_dim;
    Places all;
    plan.which = all.Take(plan.sequences * 8);
    plan.start = all.Take((sequences + 1) * 4);
    plan.lengths = all.Take(sequences * 4);
    plan.positions = all.Take(rows * 8);
    plan.table = all.Take(sequences * plan.columns * 4);
    plan.query = all.Take(rows * width * 4);
    plan.output = all.Take(rows * width * 4);
    plan.scores = all.Take(sequences * plan.candidates * 4);
    plan.scratch = all.bytes();

    // Of the context each sequence sees a part that is not known yet.
    plan.bytes = plan.scratch + MostScratch(OneHead(p, plan), most_rows, longest);
    return plan;
}

size_t PagedAttentionScratch(const PagedAttentionArguments& p) { return PlanPagedAttention(p, nullptr, nullptr).bytes + PlanSparse(p).bytes; }

}  // namespace longcat
