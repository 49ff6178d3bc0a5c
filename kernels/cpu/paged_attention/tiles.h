// The two register tiles of PagedAttention, written once for every vector width. Include after avx2.h or avx512.h.
//
// Scores  s[i, j]  = Σ_d q[i, d] · k[d, j]        keys in panels [d, 16]: lanes are keys, d ascending
// Values  y[i, :]  = ratio_i · y[i, :] + Σ_j s[i, j] · v_j     lanes are elements of the value, j ascending
//
// Every result lives in one lane of one register and is summed in ascending order: it depends on nothing but its own terms, not on the
// tile. A tile of M rows keeps M · V sums; M rows share each vector of keys or values that is read, V vectors share each query or weight.
//
// Few rows are bound by reading the cache, and the processor's own prefetcher stops at every page of memory. `ahead`, where it is not
// null, points to the panels and values of the next block: a tile asks the second-level cache for the line of each that lies where it
// reads.
#pragma once

#include "blocks.h"

namespace longcat {
namespace {

using Vector = Simd::Vector;

constexpr bool kManyRegisters = Simd::kLanes == 16;  // 32 of them, else 16
constexpr int kMostRows = kManyRegisters ? 12 : 6;   // rows of the largest tile
constexpr int kPanelVectors = 16 / Simd::kLanes;     // vectors of one panel

// Vectors that a tile of so many rows has registers for: 24 sums of 32 registers, 12 of 16. A few rows take more, so that enough sums
// are under way to hide the latency of an addition.
constexpr int MostVectors(int rows) {
    if (kManyRegisters) {
        return rows <= 3 ? 8 : rows <= 6 ? 4 : 2;
    }
    return rows == 1 ? 8 : rows == 2 ? 4 : 2;
}
constexpr int MostPanels(int rows) { return (MostVectors(rows) < 4 ? MostVectors(rows) : 4) / kPanelVectors; }

template <int M, int P, class K>
void ScoreTile(const float* query, int64_t query_stride, const K* const* panels, const K* const* ahead, int64_t dim, float* scores) {
    constexpr int V = P * kPanelVectors;
    Vector sum[M][V];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            sum[i][v] = Simd::Zero();
        }
    }
    const K* at[P];
#pragma GCC unroll 16
    for (int x = 0; x < P; x++) {
        at[x] = panels[x];
    }
    for (int64_t d = 0; d < dim; d++) {
        if (ahead != nullptr) {
            // A line holds two rows of a bfloat16 panel, four of int8: so many parts of the panels take turns.
            constexpr int kTurns = 4 / static_cast<int>(sizeof(K)) < P ? 4 / static_cast<int>(sizeof(K)) : P, kAtOnce = P / kTurns;
#pragma GCC unroll 16
            for (int x = 0; x < kAtOnce; x++) {
                __builtin_prefetch(ahead[x + kAtOnce * (d % kTurns)] + d * 16, 0, 2);
            }
        }
        Vector key[V];
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            key[v] = Simd::Load(at[v / kPanelVectors] + d * 16 + v % kPanelVectors * Simd::kLanes);
        }
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            Vector q = Simd::All(query[i * query_stride + d]);
#pragma GCC unroll 16
            for (int v = 0; v < V; v++) {
                sum[i][v] = Simd::MultiplyAdd(q, key[v], sum[i][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            Simd::Store(scores + i * kBlock + v * Simd::kLanes, sum[i][v]);
        }
    }
}

// V vectors of columns, `part` elements of which count in the last one (0: all). The sums are padded to whole vectors, values are not.
template <int M, int V, class T>
void ValueTile(const float* weights, const float* ratio, const T* const* values, const T* const* ahead, int64_t count, int64_t column,
               int64_t part, float* sums, int64_t stride) {
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
    auto run = [&](auto load_last) __attribute__((always_inline)) {
        for (int64_t j = 0; j < count; j++) {
            const T* row = values[j] + column;
            if (ahead != nullptr) {
                constexpr int kLine = 64 / static_cast<int>(sizeof(T)), kLines = (V * Simd::kLanes + kLine - 1) / kLine;
#pragma GCC unroll 16
                for (int x = 0; x < kLines; x++) {
                    __builtin_prefetch(ahead[j] + column + x * kLine, 0, 2);
                }
            }
            Vector value[V];
#pragma GCC unroll 16
            for (int v = 0; v < V - 1; v++) {
                value[v] = Simd::Load(row + v * Simd::kLanes);
            }
            value[V - 1] = load_last(row + (V - 1) * Simd::kLanes);
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                Vector weight = Simd::All(weights[i * kBlock + j]);
#pragma GCC unroll 16
                for (int v = 0; v < V; v++) {
                    sum[i][v] = Simd::MultiplyAdd(weight, value[v], sum[i][v]);
                }
            }
        }
    };
    if (part == 0) {
        run([](const T* x) __attribute__((always_inline)) { return Simd::Load(x); });
    } else {
        run([part](const T* x) __attribute__((always_inline)) { return Simd::Load(x, part); });
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            Simd::Store(sums + i * stride + v * Simd::kLanes, sum[i][v]);
        }
    }
}

