// A block of keys as floats, for every type of the cache: widened once for all rows, keys and values at once. Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "paths.h"
#include "scratch.h"
#include "tiles.h"

namespace longcat {
namespace {

// A part of a line of the cache as numbers: integers times their scale, others as they are.
template <class C>
void WidenRow(const C* from, int64_t count, Vector scale, float* to) {
    auto number = [&](Vector x) __attribute__((always_inline)) { return sizeof(C) == 1 ? Simd::Multiply(x, scale) : x; };
    int64_t i = 0;
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        Simd::Store(to + i, number(Simd::Load(from + i)));
    }
    if (i < count) {
        Simd::Store(to + i, number(Simd::Load(from + i, count - i)), count - i);
    }
}

template <class C>
class NumberBlock {
  public:
    using Terms = Singles;
    static constexpr int64_t kAhead = 64 / static_cast<int64_t>(sizeof(C));  // words in 64 bytes of the cache

    NumberBlock(const LatentAttentionArguments& arguments, const LatentAttentionPlan& plan, float* memory, bool)
        : p(arguments), width_(arguments.rank + arguments.rope), line_(plan.line), memory_(memory) {
        for (int64_t j = 0; j < kKeyBlock; j++) {
            keys_[j] = reinterpret_cast<const char*>(memory + j * line_);
        }
    }

    static int64_t WordsOf(int64_t width) { return width; }

    // A row of queries as column r of [words, rows]; null: zeros.
    static void StoreQuery(const float* from, int64_t width, int64_t rows, float* to) {
        for (int64_t d = 0; d < width; d++) {
            to[d * rows] = from == nullptr ? 0 : from[d];
        }
    }

    // The keys [from, to) of the block are needed, for their scores and then for their values.
    void Take(const char* const* lines, int64_t from, int64_t to) {
        for (int64_t j = from; j < to; j++) {
            const C* line = reinterpret_cast<const C*>(lines[j]);
            float* wide = memory_ + j * line_;
            if constexpr (sizeof(C) == 1) {
                LineScales scales = ScalesOf(p, line);
                WidenRow(line, p.rank, Simd::All(scales.latent), wide);
                WidenRow(line + p.rank, p.rope, Simd::All(scales.key), wide + p.rank);
            } else {
                WidenRow(line, width_, Simd::All(1), wide);
            }
        }
    }
    void TakeValues(const char* const*, int64_t, int64_t) {}

    // Where the keys from j on lie: of one tile, of a tile of few rows (the first that is there is `taken`).
    const char* const* Keys(const char* const*, int64_t j) const { return keys_ + j; }
    const char* FewKeys(const char* const*, int64_t j, int64_t) const { return keys_[j]; }
    int64_t FewStride() const { return line_ * static_cast<int64_t>(sizeof(float)); }

    // Adds the values of keys [from, to) to the sums of `count` rows; weights: of the first of these rows, by key.
    void Add(const char* const*, const float* weights, int64_t rows, int64_t count, const float* ratio, int64_t from, int64_t to, float* sums,
             int64_t stride) const {
        Values<Singles>(weights, rows, count, ratio, ValueRows<Singles>{memory_, line_}, {from, to}, stride, sums, stride);
    }

  private:
    const LatentAttentionArguments& p;
    const int64_t width_, line_;
    float* const memory_;  // [kKeyBlock, line]
    const char* keys_[kKeyBlock];
};

}  // namespace
}  // namespace longcat
