// Stages (1) to (3) of longcat/paged_attention.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/exp.h"
#include "paths.h"
#include "plan.h"
#include "tiles.h"

namespace longcat {
namespace {

constexpr int64_t kStoreTokens = 16;  // tokens of one task that stores: they share the cache lines of a panel
constexpr float kLowest = -__builtin_inff();
constexpr float kLog2E = 1.44269504f;  // the query is multiplied by it: scores and maxima are powers of two

// total and its state [maximum, sum] become those of both sets of keys.
inline void MergeSums(float* total, float* total_state, const float* sum, const float* state, int64_t stride) {
    float maximum = state[0] > total_state[0] ? state[0] : total_state[0];
    Vector mine = Exp2(Simd::All(total_state[0] - maximum)), theirs = Exp2(Simd::All(state[0] - maximum));
    for (int64_t i = 0; i < stride; i += Simd::kLanes) {
        Simd::Store(total + i, Simd::MultiplyAdd(Simd::Load(total + i), mine, Simd::Multiply(Simd::Load(sum + i), theirs)));
    }
    alignas(64) float factor[2 * Simd::kLanes];
    Simd::Store(factor, mine);
    Simd::Store(factor + Simd::kLanes, theirs);
    total_state[0] = maximum;
    total_state[1] = total_state[1] * factor[0] + state[1] * factor[Simd::kLanes];
}

inline float Widened(float x) { return x; }
inline float Widened(uint16_t x) { return WidenBFloat16(x); }
inline float Widened(int8_t x) { return x; }

inline void Scale(float* scores, const float* scales) {
    for (int64_t j = 0; j < kBlock; j += Simd::kLanes) {
        Simd::Store(scores + j, Simd::Multiply(Simd::Load(scores + j), Simd::Load(scales + j)));
    }
}

// Turns the scores of one block of R rows into weights 2^(score - maximum), 0 outside [from, to); state: two numbers a row, maximum and sum.
// ratio: by what the sums so far shrink. Several rows side by side hide that each of them waits for its own maximum.
template <int R>
inline void Soften(float* scores, int64_t from, int64_t to, float* state, float* ratio) {
    constexpr int kVectors = static_cast<int>(kBlock) / Simd::kLanes;
    float largest[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        float* row = scores + r * kBlock;
        for (int64_t j = 0; j < from; j++) {
            row[j] = kLowest;
        }
        for (int64_t j = to; j < kBlock; j++) {
            row[j] = kLowest;
        }
        Vector most = Simd::Load(row);
#pragma GCC unroll 8
        for (int v = 1; v < kVectors; v++) {
            most = Simd::Larger(most, Simd::Load(row + v * Simd::kLanes));
        }
        largest[r] = Simd::Largest(most);
    }
    Vector total[R], shift[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        ratio[r] = 1;
        if (__builtin_expect(largest[r] > state[2 * r], false)) {
            alignas(64) float factor[Simd::kLanes];
            Simd::Store(factor, Exp2(Simd::All(state[2 * r] - largest[r])));
            ratio[r] = factor[0];
            state[2 * r] = largest[r];
        }
        shift[r] = Simd::All(state[2 * r]), total[r] = Simd::Zero();
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            float* at = scores + r * kBlock + v * Simd::kLanes;
            Vector weight = Exp2(Simd::Subtract(Simd::Load(at), shift[r]));
            Simd::Store(at, weight);
            total[r] = Simd::Add(total[r], weight);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        state[2 * r + 1] = state[2 * r + 1] * ratio[r] + Simd::Sum(total[r]);
    }
}

// A tile: rows of tokens × heads, and the memory it works in.
struct PagedTile {
    int64_t sequence, first, tokens;  // first: its first token in the batch
    int64_t position;                 // of that token
    int64_t kv_head, head, heads;
    float *query, *sum, *total, *sum_state, *total_state, *scores, *ratio, *keys, *values;
};

class PagedAttentionRun {
  public:
    PagedAttentionRun(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments),
          plan_(PlanPagedAttention(arguments, nullptr, nullptr)),
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
            For(Unless(plan_.partials * plan_.stride < kInlineWork, parallel_), static_cast<size_t>(p.tokens),
                [&](size_t token) { Merge(static_cast<int64_t>(token)); });
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
        for (int64_t r = 0; r < tile.tokens * tile.heads; r++) {
            tile.total_state[2 * r + 1] = -1;  // nothing seen yet
        }
        Splits seen = SplitsOf(p, tile.position, tile.position + tile.tokens - 1);
        for (int64_t i = 0; i < seen.Count(); i++) {
            Split(&tile, 1, seen, i);
            AddSplit(tile, seen, i);
        }
        for (int64_t r = 0; r < tile.tokens * tile.heads; r++) {
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
            LoadQuery(tile);
        }
        Split(tiles, number, splits, part);
        for (int64_t i = 0; i < number; i++) {
            KeepPartial(tiles[i], splits, part);
        }
    }