// 0, 1, … count - 1 as a type.
template <int... I>
struct Numbers {};
template <int N, int... I>
constexpr auto CountTo() {
    if constexpr (N == 0) {
        return Numbers<I...>();
    } else {
        return CountTo<N - 1, N - 1, I...>();
    }
}
constexpr int Clip(int value, int most) { return value < most ? value : most; }

template <class K>
using ScoreTileFunction = void (*)(const float*, int64_t, const K* const*, const K* const*, int64_t, float*);
template <class T>
using ValueTileFunction = void (*)(const float*, const float*, const T* const*, const T* const*, int64_t, int64_t, int64_t, float*,
                                   int64_t);

// [rows - 1][log2 of panels or vectors], up to what the rows have registers for.
template <class T, class = decltype(CountTo<kMostRows * 4>())>
struct PagedTiles;
template <class T, int... I>
struct PagedTiles<T, Numbers<I...>> {
    static constexpr ScoreTileFunction<T> kScores[] = {ScoreTile<I / 4 + 1, Clip(1 << I % 4, MostPanels(I / 4 + 1)), T>...};
    static constexpr ValueTileFunction<T> kValues[] = {ValueTile<I / 4 + 1, Clip(1 << I % 4, MostVectors(I / 4 + 1)), T>...};
};

inline int Log2(int64_t value) { return 63 - __builtin_clzll(static_cast<unsigned long long>(value)); }

// The scales of a block of int8, 0 where it has no key; other types have none.
template <class C>
struct BlockScales {
    const BlockScales<int8_t>* Get() const { return nullptr; }
};
template <>
struct BlockScales<int8_t> {
    alignas(64) float keys[kBlock], values[kBlock];
    const BlockScales<int8_t>* Get() const { return this; }
};

// Where the keys and values of a block lie.
template <class T>
struct Lines {
    const T* keys[kBlock / 16];
    const T* values[kBlock];
};

// scores [rows, kBlock], columns of panels [first, last). Panels outside, rows inside: two panels stay in the first-level cache for all
// rows.
template <class K>
void Scores(const float* query, int64_t query_stride, int64_t rows, const Lines<K>& lines, const Lines<K>* ahead, int64_t first,
            int64_t last, int64_t dim, float* scores, Between& between) {
    int64_t wide = MostPanels(static_cast<int>(rows < kMostRows ? rows : kMostRows));
    for (int64_t x = first; x < last;) {
        int log = Log2(Smaller(wide, last - x));
        for (int64_t i = 0; i < rows; i += kMostRows) {
            int64_t tile = Smaller(kMostRows, rows - i);
            PagedTiles<K>::kScores[(tile - 1) * 4 + log](query + i * query_stride, query_stride, lines.keys + x,
                                                         ahead != nullptr ? ahead->keys + x : nullptr, dim, scores + i * kBlock + x * 16);
            between();
        }
        x += int64_t{1} << log;
    }
}

// sums [rows, stride] = ratio · sums + weights [rows, kBlock] · values, keys [first, last). Columns outside, rows inside.
template <class T>
void Values(const float* weights, const float* ratio, int64_t rows, const Lines<T>& lines, const Lines<T>* ahead, int64_t first,
            int64_t last, int64_t dim, float* sums, int64_t stride, Between& between) {
    int64_t wide = MostVectors(static_cast<int>(rows < kMostRows ? rows : kMostRows));
    for (int64_t column = 0; column < dim;) {
        int log = Log2(Smaller(wide, CeilDivide(dim - column, Simd::kLanes)));
        int64_t next = column + (Simd::kLanes << log), part = next > dim ? dim % Simd::kLanes : 0;
        for (int64_t i = 0; i < rows; i += kMostRows) {
            int64_t tile = Smaller(kMostRows, rows - i);
            PagedTiles<T>::kValues[(tile - 1) * 4 + log](weights + i * kBlock + first, ratio + i, lines.values + first,
                                                         ahead != nullptr ? ahead->values + first : nullptr, last - first, column, part,
                                                         sums + i * stride, stride);
            between();
        }
        column = next;
    }
}

}  // namespace
}  // namespace longcat
