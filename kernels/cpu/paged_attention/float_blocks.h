// Blocks of keys multiplied as float32, whatever the cache holds. Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "blocks.h"
#include "soften.h"
#include "tiles.h"

namespace longcat {
namespace {

inline float Widened(float x) { return x; }
inline float Widened(uint16_t x) { return WidenBFloat16(x); }
inline float Widened(int8_t x) { return x; }

inline void Scale(float* scores, const float* scales) {
    for (int64_t j = 0; j < kBlock; j += Simd::kLanes) {
        Simd::Store(scores + j, Simd::Multiply(Simd::Load(scores + j), Simd::Load(scales + j)));
    }
}

class FloatBlocks {
  public:
    FloatBlocks(const PagedAttentionArguments& arguments, const PagedAttentionPlan& plan) : p(arguments), plan_(plan) {}

    // Row `index` of a tile's queries.
    void StoreQuery(const PagedTile& tile, int64_t index, const float* row, Vector scale) const {
        for (int64_t i = 0; i < plan_.stride; i += Simd::kLanes) {
            Simd::Store(tile.query + index * plan_.stride + i, Simd::Multiply(Simd::Load(row + i), scale));
        }
    }

    // Adds the keys of a run to the sums of tiles of the same tokens.
    void Run(const PagedTile* tiles, int64_t number, const KeyRun& run) const {
        if (p.cache_type == CacheType::kFloat32) {
            RunOf<float>(tiles, number, run);
        } else if (p.cache_type == CacheType::kInt8) {
            RunOf<int8_t>(tiles, number, run);
        } else {
            RunOf<uint16_t>(tiles, number, run);
        }
    }

  private:
    struct FloatWeights {
        static Vector Exp2(Vector x) { return longcat::Exp2(x); }
        static void Two(float* row, int v, Vector first, Vector second) {
            Simd::Store(row + v * Simd::kLanes, first);
            Simd::Store(row + (v + 1) * Simd::kLanes, second);
        }
    };

    // Where a block lies.
    template <class C>
    struct Place {
        Lines<C> lines;
        BlockScales<C> scales;
    };

    // Panels wholly before the keys are never scored for a row that looks at them, but a tile of several panels may read them: they stand for the
    // first one that is there.
    template <class C>
    void Find(const PagedTile& tile, int64_t from, int64_t skip, int64_t count, Place<C>* place) const {
        const C* cache = static_cast<const C*>(p.cache);
        Lines<C>& lines = place->lines;
        Walk walk(p, tile.sequence, from + skip, tile.kv_head);
        for (int64_t j = skip; j < count; j++) {
            Slot slot = walk.Next();
            lines.values[j] = cache + slot.value;
            if constexpr (sizeof(C) == 1) {
                place->scales.keys[j] = ScaleAt(cache + slot.key_scale);
                place->scales.values[j] = ScaleAt(cache + slot.value_scale);
            }
            if (j % kPanel == 0 || j == skip) {
                lines.keys[j / kPanel] = cache + slot.key - j % kPanel;  // pages of whole panels, no others are read in place
            }
        }
        for (int64_t j = 0; j < skip; j++) {
            lines.values[j] = lines.values[skip];
        }
        for (int64_t x = 0; x < skip / kPanel; x++) {
            lines.keys[x] = lines.keys[skip / kPanel];
        }
        if constexpr (sizeof(C) == 1) {
            for (int64_t j = 0; j < kBlock; j++) {
                if (j < skip || j >= count) {
                    place->scales.keys[j] = place->scales.values[j] = 0;
                }
            }
        }
    }

    template <class C>
    void RunOf(const PagedTile* tiles, int64_t number, const KeyRun& run) const {
        InBlocks<Place<C>, kBlock>(
            tiles, number, run, [&](const PagedTile& tile, int64_t from, int64_t skip, int64_t count, Place<C>* place) { Find(tile, from, skip, count, place); },
            [](int64_t count, const Place<C>& here, Place<C>* ahead) {
                for (int64_t j = count; j < kBlock; j++) {
                    ahead->lines.values[j] = here.lines.values[0];
                }
                for (int64_t x = CeilDivide(count, kPanel); x < kBlock / kPanel; x++) {
                    ahead->lines.keys[x] = here.lines.keys[0];
                }
            },
            [&](const PagedTile& tile, int64_t from, int64_t skip, int64_t count, const Place<C>& here, const Place<C>& ahead) {
                BlockOf(tile, run.sinks, from, skip, count, here.lines, here.scales.Get(), ahead.lines);
            });
    }

    // Few rows read keys and values in place, except keys in pages that hold no whole panels; for many they are widened once, and values are
    // moved where they lie well for the first-level cache.
    template <class C>
    void BlockOf(const PagedTile& tile, bool sinks, int64_t from, int64_t skip, int64_t count, const Lines<C>& here, const BlockScales<int8_t>* scale,
                 const Lines<C>& ahead) const {
        bool few = tile.Rows() <= kMostRows, whole = p.page_size % kPanel == 0;
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
        if (whole) {
            int64_t tiles = CeilDivide(tile.Rows(), kMostRows) * (kBlock / 16 / 2 * kPanelVectors + plan_.stride / Simd::kLanes / 2),
                    line = p.head_dim * static_cast<int64_t>(sizeof(C));
            between = Between(reinterpret_cast<const void* const*>(ahead.keys), kBlock / kPanel, kPanel * line,
                              reinterpret_cast<const void* const*>(ahead.values), kBlock, line, tiles);
        }
        Block(tile, sinks, from, count, wide, wide, scale, none, none, between);
    }

    // Panels of float32 of a block's keys; those that are that already stay where they are.
    template <class C>
    void WidenKeys(const PagedTile& tile, int64_t from, int64_t skip, int64_t count, const Lines<C>& lines, Lines<float>* wide) const {
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
    void Block(const PagedTile& tile, bool sinks, int64_t from, int64_t count, const Lines<K>& keys, const Lines<V>& values,
               const BlockScales<int8_t>* scales, const Lines<K>* keys_ahead, const Lines<V>* values_ahead, Between& between) const {
        auto score = [&](int64_t row, int64_t rows, int64_t first, int64_t last) {
            Scores(tile.query + row * plan_.stride, plan_.stride, rows, keys, keys_ahead, first, last, p.head_dim, tile.scores + row * kBlock,
                   between);
        };
        auto weigh = [&](int64_t row, int64_t rows, const Range& seen) {
            for (int64_t r = row; r < row + rows;) {
                float* scores = tile.scores + r * kBlock;
                int64_t number = row + rows - r >= 4 ? 4 : 1;
                for (int64_t i = 0; scales != nullptr && i < number; i++) {
                    Scale(scores + i * kBlock, scales->keys);
                }
                (number == 4 ? Soften<4, kBlock, FloatWeights> : Soften<1, kBlock, FloatWeights>)(scores, seen.begin, seen.end,
                                                                                                         tile.sum_state + 2 * r, tile.ratio + r);
                for (int64_t i = 0; scales != nullptr && i < number; i++) {
                    Scale(scores + i * kBlock, scales->values);
                }
                r += number;
            }
            // Only the keys that are seen: a weight of 0 would not hide a value that is not finite.
            Values(tile.scores + row * kBlock, tile.ratio + row, rows, values, values_ahead, seen.begin, seen.end, p.head_dim,
                   tile.sum + row * plan_.stride, plan_.stride, between);
        };
        AttendBlock(p, tile, sinks, from, count, score, weigh);
    }

    const PagedAttentionArguments& p;
    const PagedAttentionPlan& plan_;
};

}  // namespace
}  // namespace longcat
