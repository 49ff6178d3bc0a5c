// Products of small sets of rows, written once for every vector width. Include after avx2.h or avx512.h.
//
// Dots     c[i, j]  = a_i · b_j            one vector of partial sums per (i, j), summed over its lanes at the end
// Product  the same, rows of weights, cut along k so that a panel of b stays in the first-level cache
// Sums     c[i, :] += Σ_j w[i, j] · b_j    one vector of results per (i, columns), j ascending
//
// The order in which the terms of one result are added depends on nothing but its own length: not on the tile it fell into.
#pragma once

#include "../common/numbers.h"

namespace longcat {
namespace {

using Vector = Simd::Vector;

// Whether a tile begins and ends the sums, and where they wait between two cuts of k.
struct Cut {
    bool first = true, last = true;
    Vector* state = nullptr;
};

// A tile of M rows of a (from element `at` on) by N rows of b over count elements.
template <int M, int N, class B>
void DotTile(const float* const* a, int64_t at, const B* const* b, int64_t count, const Cut& cut, float* c, int64_t stride) {
    Vector sum[M][N];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            sum[i][j] = cut.first ? Simd::Zero() : cut.state[i * N + j];
        }
    }
    auto step = [&](auto load_a, auto load_b) __attribute__((always_inline)) {
        Vector x[M];
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            x[i] = load_a(a[i]);
        }
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            Vector y = load_b(b[j]);
#pragma GCC unroll 8
            for (int i = 0; i < M; i++) {
                sum[i][j] = Simd::MultiplyAdd(x[i], y, sum[i][j]);
            }
        }
    };
    int64_t k = 0;
    for (; k + Simd::kLanes <= count; k += Simd::kLanes) {
        step(
            [&](const float* row) __attribute__((always_inline)) { return Simd::Load(row + at + k); },
            [&](const B* row) __attribute__((always_inline)) { return Simd::Load(row + k); });
    }
    if (k < count) {
        step(
            [&](const float* row) __attribute__((always_inline)) { return Simd::Load(row + at + k, count - k); },
            [&](const B* row) __attribute__((always_inline)) { return Simd::Load(row + k, count - k); });
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            if (cut.last) {
                c[i * stride + j] = Simd::Sum(sum[i][j]);
            } else {
                cut.state[i * N + j] = sum[i][j];
            }
        }
    }
}

// 0, 1, … count - 1 as a type.
template <int... I>
struct List {};
template <int Count, int... I>
constexpr auto Indexes() {
    if constexpr (Count == 0) {
        return List<I...>();
    } else {
        return Indexes<Count - 1, Count - 1, I...>();
    }
}

template <class B>
using DotTileFunction = void (*)(const float* const*, int64_t, const B* const*, int64_t, const Cut&, float*, int64_t);

// All tile sizes up to kDotRows by kDotColumns.
template <class B, class = decltype(Indexes<Simd::kDotRows * Simd::kDotColumns>())>
struct DotTiles;
template <class B, int... I>
struct DotTiles<B, List<I...>> {
    static constexpr DotTileFunction<B> kOf[] = {DotTile<I / Simd::kDotColumns + 1, I % Simd::kDotColumns + 1, B>...};
};

// The tile of m rows by n rows.
template <class B>
inline DotTileFunction<B> FindDotTile(int m, int n) {
    return DotTiles<B>::kOf[(m - 1) * Simd::kDotColumns + n - 1];
}

inline int Least(int a, int b) { return a < b ? a : b; }

template <class B>
void Dots(const float* const* a, int m, const B* const* b, int n, int64_t k, float* c, int64_t stride) {
    for (int j = 0; j < n; j += Simd::kDotColumns) {
        int columns = Least(Simd::kDotColumns, n - j);
        for (int i = 0; i < m; i += Simd::kDotRows) {
            int rows = Least(Simd::kDotRows, m - i);
            FindDotTile<B>(rows, columns)(a + i, 0, b + j, k, {}, c + i * stride + j, stride);
        }
    }
}

// At most this many rows of a in one Product.
constexpr int kProductRows = 64;
// Elements of k between two cuts: kDotColumns rows of that length are the panel that stays in the first-level cache.
constexpr int kProductDepth = 1024;
// The processor recognises one stream of reads per page. Rows shorter than a page are therefore read one after another (a stream), longer
// ones a tile at a time (a stream each): each way is twice as fast as the other on its side of this limit (kernels/lab/README.md).
constexpr int64_t kPageBytes = 4096;

