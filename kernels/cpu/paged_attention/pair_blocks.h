// Blocks of a bfloat16 cache multiplied by dot products of pairs: queries and weights are rounded to bfloat16 once, maxima, exponentials and all
// sums are float32. Include after avx512.h and pairs_avx512.h.
#pragma once

#include "blocks.h"
#include "pair_tiles.h"
#include "soften.h"

namespace longcat {
namespace {

class PairBlocks {
  public:
    PairBlocks(const PagedAttentionArguments& arguments, const PagedAttentionPlan& plan)
        : p(arguments), plan_(plan), words_(CeilDivide(plan.stride, 32) * 16), whole_(p.page_size % kPanel == 0) {}

    // Row `index` of a tile's queries: pairs of neighbours, the last one padded with 0.
    void StoreQuery(const PagedTile& tile, int64_t index, const float* row, Vector scale) const {
        uint32_t* to = WordsAt(tile.query) + index * words_;
        for (int64_t i = 0; i < plan_.stride; i += 2 * Simd::kLanes) {
            bool two = i + Simd::kLanes < plan_.stride;
            Vector low = Simd::Multiply(Simd::Load(row + i), scale),
                   high = two ? Simd::Multiply(Simd::Load(row + i + Simd::kLanes), scale) : Simd::Zero();
            Pairs::Store(to + i / 2, Pairs::Round(low, high));
        }
    }

    // Adds the keys of a run to the sums of tiles of the same tokens.
    void Run(const PagedTile* tiles, int64_t number, const KeyRun& run) const {
        InBlocks<Place, kPairBlock>(
            tiles, number, run, [&](const PagedTile& tile, int64_t from, int64_t skip, int64_t count, Place* place) { Find(tile, from, skip, count, place); },
            [](int64_t count, const Place& here, Place* ahead) {
                for (int64_t x = CeilDivide(count, kPanel); x < kPairPanels; x++) {
                    ahead->keys[x] = here.keys[0];
                    ahead->values[x] = here.values[0];
                }
            },
            [&](const PagedTile& tile, int64_t from, int64_t skip, int64_t count, const Place& here, const Place& ahead) {
                if (tile.Rows() <= kFewPairRows && whole_) {
                    Between between;
                    Block(tile, run.sinks, from, count, here.keys, ahead.keys, CachedValues{here.values, ahead.values, p.head_dim}, between);
                } else {
                    Packed(tile, run.sinks, from, skip, count, here, ahead);
                }
            });
    }

  private:
    // Neighbouring weights are a pair of bfloat16.
    struct PairWeights {
        static Vector Exp2(Vector x) { return Pairs::Exp2(x); }
        static void Two(float* row, int v, Vector first, Vector second) {
            Pairs::Store(WordsAt(row) + v / 2 * Simd::kLanes, Pairs::Round(first, second));
        }
    };

    // Where the panels of a block lie and the values of their keys, in pages of whole panels; others are looked up key by key.
    struct Place {
        const uint16_t *keys[kPairPanels] = {}, *values[kPairPanels] = {};
    };

    static uint32_t* WordsAt(void* memory) { return static_cast<uint32_t*>(memory); }

    // Panels wholly before the keys are never scored for a row that looks at them, but a tile of several panels may read them: they stand for the
    // first one that is there.
    void Find(const PagedTile& tile, int64_t from, int64_t skip, int64_t count, Place* place) const {
        if (!whole_) {
            return;
        }
        const uint16_t* cache = static_cast<const uint16_t*>(p.cache);
        int64_t first = skip / kPanel;
        Walk walk(p, tile.sequence, from + first * kPanel, tile.kv_head);
        for (int64_t x = first; x < CeilDivide(count, kPanel); x++) {
            Slot slot = walk.NextPanel();
            place->keys[x] = cache + slot.key;
            place->values[x] = cache + slot.value;
        }
        for (int64_t x = 0; x < first; x++) {
            place->keys[x] = place->keys[first];
            place->values[x] = place->values[first];
        }
    }

