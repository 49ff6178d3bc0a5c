// Stages (1) to (3) of longcat/paged_attention.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "blocks.h"
#include "soften.h"

namespace longcat {
namespace {

constexpr int64_t kStoreTokens = 16;  // tokens of one task that stores: they share the cache lines of a panel

// Blocks: what goes through the keys of a tile, FloatBlocks or PairBlocks.
template <class Blocks>
class PagedAttentionRun {
  public:
    PagedAttentionRun(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments),
          plan_(PlanPagedAttention(arguments, nullptr, nullptr)),
          blocks_(p, plan_),
          parallel_(parallel),
          memory_(static_cast<char*>(workspace)) {
        rotation_ = reinterpret_cast<float*>(memory_ + plan_.rotation);
        first_item_ = reinterpret_cast<int64_t*>(memory_ + plan_.first_item);
        first_partial_ = reinterpret_cast<int64_t*>(memory_ + plan_.first_partial);
        next_ = reinterpret_cast<int64_t*>(memory_ + plan_.next);
        PlanPagedAttention(arguments, first_item_, first_partial_);
        *next_ = 0;
    }

    // Stage 1.
    void Store() {
        int64_t width = int64_t{p.num_kv_heads} * p.head_dim;
        For(Unless(p.tokens * width < kInlineWork / 10, parallel_), static_cast<size_t>(CeilDivide(p.tokens, kStoreTokens)),
            [&](size_t index) { StoreTokens(static_cast<int64_t>(index) * kStoreTokens); });
    }

    // Stages 2 and 3, without the sequences whose rows are sparse.
    void Attend() {
        int64_t keys = 0;
        for (int64_t s = 0; s < p.sequences; s++) {
            keys += (p.query_start[s + 1] - p.query_start[s]) * MostVisibleKeys(p.streaming, p.context_length[s] - 1);
        }
        // Of a sequence that spreads, many items need the queries: they are prepared once.
        bool few = plan_.partials * plan_.stride < kInlineWork;
        auto by_head = [&](auto&& body) {
            For(Unless(few, parallel_), static_cast<size_t>(p.tokens * p.num_kv_heads), [&](size_t index) {
                body(static_cast<int64_t>(index) / p.num_kv_heads, static_cast<int64_t>(index) % p.num_kv_heads);
            });
        };
        if (plan_.partials > 0) {
            by_head([&](int64_t token, int64_t kv_head) { KeepQueries(token, kv_head); });
        }
        // A lane is a place to work in; whoever has one takes items until none is left.
        For(Unless(keys * p.num_heads * p.head_dim * 2 < kInlineWork, parallel_), static_cast<size_t>(plan_.lanes), [&](size_t lane) {
            for (;;) {
                int64_t item = __atomic_fetch_add(next_, 1, __ATOMIC_RELAXED);
                if (item >= plan_.items) {
                    break;
                }
                AttendItem(item, memory_ + plan_.lanes_at + lane * plan_.lane.bytes);
            }
        });
        if (plan_.partials > 0) {
            by_head([&](int64_t token, int64_t kv_head) { Merge(token, kv_head); });
        }
    }

    int64_t SequenceOf(int64_t token) const { return Last(p.query_start, p.sequences, token); }
    // Cosines and sines of a token's position; after stage 1.
    const float* RotationOf(int64_t token) const { return rotation_ + token * p.rotary_dim; }