template <class B>
void ProductOf(const float* const* a, int m, const B* b, int n, int64_t k, float* c, int64_t stride) {
    constexpr bool kWide = sizeof(B) == sizeof(float);
    if (m <= Simd::kDotRows) {  // bound by reading b once; widened in registers
        int width = k * static_cast<int64_t>(sizeof(B)) < kPageBytes ? 1 : Simd::kDotColumns;
        for (int j = 0; j < n; j += width) {
            int columns = Least(width, n - j);
            const B* rows[Simd::kDotColumns];
            for (int i = 0; i < columns; i++) {
                rows[i] = b + (j + i) * k;
            }
            FindDotTile<B>(m, columns)(a, 0, rows, k, {}, c + j, stride);
        }
        return;
    }
    Vector state[(kProductRows / Simd::kDotRows + 1) * Simd::kDotRows * Simd::kDotColumns];
    alignas(64) float panel[kWide ? 1 : Simd::kDotColumns * kProductDepth];
    for (int j = 0; j < n; j += Simd::kDotColumns) {
        int columns = Least(Simd::kDotColumns, n - j);
        for (int64_t at = 0; at < k || at == 0; at += kProductDepth) {
            int64_t count = Smaller(kProductDepth, k - at);
            const float* rows[Simd::kDotColumns];
            for (int i = 0; i < columns; i++) {
                const B* row = b + (j + i) * k + at;
                if constexpr (kWide) {
                    rows[i] = row;
                } else {
                    float* wide = panel + i * kProductDepth;
                    int64_t x = 0;
                    for (; x + Simd::kLanes <= count; x += Simd::kLanes) {
                        Simd::Store(wide + x, Simd::Load(row + x));
                    }
                    if (x < count) {
                        Simd::Store(wide + x, Simd::Load(row + x, count - x), count - x);
                    }
                    rows[i] = wide;
                }
            }
            for (int i = 0; i < m; i += Simd::kDotRows) {
                Cut cut{at == 0, at + count >= k, state + i * Simd::kDotColumns};
                FindDotTile<float>(Least(Simd::kDotRows, m - i), columns)(a + i, at, rows, count, cut, c + i * stride + j, stride);
            }
        }
    }
}

// c[i, j] = a_i · (row `first + j` of weights [·, k]) for i < m <= kProductRows, j < n.
inline void Product(const float* const* a, int m, const Weights& weights, int64_t first, int n, int64_t k, float* c, int64_t stride) {
    const void* b = Offset(weights, first * k);
    if (weights.type == WeightType::kFloat32) {
        ProductOf(a, m, static_cast<const float*>(b), n, k, c, stride);
    } else {
        ProductOf(a, m, static_cast<const uint16_t*>(b), n, k, c, stride);
    }
}

constexpr int kSumAhead = 4;  // rows of b that a single row of w fetches ahead

// A tile of M rows of w by V vectors of columns, `part` of which count in the last one (0: all).
template <int M, int V, class B>
void SumTile(const float* w, int64_t stride, const B* const* b, int count, int64_t column, int64_t part, float* c, int64_t c_stride) {
    Vector sum[M][V];
    auto load = [&](const auto* x, int v) __attribute__((always_inline)) {
        return v == V - 1 && part != 0 ? Simd::Load(x + v * Simd::kLanes, part) : Simd::Load(x + v * Simd::kLanes);
    };
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            sum[i][v] = load(c + i * c_stride + column, v);
        }
    }
    for (int j = 0; j < count; j++) {
        Vector x[M];
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            x[i] = Simd::All(w[i * stride + j]);
        }
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            if constexpr (M == 1) {
                __builtin_prefetch(b[j + kSumAhead < count ? j + kSumAhead : count - 1] + column + v * Simd::kLanes, 0, 3);
            }
            Vector y = load(b[j] + column, v);
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                sum[i][v] = Simd::MultiplyAdd(x[i], y, sum[i][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            float* to = c + i * c_stride + column + v * Simd::kLanes;
            if (v == V - 1 && part != 0) {
                Simd::Store(to, sum[i][v], part);
            } else {
                Simd::Store(to, sum[i][v]);
            }
        }
    }
}

template <int M, class B>
void SumRows(const float* w, int64_t stride, const B* const* b, int count, int64_t columns, float* c, int64_t c_stride) {
    // A single row has registers left for four times the columns: fewer passes over b, longer pieces of its rows.
    constexpr int kVectors = M == 1 ? 4 * Simd::kSumVectors : Simd::kSumVectors;
    constexpr int64_t kWidth = kVectors * Simd::kLanes;
    int64_t column = 0;
    for (; column + kWidth <= columns; column += kWidth) {
        SumTile<M, kVectors, B>(w, stride, b, count, column, 0, c, c_stride);
    }
    for (; column < columns; column += Simd::kLanes) {
        int64_t rest = columns - column;
        SumTile<M, 1, B>(w, stride, b, count, column, rest < Simd::kLanes ? rest : 0, c, c_stride);
    }
}

// c[i, 0..columns) += Σ_{j < count} w[i · stride + j] · b_j
template <class B>
void Sums(const float* w, int64_t stride, int m, const B* const* b, int count, int64_t columns, float* c, int64_t c_stride) {
    static_assert(Simd::kSumRows == 4);
    int i = 0;
    for (; i + 4 <= m; i += 4) {
        SumRows<4, B>(w + i * stride, stride, b, count, columns, c + i * c_stride, c_stride);
    }
    for (; i < m; i++) {
        SumRows<1, B>(w + i * stride, stride, b, count, columns, c + i * c_stride, c_stride);
    }
}

}  // namespace
}  // namespace longcat
