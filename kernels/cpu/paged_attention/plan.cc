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

}  // namespace

Splits SplitsOf(const PagedAttentionArguments& p, int64_t first_position, int64_t last_position) {
    int64_t sink_end = SinkEnd(p.streaming), sinks = CeilDivide(Smaller(sink_end, last_position + 1), kSplit);
    if (last_position < sink_end) {
        return {sinks, 0, -1};
    }
    return {sinks, FirstVisible(p, first_position) / kSplit, last_position / kSplit};
}

PagedAttentionPlan PlanPagedAttention(const PagedAttentionArguments& p, int64_t* first_item, int64_t* first_partial) {
    PagedAttentionPlan plan{};
    int64_t group = p.num_heads / p.num_kv_heads;
    plan.stride = CeilDivide(p.head_dim, 16) * 16;
    int64_t rows = Larger(12, Smaller(kTileRows, kTileBytes / (plan.stride * 4)));
    plan.chunk = Smaller(group, rows);
    plan.chunks = CeilDivide(group, plan.chunk);
    plan.tile_tokens = rows / plan.chunk;

    // The step is not checked yet when the workspace is asked for: what comes from it is bounded here. First what spreads, then the items.
    int64_t units = p.num_kv_heads * plan.chunks, most_count = 0, most_spread = 0, most_context = p.block_table_width * p.page_size;
    int64_t spread_items = 0;
    plan.together = 1;
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
        int64_t count = Larger(0, Smaller(int64_t{p.query_start[s + 1]} - p.query_start[s], p.tokens));
        int64_t context = Larger(count, Smaller(p.context_length[s], most_context));
        Splits splits = count > 0 ? SplitsOf(p, context - count, context - 1) : Splits{0, 0, 0};
        int64_t length = splits.Count(), partials = count * p.num_heads * length;
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

    rows = plan.chunk * Larger(Smaller(plan.tile_tokens, Larger(1, most_count)), plan.together * most_spread);
    Places lane;
    plan.lane.query = lane.Take(rows * plan.stride * 4);
    plan.lane.sum = lane.Take(rows * plan.stride * 4);
    plan.lane.total = lane.Take(rows * plan.stride * 4);
    plan.lane.sum_state = lane.Take(rows * 2 * 4);
    plan.lane.total_state = lane.Take(rows * 2 * 4);
    plan.lane.scores = lane.Take(rows * kBlock * 4);
    plan.lane.ratio = lane.Take(rows * 4);
    plan.lane.keys = lane.Take(kBlock * p.head_dim * 4);
    plan.lane.values = lane.Take(kBlock * plan.stride * 4);
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
    return plan;
}

size_t PagedAttentionScratch(const PagedAttentionArguments& p) { return PlanPagedAttention(p, nullptr, nullptr).bytes; }

}  // namespace longcat