    void Packed(const PagedTile& tile, bool sinks, int64_t from, int64_t skip, int64_t count, const Place& here, const Place& ahead) const {
        // Where each key and value lies; null: not seen by any row.
        const uint16_t *keys[kPairBlock] = {}, *values[kPairBlock] = {};
        int64_t strides[kPairBlock];
        if (whole_) {
            for (int64_t j = skip; j < count; j++) {
                values[j] = here.values[j / kPanel] + j % kPanel * p.head_dim;
            }
        } else {
            Walk walk(p, tile.sequence, from + skip, tile.kv_head);
            for (int64_t j = skip; j < count; j++) {
                Slot slot = walk.Next();
                keys[j] = static_cast<const uint16_t*>(p.cache) + slot.key;
                strides[j] = slot.stride;
                values[j] = static_cast<const uint16_t*>(p.cache) + slot.value;
            }
        }
        const uint16_t* panels[kPairPanels];
        int64_t panel = CeilDivide(p.head_dim, 2) * 2 * kPanel;
        for (int64_t x = 0; x < kPairPanels; x++) {
            uint16_t* to = reinterpret_cast<uint16_t*>(tile.keys) + Larger(x, skip / kPanel) * panel;
            panels[x] = to;
            if (x < skip / kPanel || x * kPanel >= count) {
                continue;
            }
            if (whole_) {
                PackPanel(here.keys[x], to);
            } else {
                GatherPanel(keys + x * kPanel, strides + x * kPanel, to);
            }
        }
        for (int64_t pair = skip / 2; pair < CeilDivide(count, 2); pair++) {
            PackValues(values[2 * pair], values[2 * pair + 1], WordsAt(tile.values) + pair * plan_.value_stride);
        }
        Between between;
        if (whole_) {
            int64_t tiles = CeilDivide(tile.Rows(), kPairRows) * (kPairPanels / 2 + CeilDivide(plan_.stride / Simd::kLanes, 2)), bytes = p.head_dim * kPanel * 2;
            between = Between(reinterpret_cast<const void* const*>(ahead.keys), kPairPanels, bytes, reinterpret_cast<const void* const*>(ahead.values),
                              kPairPanels, bytes, tiles);
        }
        Block(tile, sinks, from, count, panels, nullptr, PackedValues{WordsAt(tile.values), plan_.value_stride}, between);
    }

    // A panel of the cache as words [pairs of elements, 16].
    void PackPanel(const uint16_t* from, uint16_t* to) const {
        int64_t i = 0;
        for (; i + 2 <= p.head_dim; i += 2) {
            Pairs::Store(WordsAt(to + i * kPanel), Pairs::LoadRows(from + i * kPanel));
        }
        if (i < p.head_dim) {
            Pairs::Store(WordsAt(to + i * kPanel), Pairs::LoadRow(from + i * kPanel));
        }
    }

    // The same of keys that lie anywhere; 0 where there is none.
    void GatherPanel(const uint16_t* const* keys, const int64_t* strides, uint16_t* to) const {
        for (int64_t j = 0; j < kPanel; j++) {
            for (int64_t i = 0; i < CeilDivide(p.head_dim, 2) * 2; i++) {
                to[i / 2 * 2 * kPanel + 2 * j + i % 2] = keys[j] != nullptr && i < p.head_dim ? keys[j][i * strides[j]] : uint16_t{0};
            }
        }
    }

    // Two lines of values as words [columns]; null: zeros.
    void PackValues(const uint16_t* first, const uint16_t* second, uint32_t* to) const {
        for (int64_t i = 0; i < p.head_dim; i += 32) {
            auto load = [&](const uint16_t* x) __attribute__((always_inline)) {
                return x == nullptr ? Pairs::Zero() : i + 32 <= p.head_dim ? Pairs::LoadNumbers(x + i) : Pairs::LoadNumbers(x + i, p.head_dim - i);
            };
            Words a = load(first), b = load(second);
            Pairs::Store(to + i, Pairs::InterleaveLow(a, b));
            if (i + Simd::kLanes < plan_.stride) {
                Pairs::Store(to + i + Simd::kLanes, Pairs::InterleaveHigh(a, b));
            }
        }
    }

    template <class Source>
    void Block(const PagedTile& tile, bool sinks, int64_t from, int64_t count, const uint16_t* const* panels, const uint16_t* const* ahead,
               const Source& values, Between& between) const {
        auto score = [&](int64_t row, int64_t rows, int64_t first, int64_t last) {
            PairScores(WordsAt(tile.query) + row * words_, words_, rows, panels, ahead, first, last, p.head_dim, tile.scores + row * kPairBlock, between);
        };
        auto weigh = [&](int64_t row, int64_t rows, const Range& seen) {
            for (int64_t r = row; r < row + rows;) {
                int64_t number = row + rows - r >= 4 ? 4 : 1;
                (number == 4 ? Soften<4, kPairBlock, PairWeights> : Soften<1, kPairBlock, PairWeights>)(
                    tile.scores + r * kPairBlock, seen.begin, seen.end, tile.sum_state + 2 * r, tile.ratio + r);
                r += number;
            }
            PairValues(WordsAt(tile.scores) + row * kPairBlock, tile.ratio + row, rows, values, seen, p.head_dim, tile.sum + row * plan_.stride,
                       plan_.stride, between);
        };
        AttendBlock(p, tile, sinks, from, count, score, weigh);
    }

    const PagedAttentionArguments& p;
    const PagedAttentionPlan& plan_;
    const int64_t words_;  // of a row of queries
    const bool whole_;     // pages hold whole panels
};

}  // namespace
}  // namespace longcat
