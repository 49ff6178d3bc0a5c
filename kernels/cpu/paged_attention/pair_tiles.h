// The two register tiles of PagedAttention for bfloat16 caches: dot products of pairs. Include after avx512.h and pairs_avx512.h.
//
// Scores  s[i, j]  = Σ_d q[i, d] · k[d, j]      a lane is a key, a word the pair (d, d + 1), d ascending
// Values  y[i, :]  = ratio_i · y[i, :] + Σ_j w[i, j] · v_j      a lane is a column, a word the pair of keys (2j, 2j + 1), j ascending
//
// Two rows of a panel of the cache, [head_dim, 16], are one line, and one permutation of it is a vector of pairs; two lines of values are two
// vectors of pairs. So few rows read the cache in place and permute what they load; for many rows a block is packed once: keys [pairs of
// elements, 16] per panel, values [pairs of keys, value_stride]. Either way a row's sums have the same terms in the same order.
#pragma once

#include "blocks.h"
#include "tiles.h"

namespace longcat {
namespace {

using Vector = Simd::Vector;
using Words = Pairs::Words;

constexpr int kPairRows = 12;                          // rows of the largest tile
constexpr int kCachedRows = 8;                         // … of one that reads the cache in place: more would leave no registers to permute in
constexpr int64_t kFewPairRows = 24;                   // rows that read it in place, tile by tile
constexpr int64_t kPairPanels = kPairBlock / kPanel;   // panels of a block

// Vectors that a tile of so many rows has registers for: 24 sums of 32 registers.
constexpr int MostPairVectors(int rows) { return rows <= 3 ? 8 : rows <= 6 ? 4 : 2; }
constexpr int MostPairPanels(int rows) { return rows <= 6 ? 4 : 2; }

// panels: of the cache, or packed: two rows of halves, or sixteen words, are a line either way.
template <int M, int P, bool kInPlace>
void PairScoreTile(const uint32_t* query, int64_t query_stride, const uint16_t* const* panels, const uint16_t* const* ahead, int64_t dim,
                   float* scores) {
    Vector sum[M][P];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int x = 0; x < P; x++) {
            sum[i][x] = Simd::Zero();
        }
    }
    const uint16_t* at[P];
#pragma GCC unroll 16
    for (int x = 0; x < P; x++) {
        at[x] = panels[x];
    }
    auto step = [&](int64_t pair, auto load) __attribute__((always_inline)) {
        Words key[P];
#pragma GCC unroll 16
        for (int x = 0; x < P; x++) {
            key[x] = load(at[x] + pair * 2 * kPanel);
        }
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            Words q = Pairs::All(query[i * query_stride + pair]);
#pragma GCC unroll 16
            for (int x = 0; x < P; x++) {
                sum[i][x] = Pairs::MultiplyAdd(q, key[x], sum[i][x]);
            }
        }
    };
    int64_t pairs = kInPlace ? dim / 2 : CeilDivide(dim, 2);
    for (int64_t pair = 0; pair < pairs; pair++) {
        if constexpr (kInPlace) {
#pragma GCC unroll 16
            for (int x = 0; x < P; x++) {
                __builtin_prefetch(ahead[x] + pair * 2 * kPanel, 0, 2);
            }
            step(pair, [](const uint16_t* x) __attribute__((always_inline)) { return Pairs::LoadRows(x); });
        } else {
            step(pair, [](const uint16_t* x) __attribute__((always_inline)) { return Pairs::LoadNumbers(x); });
        }
    }
    if (kInPlace && dim % 2 != 0) {
        step(pairs, [](const uint16_t* x) __attribute__((always_inline)) { return Pairs::LoadRow(x); });
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int x = 0; x < P; x++) {
            Simd::Store(scores + i * kPairBlock + x * kPanel, sum[i][x]);
        }
    }
}

// A number as a type.
template <int N>
struct Number {
    static constexpr int value = N;
};