    void LoadQuery(const PagedTile& tile) {
        Vector scale = Simd::All(p.softmax_scale * kLog2E);
        for (int64_t r = 0; r < tile.tokens * tile.heads; r++) {
            int64_t token = tile.first + r / tile.heads, head = tile.head + r % tile.heads;
            const float* rotation = rotation_ + token * p.rotary_dim;
            float* to = tile.query + r * plan_.stride;
            PrepareHead(p, p.query + (token * p.num_heads + head) * p.head_dim, p.query_norm, rotation, rotation + p.rotary_dim / 2, to);
            for (int64_t i = p.head_dim; i < plan_.stride; i++) {
                to[i] = 0;
            }
            for (int64_t i = 0; i < plan_.stride; i += Simd::kLanes) {
                Simd::Store(to + i, Simd::Multiply(Simd::Load(to + i), scale));
            }
        }
    }

    // The keys of [from, to), sinks or others, that token t of the tile sees, counted from `from`; none where begin >= end.
    struct Range {
        int64_t begin, end;
    };
    Range Seen(const PagedTile& tile, bool sinks, int64_t t, int64_t from, int64_t to) const {
        int64_t position = tile.position + t;
        return {sinks ? 0 : Larger(FirstVisible(p, position), from) - from, Smaller(position + 1, to) - from};
    }