  private:
    // The last of `count` entries, ascending, that is at or below the value.
    template <class T>
    static int64_t Last(const T* entries, int64_t count, int64_t value) {
        int64_t low = 0, high = count - 1;
        while (low < high) {
            int64_t middle = (low + high + 1) / 2;
            if (entries[middle] <= value) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    void StoreTokens(int64_t first) {
        for (int64_t t = first; t < Smaller(first + kStoreTokens, p.tokens); t++) {
            float* rotation = rotation_ + t * p.rotary_dim;
            HeadRotation(p, p.position_ids[t], rotation, rotation + p.rotary_dim / 2);
            StoreToken(p, Last(p.query_start, p.sequences, t), t, rotation, rotation + p.rotary_dim / 2);
        }
    }

    float* Partial(int64_t row) const { return reinterpret_cast<float*>(memory_ + plan_.partial) + row * plan_.stride; }
    float* PartialState(int64_t row) const { return reinterpret_cast<float*>(memory_ + plan_.partial_state) + row * 2; }

    // Item: of a sequence that spreads, one unit (kv head and chunk of its heads) and split; else one unit and tile of tokens.
    void AttendItem(int64_t item, char* lane) {
        PagedTile tile;
        tile.sequence = Last(first_item_, p.sequences, item);
        auto at = [&](size_t offset) { return reinterpret_cast<float*>(lane + offset); };
        const PagedAttentionLane& places = plan_.lane;
        tile.query = at(places.query), tile.sum = at(places.sum), tile.total = at(places.total);
        tile.sum_state = at(places.sum_state), tile.total_state = at(places.total_state);
        tile.scores = at(places.scores), tile.ratio = at(places.ratio), tile.keys = at(places.keys), tile.values = at(places.values);

        int64_t first = p.query_start[tile.sequence], count = p.query_start[tile.sequence + 1] - first,
                local = item - first_item_[tile.sequence];
        Splits splits = SplitsOf(p, p.position_ids[first], p.position_ids[first + count - 1]);
        bool spread = first_partial_[tile.sequence] >= 0;
        int64_t parts = spread ? splits.Count() : CeilDivide(count, plan_.tile_tokens);
        int64_t unit = local / parts, part = local % parts;
        if (spread) {
            AttendTogether(tile, unit * plan_.together, splits, part);
            return;
        }
        TakeUnit(unit, &tile);
        // The last tile sees the most keys: it comes first, so that no thread begins it when the others are done.
        int64_t from = (parts - 1 - part) * plan_.tile_tokens;
        tile.first = first + from;
        tile.tokens = Smaller(plan_.tile_tokens, count - from);
        tile.position = p.position_ids[tile.first];
        LoadQuery(tile);
        for (int64_t r = 0; r < tile.Rows(); r++) {
            tile.total_state[2 * r + 1] = -1;  // nothing seen yet
        }
        Splits seen = SplitsOf(p, tile.position, tile.position + tile.tokens - 1);
        for (int64_t i = 0; i < seen.Count(); i++) {
            Split(&tile, 1, seen, i);
            AddSplit(tile, seen, i);
        }
        for (int64_t r = 0; r < tile.Rows(); r++) {
            Write(tile.total + r * plan_.stride, tile.total_state[2 * r + 1], tile.first + r / tile.heads, tile.head + r % tile.heads);
        }
    }

    void TakeUnit(int64_t unit, PagedTile* tile) const {
        int64_t group = p.num_heads / p.num_kv_heads;
        tile->kv_head = unit / plan_.chunks;
        tile->head = tile->kv_head * group + unit % plan_.chunks * plan_.chunk;
        tile->heads = Smaller(plan_.chunk, (tile->kv_head + 1) * group - tile->head);
    }

    // One part of the keys of a sequence that spreads, for several units from `unit` on. They take turns block by block: what a page holds is
    // neighbours in memory for all kv heads, and long pieces are what memory is fast at.
    void AttendTogether(const PagedTile& whole, int64_t unit, const Splits& splits, int64_t part) {
        int64_t first = p.query_start[whole.sequence], count = p.query_start[whole.sequence + 1] - first;
        int64_t number = Smaller(plan_.together, p.num_kv_heads * plan_.chunks - unit);
        PagedTile tiles[kTogether];
        for (int64_t i = 0; i < number; i++) {
            PagedTile& tile = tiles[i] = whole;
            TakeUnit(unit + i, &tile);
            tile.first = first, tile.tokens = count, tile.position = p.position_ids[first];
            int64_t rows = i * count * plan_.chunk;
            tile.query += rows * plan_.stride, tile.sum += rows * plan_.stride, tile.sum_state += rows * 2;
            TakeQuery(tile, splits.Count());
        }
        Split(tiles, number, splits, part);
        for (int64_t i = 0; i < number; i++) {
            KeepPartial(tiles[i], splits, part);
        }
    }

    void LoadQuery(const PagedTile& tile) {
        Vector scale = Simd::All(p.softmax_scale * kLog2E);
        alignas(64) float row[kMostHeadDim];
        for (int64_t r = 0; r < tile.Rows(); r++) {
            PrepareQuery(tile.first + r / tile.heads, tile.head + r % tile.heads, row);
            blocks_.StoreQuery(tile, r, row, scale);
        }
    }

    // The same of a sequence that spreads its `splits` splits.
    void TakeQuery(const PagedTile& tile, int64_t splits) {
        Vector scale = Simd::All(p.softmax_scale * kLog2E);
        for (int64_t r = 0; r < tile.Rows(); r++) {
            int64_t query = PartialRow(tile.sequence, tile.first + r / tile.heads, tile.head + r % tile.heads, splits) + splits;
            blocks_.StoreQuery(tile, r, Partial(query), scale);
        }
    }

    void KeepQueries(int64_t token, int64_t kv_head) {
        int64_t sequence = Last(p.query_start, p.sequences, token), group = p.num_heads / p.num_kv_heads;
        if (first_partial_[sequence] < 0) {
            return;
        }
        int64_t first = p.query_start[sequence], splits = SplitsOf(p, p.position_ids[first], p.position_ids[p.query_start[sequence + 1] - 1]).Count();
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            PrepareQuery(token, head, Partial(PartialRow(sequence, token, head, splits) + splits));
        }
    }

    void PrepareQuery(int64_t token, int64_t head, float* to) {
        const float* rotation = rotation_ + token * p.rotary_dim;
        PrepareHead(p, p.query + (token * p.num_heads + head) * p.head_dim, p.query_norm, rotation, rotation + p.rotary_dim / 2, to);
        for (int64_t i = p.head_dim; i < plan_.stride; i++) {
            to[i] = 0;
        }
    }

    // The sums of the rows of tiles of the same tokens over one part; rows that see none of it are left alone.
    void Split(const PagedTile* tiles, int64_t number, const Splits& splits, int64_t part) {
        const PagedTile& tile = tiles[0];
        KeyRun run;
        run.sinks = splits.IsOfSinks(part);
        run.begin = splits.SplitOf(part) * kSplit;
        run.end = tile.position + tile.tokens;
        if (run.sinks) {
            run.end = Smaller(run.end, SinkEnd(p.streaming));
        }
        run.to = Smaller(run.begin + kSplit, run.end);
        if (!run.sinks) {
            run.begin = Larger(run.begin, FirstVisible(p, tile.position));
        }
        for (int64_t i = 0; i < number; i++) {
            for (int64_t r = 0; r < tiles[i].Rows(); r++) {
                tiles[i].sum_state[2 * r] = kLowest;
                tiles[i].sum_state[2 * r + 1] = 0;
                float* sum = tiles[i].sum + r * plan_.stride;
                for (int64_t x = 0; x < plan_.stride; x += Simd::kLanes) {
                    Simd::Store(sum + x, Simd::Zero());
                }
            }
        }
        blocks_.Run(tiles, number, run);
    }

    bool Sees(const PagedTile& tile, int64_t row, bool sinks, int64_t split) const {
        Range seen = Seen(p, tile, sinks, row / tile.heads, split * kSplit, (split + 1) * kSplit);
        return seen.begin < seen.end;
    }

    void AddSplit(const PagedTile& tile, const Splits& splits, int64_t part) {
        for (int64_t r = 0; r < tile.Rows(); r++) {
            if (Sees(tile, r, splits.IsOfSinks(part), splits.SplitOf(part))) {
                float *total = tile.total + r * plan_.stride, *state = tile.total_state + 2 * r;
                const float* sum = tile.sum + r * plan_.stride;
                if (state[1] < 0) {
                    Copy(sum, tile.sum_state + 2 * r, total, state);
                } else {
                    MergeSums(total, state, sum, tile.sum_state + 2 * r, plan_.stride);
                }
            }
        }
    }

    void Copy(const float* sum, const float* state, float* to, float* to_state) {
        for (int64_t i = 0; i < plan_.stride; i += Simd::kLanes) {
            Simd::Store(to + i, Simd::Load(sum + i));
        }
        to_state[0] = state[0];
        to_state[1] = state[1];
    }

    int64_t PartialRow(int64_t sequence, int64_t token, int64_t head, int64_t splits) const {
        return first_partial_[sequence] + ((token - p.query_start[sequence]) * p.num_heads + head) * (splits + 1);
    }

    void KeepPartial(const PagedTile& tile, const Splits& splits, int64_t part) {
        for (int64_t r = 0; r < tile.Rows(); r++) {
            int64_t row = PartialRow(tile.sequence, tile.first + r / tile.heads, tile.head + r % tile.heads, splits.Count()) + part;
            Copy(tile.sum + r * plan_.stride, tile.sum_state + 2 * r, Partial(row), PartialState(row));
        }
    }

    // Stage 3, of sequences that spread their splits.
    void Merge(int64_t token, int64_t kv_head) {
        int64_t sequence = Last(p.query_start, p.sequences, token);
        if (first_partial_[sequence] < 0) {
            return;
        }
        int64_t first = p.query_start[sequence], position = p.position_ids[token];
        Splits all = SplitsOf(p, p.position_ids[first], p.position_ids[p.query_start[sequence + 1] - 1]),
               own = SplitsOf(p, position, position);
        int64_t group = p.num_heads / p.num_kv_heads;
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            int64_t row = PartialRow(sequence, token, head, all.Count()), total = row;
            for (int64_t part = 0; part < own.Count(); part++) {
                int64_t other = row + (own.IsOfSinks(part) ? part : all.sinks + own.SplitOf(part) - all.first);
                if (part == 0) {
                    total = other;
                } else {
                    MergeSums(Partial(total), PartialState(total), Partial(other), PartialState(other), plan_.stride);
                }
            }
            Write(Partial(total), PartialState(total)[1], token, head);
        }
    }

    void Write(const float* total, float sum, int64_t token, int64_t head) {
        float* to = p.output + (token * p.num_heads + head) * p.head_dim;
        Vector divisor = Simd::All(sum);
        int64_t i = 0;
        for (; i + Simd::kLanes <= p.head_dim; i += Simd::kLanes) {
            Simd::Store(to + i, Simd::Divide(Simd::Load(total + i), divisor));
        }
        if (i < p.head_dim) {
            Simd::Store(to + i, Simd::Divide(Simd::Load(total + i), divisor), p.head_dim - i);
        }
    }

    const PagedAttentionArguments& p;
    const PagedAttentionPlan plan_;
    const Blocks blocks_;
    const ParallelFor& parallel_;
    char* memory_;
    float* rotation_;
    int64_t *first_item_, *first_partial_, *next_;
};

}  // namespace
}  // namespace longcat
