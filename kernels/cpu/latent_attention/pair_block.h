// A block of keys of a bfloat16 cache as pairs: for scores the lines as they lie, for sums neighbouring keys interleaved once for all rows. Include after
// pairs_avx512.h.
#pragma once

#include "paths.h"
#include "scratch.h"
#include "tiles.h"

namespace longcat {
namespace {

// Values that are interleaved where they are used: of a few rows.
struct ValueLines {
    const char* const* lines;

    template <int V>
    __attribute__((always_inline)) void Load(int64_t i, int64_t column, Pairs::Words* value) const {
        const uint16_t *first = reinterpret_cast<const uint16_t*>(lines[2 * i]) + column, *second = reinterpret_cast<const uint16_t*>(lines[2 * i + 1]) + column;
        if constexpr (V == 1) {
            value[0] = Pairs::InterleaveLow(Pairs::LoadNumbers(first, Simd::kLanes), Pairs::LoadNumbers(second, Simd::kLanes));
        } else {
            static_assert(V % 2 == 0);
#pragma GCC unroll 8
            for (int v = 0; v < V; v += 2) {
                Pairs::Words a = Pairs::LoadNumbers(first + v * Simd::kLanes), b = Pairs::LoadNumbers(second + v * Simd::kLanes);
                value[v] = Pairs::InterleaveLow(a, b), value[v + 1] = Pairs::InterleaveHigh(a, b);
            }
        }
    }
};

class PairBlock {
  public:
    using Terms = Pairs;
    static constexpr int64_t kAhead = 16;  // words in 64 bytes of the cache

    PairBlock(const LatentAttentionArguments& arguments, const LatentAttentionPlan& plan, float* memory, bool few)
        : p(arguments),
          width_(arguments.rank + arguments.rope),
          stride_(plan.stride),
          copy_(CeilDivide(width_, kChunk) * kChunk),
          pairs_(reinterpret_cast<uint32_t*>(memory)),
          lines_(reinterpret_cast<uint16_t*>(pairs_ + kKeyBlock / 2 * stride_)),
          copies_(few ? width_ % 8 != 0 || p.selected != nullptr || p.page_size % kFewTileKeys != 0 : width_ % 2 != 0),
          in_place_(few && p.rank % Simd::kLanes == 0) {
        for (int64_t j = 0; j < kKeyBlock; j++) {
            keys_[j] = reinterpret_cast<const char*>(lines_ + j * copy_);
        }
    }

    static int64_t WordsOf(int64_t width) { return CeilDivide(width, 2); }

    static void StoreQuery(const float* from, int64_t width, int64_t rows, uint32_t* to) {
        for (int64_t d = 0; d < width; d += kChunk) {
            int64_t count = Smaller(kChunk, width - d);
            uint32_t words[kChunk / 2];
            Pairs::Store(words, from == nullptr ? Pairs::Zero() : count < kChunk ? Pairs::Round(from + d, count) : Pairs::Round(from + d));
            for (int64_t i = 0; i < WordsOf(count); i++) {
                to[(d / 2 + i) * rows] = words[i];
            }
        }
    }

    // Lines that a tile cannot read where they lie, padded with zeros: of an odd number of elements, or not one behind the other.
    void Take(const char* const* lines, int64_t from, int64_t to) {
        for (int64_t j = from; copies_ && j < to; j++) {
            const uint16_t* line = reinterpret_cast<const uint16_t*>(lines[j]);
            for (int64_t i = 0; i < width_; i += kChunk) {
                Pairs::Words numbers = width_ - i < kChunk ? Pairs::LoadNumbers(line + i, width_ - i) : Pairs::LoadNumbers(line + i);
                Pairs::Store(reinterpret_cast<uint32_t*>(lines_ + j * copy_ + i), numbers);
            }
        }
    }

    // The pairs that these keys are in; a key that is not there has the value 0.
    void TakeValues(const char* const* lines, int64_t from, int64_t to) {
        for (int64_t i = from / 2; !in_place_ && 2 * i < to; i++) {
            const uint16_t* first = 2 * i < from ? nullptr : reinterpret_cast<const uint16_t*>(lines[2 * i]);
            const uint16_t* second = 2 * i + 1 >= to ? nullptr : reinterpret_cast<const uint16_t*>(lines[2 * i + 1]);
            for (int64_t column = 0; column < p.rank; column += kChunk) {
                auto load = [&](const uint16_t* line) __attribute__((always_inline)) {
                    return line == nullptr              ? Pairs::Zero()
                           : p.rank - column < kChunk ? Pairs::LoadNumbers(line + column, p.rank - column)
                                                      : Pairs::LoadNumbers(line + column);
                };
                Pairs::Words a = load(first), b = load(second);
                uint32_t* to_pair = pairs_ + i * stride_ + column;
                Pairs::Store(to_pair, Pairs::InterleaveLow(a, b));
                if (column + Simd::kLanes < stride_) {
                    Pairs::Store(to_pair + Simd::kLanes, Pairs::InterleaveHigh(a, b));
                }
            }
        }
    }

    const char* const* Keys(const char* const* lines, int64_t j) const { return copies_ ? keys_ + j : lines + j; }
    // Where they are not copied they lie in one page, one behind the other.
    const char* FewKeys(const char* const* lines, int64_t j, int64_t taken) const {
        return copies_ ? keys_[j] : lines[taken] - (taken - j) * FewStride();
    }
    int64_t FewStride() const { return (copies_ ? copy_ : width_) * static_cast<int64_t>(sizeof(uint16_t)); }

    void Add(const char* const* lines, const float* weights, int64_t rows, int64_t count, const float* ratio, int64_t from, int64_t to, float* sums,
             int64_t stride) const {
        const uint32_t* pairs = reinterpret_cast<const uint32_t*>(weights);
        ValueRun run = {from / 2, CeilDivide(to, 2), from % 2 != 0, to % 2 != 0};
        if (in_place_) {
            Values<Pairs>(pairs, rows, count, ratio, ValueLines{lines}, run, stride, sums, stride);
        } else {
            Values<Pairs>(pairs, rows, count, ratio, ValueRows<Pairs>{pairs_, stride_}, run, stride, sums, stride);
        }
    }

  private:
    static constexpr int64_t kChunk = kLineChunk;

    const LatentAttentionArguments& p;
    const int64_t width_, stride_, copy_;
    uint32_t* const pairs_;  // [kKeyBlock / 2, stride]
    uint16_t* const lines_;  // [kKeyBlock, copy]
    const bool copies_, in_place_;
    const char* keys_[kKeyBlock];
};

}  // namespace
}  // namespace longcat