// Where the values of a block lie. In place: lines of the cache, the first of each panel, and those of the next block. Packed: words
// [pairs of keys, stride].
struct CachedValues {
    static constexpr bool kInPlace = true;
    static constexpr int kMostRows = kCachedRows;
    const uint16_t *const *panels, *const *ahead;
    int64_t dim;
    // For the tiles after the first: what comes next is asked for already.
    CachedValues Again() const { return {panels, panels, dim}; }
};
struct PackedValues {
    static constexpr bool kInPlace = false;
    static constexpr int kMostRows = kPairRows;
    const uint32_t* words;
    int64_t stride;
    PackedValues Again() const { return *this; }
};

// V vectors of sums; keys [seen.begin, seen.end). At an odd end one key of a pair is not seen: its value takes part as 0, whatever it is.
// part: columns of the last 32 of the tile that the cache has.
template <int M, int V, class Source>
void PairValueTile(const uint32_t* weights, const float* ratio, const Source& values, const Range& seen, int64_t column, int64_t part, float* sums,
                   int64_t stride) {
    constexpr bool kInPlace = Source::kInPlace;
    constexpr int kChunks = (V + 1) / 2;  // of 32 columns
    Vector sum[M][V];
    sums += column;
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        Vector scale = Simd::All(ratio[i]);
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            sum[i][v] = Simd::Multiply(Simd::Load(sums + i * stride + v * Simd::kLanes), scale);
        }
    }
    auto add = [&](int64_t pair, int v, Words word) __attribute__((always_inline)) {
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            sum[i][v] = Pairs::MultiplyAdd(Pairs::All(weights[i * kPairBlock + pair]), word, sum[i][v]);
        }
    };
    // one: which key of the pair is seen alone, 0 or 1; 2: both.
    auto step = [&](int64_t pair, auto one, auto masked) __attribute__((always_inline)) {
        constexpr int kOne = decltype(one)::value;
        if constexpr (kInPlace) {
            int64_t line = pair % (kPanel / 2) * 2 * values.dim + column;
            const uint16_t *first = values.panels[pair / (kPanel / 2)] + line, *second = first + values.dim;
            const uint16_t* ahead = values.ahead[pair / (kPanel / 2)] + line;
#pragma GCC unroll 16
            for (int c = 0; c < kChunks; c++) {
                __builtin_prefetch(ahead + c * 32, 0, 2);
                __builtin_prefetch(ahead + values.dim + c * 32, 0, 2);
            }
#pragma GCC unroll 16
            for (int c = 0; c < kChunks; c++) {
                auto load = [&](const uint16_t* x) __attribute__((always_inline)) {
                    return decltype(masked)::value != 0 && c == kChunks - 1 ? Pairs::LoadNumbers(x + c * 32, part) : Pairs::LoadNumbers(x + c * 32);
                };
                Words a = kOne == 1 ? Pairs::Zero() : load(first), b = kOne == 0 ? Pairs::Zero() : load(second);
                add(pair, 2 * c, Pairs::InterleaveLow(a, b));
                if (2 * c + 1 < V) {
                    add(pair, 2 * c + 1, Pairs::InterleaveHigh(a, b));
                }
            }
        } else {
            const uint32_t* row = values.words + pair * values.stride + column;
            Words word[V];
#pragma GCC unroll 16
            for (int v = 0; v < V; v++) {
                word[v] = Pairs::Load(row + v * Simd::kLanes);
                if constexpr (kOne != 2) {
                    word[v] = kOne == 0 ? Pairs::OnlyFirst(word[v]) : Pairs::OnlySecond(word[v]);
                }
            }
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                Words weight = Pairs::All(weights[i * kPairBlock + pair]);
#pragma GCC unroll 16
                for (int v = 0; v < V; v++) {
                    sum[i][v] = Pairs::MultiplyAdd(weight, word[v], sum[i][v]);
                }
            }
        }
    };
    int64_t pair = seen.begin / 2;
    if (seen.begin % 2 != 0) {
        step(pair++, Number<1>(), Number<kInPlace>());
    }
    if (!kInPlace || part == 32) {
        for (; pair < seen.end / 2; pair++) {
            step(pair, Number<2>(), Number<0>());
        }
    } else {
        for (; pair < seen.end / 2; pair++) {
            step(pair, Number<2>(), Number<1>());
        }
    }
    if (pair < CeilDivide(seen.end, 2)) {
        step(pair, Number<0>(), Number<kInPlace>());
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            Simd::Store(sums + i * stride + v * Simd::kLanes, sum[i][v]);
        }
    }
}