    // What the tile works on: the keys [begin, to) of one part, and the end of the run that they belong to. Nothing outside the run is
    // touched: with a streaming pattern the block table has no pages there.
    struct KeyRun {
        bool sinks;
        int64_t begin, to, end;
    };

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
            for (int64_t r = 0; r < tiles[i].tokens * tiles[i].heads; r++) {
                tiles[i].sum_state[2 * r] = kLowest;
                tiles[i].sum_state[2 * r + 1] = 0;
                float* sum = tiles[i].sum + r * plan_.stride;
                for (int64_t x = 0; x < plan_.stride; x += Simd::kLanes) {
                    Simd::Store(sum + x, Simd::Zero());
                }
            }
        }
        if (p.cache_type == CacheType::kFloat32) {
            Blocks<float>(tiles, number, run);
        } else if (p.cache_type == CacheType::kInt8) {
            Blocks<int8_t>(tiles, number, run);
        } else {
            Blocks<uint16_t>(tiles, number, run);
        }
    }

    // The keys [skip, count) behind `from`, a multiple of kBlock. Panels wholly before them are never scored for a row that looks at them,
    // but a tile of several panels may read them: they stand for the first one that is there.
    template <class C>
    void Find(const PagedTile& tile, int64_t from, int64_t skip, int64_t count, Lines<C>* lines, BlockScales* scales) const {
        const C* cache = static_cast<const C*>(p.cache);
        Walk walk(p, tile.sequence, from + skip, tile.kv_head);
        for (int64_t j = skip; j < count; j++) {
            Slot slot = walk.Next();
            lines->values[j] = cache + slot.value;
            if constexpr (sizeof(C) == 1) {
                scales->keys[j] = ScaleAt(cache + slot.key_scale);
                scales->values[j] = ScaleAt(cache + slot.value_scale);
            }
            if (j % kPanel == 0 || j == skip) {
                lines->keys[j / kPanel] = cache + slot.key - j % kPanel;  // pages of whole panels, no others are read in place
            }
        }
        for (int64_t j = 0; j < skip; j++) {
            lines->values[j] = lines->values[skip];
        }
        for (int64_t x = 0; x < skip / kPanel; x++) {
            lines->keys[x] = lines->keys[skip / kPanel];
        }
        if constexpr (sizeof(C) == 1) {
            for (int64_t j = 0; j < kBlock; j++) {
                if (j < skip || j >= count) {
                    scales->keys[j] = scales->values[j] = 0;
                }
            }
        }
    }

    // Few rows read keys and values in place, except keys in pages that hold no whole panels; for many they are widened once, and values are
    // moved where they lie well for the first-level cache.
    template <class C>
    void Blocks(const PagedTile* tiles, int64_t number, const KeyRun& run) {
        Lines<C> lines[2];
        BlockScales scales[2];
        int64_t from = run.begin / kBlock * kBlock, skip = run.begin - from;
        if (run.begin < run.to) {
            Find(tiles[0], from, skip, Smaller(kBlock, run.to - from), &lines[0], &scales[0]);
        }
        int at = 0;
        for (; from < run.to; from += kBlock, skip = 0) {
            int64_t count = Smaller(kBlock, run.to - from);
            for (int64_t i = 0; i < number; i++, at = 1 - at) {
                // What comes next: the block of the next tile, the next block, which may lie beyond this split: whoever works on it takes the
                // next one, unless another thread does.
                bool last = i + 1 == number;
                int64_t next = last ? Larger(0, Smaller(kBlock, run.end - from - kBlock)) : count;
                Lines<C>& ahead = lines[1 - at];
                if (next > 0) {  // a walk looks its first page up where it begins: it must exist
                    Find(tiles[last ? 0 : i + 1], last ? from + kBlock : from, last ? 0 : skip, next, &ahead, &scales[1 - at]);
                }
                for (int64_t j = next; j < kBlock; j++) {  // nothing there: what is asked for is here already
                    ahead.values[j] = lines[at].values[0];
                }
                for (int64_t x = CeilDivide(next, kPanel); x < kBlock / kPanel; x++) {
                    ahead.keys[x] = lines[at].keys[0];
                }
                BlockOf(tiles[i], run.sinks, from, skip, count, lines[at], sizeof(C) == 1 ? &scales[at] : nullptr, ahead);
            }
        }
    }

    template <class C>
    void BlockOf(const PagedTile& tile, bool sinks, int64_t from, int64_t skip, int64_t count, const Lines<C>& here, const BlockScales* scale,
                 const Lines<C>& ahead) {
        bool few = tile.tokens * tile.heads <= kMostRows, whole = p.page_size % kPanel == 0;
        Between between;
        if (few && whole) {
            Block(tile, sinks, from, count, here, here, scale, &ahead, &ahead, between);
            return;
        }
        Lines<float> wide;
        WidenKeys(tile, from, skip, count, here, &wide);
        if (few) {
            Block(tile, sinks, from, count, wide, here, scale, static_cast<const Lines<float>*>(nullptr), &ahead, between);
            return;
        }
        // Rows of values that are a power of two apart would fall into a few sets of the first-level cache.
        for (int64_t j = skip; j < count; j++) {
            float* line = tile.values + j * plan_.value_stride;
            wide.values[j] = line;
            int64_t i = 0;
            for (; i + Simd::kLanes <= p.head_dim; i += Simd::kLanes) {
                Simd::Store(line + i, Simd::Load(here.values[j] + i));
            }
            if (i < p.head_dim) {
                Simd::Store(line + i, Simd::Load(here.values[j] + i, p.head_dim - i), p.head_dim - i);
            }
        }
        const Lines<float>* none = nullptr;
        int64_t tiles = CeilDivide(tile.tokens * tile.heads, kMostRows) * (kBlock / 16 / 2 * kPanelVectors + plan_.stride / Simd::kLanes / 2);
        between = whole ? Between(ahead, p.head_dim, tiles) : Between();
        Block(tile, sinks, from, count, wide, wide, scale, none, none, between);
    }

    // Panels of float32 of a block's keys; those that are that already stay where they are.
    template <class C>
    void WidenKeys(const PagedTile& tile, int64_t from, int64_t skip, int64_t count, const Lines<C>& lines, Lines<float>* wide) {
        for (int64_t x = 0; x < skip / kPanel; x++) {
            wide->keys[x] = tile.keys + skip / kPanel * kPanel * p.head_dim;
        }
        for (int64_t x = skip / kPanel; x < CeilDivide(count, kPanel); x++) {
            float* panel = tile.keys + x * kPanel * p.head_dim;
            wide->keys[x] = panel;
            if (p.page_size % kPanel == 0) {
                if constexpr (sizeof(C) == sizeof(float)) {
                    wide->keys[x] = lines.keys[x];
                } else {
                    for (int64_t i = 0; i < p.head_dim * kPanel; i += Simd::kLanes) {
                        Simd::Store(panel + i, Simd::Load(lines.keys[x] + i));
                    }
                }
                continue;
            }
            Walk walk(p, tile.sequence, from + Larger(x * kPanel, skip), tile.kv_head);
            for (int64_t j = 0; j < kPanel; j++) {
                bool there = x * kPanel + j >= skip && x * kPanel + j < count;
                Slot slot = there ? walk.Next() : Slot{};
                for (int64_t i = 0; i < p.head_dim; i++) {
                    panel[i * kPanel + j] = there ? Widened(static_cast<const C*>(p.cache)[slot.key + i * slot.stride]) : 0;
                }
            }
        }
    }

    template <class K, class V>
    void Block(const PagedTile& tile, bool sinks, int64_t from, int64_t count, const Lines<K>& keys, const Lines<V>& values, const BlockScales* scales,
               const Lines<K>* keys_ahead, const Lines<V>* values_ahead, Between& between) {
        // What the tokens see never begins or ends earlier than what their predecessors see: those that see some of it are neighbours.
        auto rows_of = [&](int64_t begin, int64_t end) {
            Range rows{0, tile.tokens};
            while (rows.begin < rows.end && Seen(tile, sinks, rows.begin, from, from + count).end <= begin) {
                rows.begin++;
            }
            while (rows.begin < rows.end && Seen(tile, sinks, rows.end - 1, from, from + count).begin >= end) {
                rows.end--;
            }
            return rows;
        };
        int64_t panels = CeilDivide(count, kPanel), step = tile.tokens == 1 ? panels : 2;
        for (int64_t x = 0; x < panels; x += step) {
            int64_t last = Smaller(x + step, panels);
            Range rows = rows_of(x * kPanel, last * kPanel);
            int64_t first = rows.begin * tile.heads, number = (rows.end - rows.begin) * tile.heads;
            if (number > 0) {
                Scores(tile.query + first * plan_.stride, plan_.stride, number, keys, keys_ahead, x, last, p.head_dim,
                       tile.scores + first * kBlock, between);
            }
        }
        for (int64_t t = 0; t < tile.tokens;) {
            Range seen = Seen(tile, sinks, t, from, from + count);
            int64_t next = t + 1;
            for (; next < tile.tokens; next++) {
                Range other = Seen(tile, sinks, next, from, from + count);
                if (other.begin != seen.begin || other.end != seen.end) {
                    break;
                }
            }
            if (seen.begin < seen.end) {
                for (int64_t r = t * tile.heads; r < next * tile.heads;) {
                    float* scores = tile.scores + r * kBlock;
                    int64_t number = next * tile.heads - r >= 4 ? 4 : 1;
                    for (int64_t i = 0; scales != nullptr && i < number; i++) {
                        Scale(scores + i * kBlock, scales->keys);
                    }
                    (number == 4 ? Soften<4> : Soften<1>)(scores, seen.begin, seen.end, tile.sum_state + 2 * r, tile.ratio + r);
                    for (int64_t i = 0; scales != nullptr && i < number; i++) {
                        Scale(scores + i * kBlock, scales->values);
                    }
                    r += number;
                }
                // Only the keys that are seen: a weight of 0 would not hide a value that is not finite.
                int64_t row = t * tile.heads;
                Values(tile.scores + row * kBlock, tile.ratio + row, (next - t) * tile.heads, values, values_ahead, seen.begin, seen.end,
                       p.head_dim, tile.sum + row * plan_.stride, plan_.stride, between);
            }
            t = next;
        }
    }

    bool Sees(const PagedTile& tile, int64_t row, bool sinks, int64_t split) const {
        Range seen = Seen(tile, sinks, row / tile.heads, split * kSplit, (split + 1) * kSplit);
        return seen.begin < seen.end;
    }

    void AddSplit(const PagedTile& tile, const Splits& splits, int64_t part) {
        for (int64_t r = 0; r < tile.tokens * tile.heads; r++) {
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
        return first_partial_[sequence] + ((token - p.query_start[sequence]) * p.num_heads + head) * splits;
    }

    void KeepPartial(const PagedTile& tile, const Splits& splits, int64_t part) {
        for (int64_t r = 0; r < tile.tokens * tile.heads; r++) {
            int64_t row = PartialRow(tile.sequence, tile.first + r / tile.heads, tile.head + r % tile.heads, splits.Count()) + part;
            Copy(tile.sum + r * plan_.stride, tile.sum_state + 2 * r, Partial(row), PartialState(row));
        }
    }

    // Stage 3, of sequences that spread their splits.
    void Merge(int64_t token) {
        int64_t sequence = Last(p.query_start, p.sequences, token);
        if (first_partial_[sequence] < 0) {
            return;
        }
        int64_t first = p.query_start[sequence], position = p.position_ids[token];
        Splits all = SplitsOf(p, p.position_ids[first], p.position_ids[p.query_start[sequence + 1] - 1]),
               own = SplitsOf(p, position, position);
        for (int64_t head = 0; head < p.num_heads; head++) {
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
    const ParallelFor& parallel_;
    char* memory_;
    float* rotation_;
    int64_t *first_item_, *first_partial_, *next_;
};

}  // namespace
}  // namespace longcat