using PairScoreTileFunction = void (*)(const uint32_t*, int64_t, const uint16_t* const*, const uint16_t* const*, int64_t, float*);
template <class Source>
using PairValueTileFunction = void (*)(const uint32_t*, const float*, const Source&, const Range&, int64_t, int64_t, float*, int64_t);

// [rows - 1][log2 of panels or vectors], up to what the rows have registers for.
template <class = decltype(CountTo<kPairRows * 4>())>
struct PairTiles;
template <int... I>
struct PairTiles<Numbers<I...>> {
    static constexpr PairScoreTileFunction kCachedScores[] = {
        PairScoreTile<Clip(I / 4 + 1, kCachedRows), Clip(1 << I % 4, MostPairPanels(I / 4 + 1)), true>...};
    static constexpr PairScoreTileFunction kPackedScores[] = {PairScoreTile<I / 4 + 1, Clip(1 << I % 4, MostPairPanels(I / 4 + 1)), false>...};
    template <class Source>
    static constexpr PairValueTileFunction<Source> kValues[] = {
        PairValueTile<Clip(I / 4 + 1, Source::kMostRows), Clip(1 << I % 4, MostPairVectors(I / 4 + 1)), Source>...};
};

// scores [rows, kPairBlock], columns of panels [first, last). Panels outside, rows inside: two panels stay in the first-level cache for all rows.
// ahead: null where the panels are packed.
inline void PairScores(const uint32_t* query, int64_t query_stride, int64_t rows, const uint16_t* const* panels, const uint16_t* const* ahead,
                       int64_t first, int64_t last, int64_t dim, float* scores, Between& between) {
    int64_t most = ahead != nullptr ? kCachedRows : kPairRows, wide = MostPairPanels(static_cast<int>(Smaller(most, rows)));
    for (int64_t x = first; x < last;) {
        int log = Log2(Smaller(wide, last - x));
        for (int64_t i = 0; i < rows; i += most) {
            int64_t index = (Smaller(most, rows - i) - 1) * 4 + log;
            PairScoreTileFunction tile = ahead != nullptr ? PairTiles<>::kCachedScores[index] : PairTiles<>::kPackedScores[index];
            tile(query + i * query_stride, query_stride, panels + x, (ahead != nullptr && i == 0 ? ahead : panels) + x, dim, scores + i * kPairBlock + x * kPanel);
            between();
        }
        x += int64_t{1} << log;
    }
}

// sums [rows, stride] = ratio · sums + weights [rows, kPairBlock] · values, keys `seen`. Columns outside, rows inside.
template <class Source>
void PairValues(const uint32_t* weights, const float* ratio, int64_t rows, const Source& values, const Range& seen, int64_t dim, float* sums,
                int64_t stride, Between& between) {
    int64_t wide = MostPairVectors(static_cast<int>(Smaller(Source::kMostRows, rows)));
    for (int64_t column = 0; column < dim;) {
        int log = Log2(Smaller(wide, CeilDivide(dim - column, Simd::kLanes)));
        int64_t next = column + (Simd::kLanes << log), chunk = column + ((Simd::kLanes << log) - 1) / 32 * 32, part = Smaller(32, dim - chunk);
        if (log == 0) {
            part = Smaller(part, Simd::kLanes);
        }
        for (int64_t i = 0; i < rows; i += Source::kMostRows) {
            int64_t tile = Smaller(Source::kMostRows, rows - i);
            PairTiles<>::kValues<Source>[(tile - 1) * 4 + log](weights + i * kPairBlock, ratio + i, i == 0 ? values : values.Again(), seen, column, part,
                                                               sums + i * stride, stride);
            between();
        }
        column = next;
    }
}

}  // namespace
}  // namespace longcat
