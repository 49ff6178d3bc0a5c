// Stages (2) and (3) of longcat/lora_matmul.h. Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/tiles.h"
#include "plan.h"

namespace longcat {
namespace {

constexpr int64_t kLoraColumns = 512;  // of a block of stage 3: its rows of B and y stay in a cache
constexpr int kLoraRows = 4;           // of a tile that pass through a block at once
constexpr int kLoraList = 64;          // rows of B between two returns to memory

// u[i, 0..V vectors) of M rows of x over k in [from, to), each sum in ascending k. `part` lanes count in the last vector (0: all).
template <int M, int V>
void LoraDownTile(const float* const* x, const float* a, int64_t stride, int64_t from, int64_t to, int64_t part, float* u,
                  int64_t u_stride) {
    Vector sum[M][V];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            sum[i][v] = Simd::Zero();
        }
    }
    auto multiply = [&](auto load) __attribute__((always_inline)) {
        const float* row = a + from * stride;
        for (int64_t k = from; k < to; k++, row += stride) {
            Vector y[V];
#pragma GCC unroll 16
            for (int v = 0; v < V; v++) {
                y[v] = load(row, v);
            }
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                Vector broadcast = Simd::All(x[i][k]);
#pragma GCC unroll 16
                for (int v = 0; v < V; v++) {
                    sum[i][v] = Simd::MultiplyAdd(broadcast, y[v], sum[i][v]);
                }
            }
        }
    };
    if (part == 0) {
        multiply([](const float* row, int v) __attribute__((always_inline)) { return Simd::Load(row + v * Simd::kLanes); });
    } else {
        multiply([&](const float* row, int v) __attribute__((always_inline)) {
            return v == V - 1 ? Simd::Load(row + v * Simd::kLanes, part) : Simd::Load(row + v * Simd::kLanes);
        });
    }
    // u has room for whole vectors.
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            Simd::Store(u + i * u_stride + v * Simd::kLanes, sum[i][v]);
        }
    }
}

template <int V>
void LoraDownRows(const float* const* x, int rows, const float* a, int64_t stride, int64_t from, int64_t to, int64_t part, float* u,
                  int64_t u_stride) {
    int i = 0;
    if constexpr (V * 8 <= Simd::kPanelSums) {
        for (; i + 8 <= rows; i += 8) {
            LoraDownTile<8, V>(x + i, a, stride, from, to, part, u + i * u_stride, u_stride);
        }
    }
    for (; i + 4 <= rows; i += 4) {
        LoraDownTile<4, V>(x + i, a, stride, from, to, part, u + i * u_stride, u_stride);
    }
    for (; i + 2 <= rows; i += 2) {
        LoraDownTile<2, V>(x + i, a, stride, from, to, part, u + i * u_stride, u_stride);
    }
    for (; i < rows; i++) {
        LoraDownTile<1, V>(x + i, a, stride, from, to, part, u + i * u_stride, u_stride);
    }
}

// The sums of one quarter of k for a tile's rows; u_stride is between rows.
inline void LoraDown(const LoraMatMulArguments& p, const float* const* x, int rows, int64_t start, int64_t rank, int64_t quarter, float* u,
                     int64_t u_stride) {
    int64_t length = CeilDivide(p.k, kLoraQuarters), from = Smaller(quarter * length, p.k), to = Smaller(from + length, p.k);
    constexpr int kMostVectors = 2;
    int64_t vectors = CeilDivide(rank, Simd::kLanes), part = rank % Simd::kLanes;
    for (int64_t v = 0; v < vectors; v += kMostVectors) {
        const float* a = p.a + start + v * Simd::kLanes;
        float* into = u + v * Simd::kLanes;
        if (vectors - v >= kMostVectors) {
            LoraDownRows<kMostVectors>(x, rows, a, p.ranks, from, to, v + kMostVectors == vectors ? part : 0, into, u_stride);
        } else {
            LoraDownRows<1>(x, rows, a, p.ranks, from, to, part, into, u_stride);
        }
    }
}

// The quarters' sums into the first one's place.
inline void LoraJoin(float* u, int rows, int64_t rank, int64_t width) {
    for (int i = 0; i < rows; i++, u += kLoraQuarters * width) {
        for (int64_t r = 0; r < rank; r += Simd::kLanes) {  // whole vectors: u has room
            Vector low = Simd::Add(Simd::Load(u + r), Simd::Load(u + width + r));
            Vector high = Simd::Add(Simd::Load(u + 2 * width + r), Simd::Load(u + 3 * width + r));
            Simd::Store(u + r, Simd::Add(low, high));
        }
    }
}

// A block of one row of y. c: what the adapter adds, or null.
inline void LoraFinish(const LoraMatMulArguments& p, int64_t row, int64_t column, int64_t columns, const float* c, const float* gain) {
    int64_t to = row * p.n + column;
    auto finish = [&](int64_t j, auto load, auto store) __attribute__((always_inline)) {
        Vector y = load(p.base + to + j);
        if (c != nullptr) {
            y = Simd::Add(y, load(c + j));
        }
        if (gain != nullptr) {
            y = Simd::Multiply(load(gain + column + j), y);
        }
        if (p.bias != nullptr) {
            y = Simd::Add(y, load(p.bias + column + j));
        }
        if (p.residual != nullptr) {
            y = Simd::Add(y, load(p.residual + to + j));
        }
        store(p.y + to + j, y);
    };
    int64_t j = 0;
    for (; j + Simd::kLanes <= columns; j += Simd::kLanes) {
        finish(
            j, [](const float* x) __attribute__((always_inline)) { return Simd::Load(x); },
            [](float* x, Vector v) __attribute__((always_inline)) { Simd::Store(x, v); });
    }
    if (int64_t rest = columns - j; rest > 0) {
        finish(
            j, [=](const float* x) __attribute__((always_inline)) { return Simd::Load(x, rest); },
            [=](float* x, Vector v) __attribute__((always_inline)) { Simd::Store(x, v, rest); });
    }
}

// A block of columns of a tile. u: its rows, u_stride apart, or null where the adapter has no ranks.
inline void LoraUp(const LoraMatMulArguments& p, const LoraTiles& all, const LoraTile& tile, const float* u, int64_t u_stride,
                   int64_t column, int64_t columns) {
    const float* gain = tile.adapter < 0 || p.gain == nullptr ? nullptr : p.gain + tile.adapter * p.n;
    int64_t start = tile.adapter < 0 ? 0 : LoraStart(p, tile.adapter), rank = u == nullptr ? 0 : LoraRank(p, tile.adapter);
    alignas(64) float c[kLoraRows * kLoraColumns];
    for (int i = 0; i < tile.count; i += kLoraRows) {
        int rows = Least(kLoraRows, tile.count - i);
        if (u != nullptr) {
            for (int x = 0; x < rows; x++) {
                __builtin_memset(c + x * kLoraColumns, 0, static_cast<size_t>(columns) * sizeof(float));
            }
            for (int64_t r = 0; r < rank; r += kLoraList) {
                int count = static_cast<int>(Smaller(kLoraList, rank - r));
                const float* b[kLoraList];
                for (int x = 0; x < count; x++) {
                    b[x] = p.b + (start + r + x) * p.n + column;
                }
                Sums(u + i * u_stride + r, u_stride, rows, b, count, columns, c, kLoraColumns);
            }
        }
        for (int x = 0; x < rows; x++) {
            LoraFinish(p, all.rows[tile.first + i + x], column, columns, u == nullptr ? nullptr : c + x * kLoraColumns, gain);
        }
    }
}

inline void LoraMatMulVectorised(const LoraMatMulArguments& p, const LoraTiles& all, const ParallelFor& parallel) {
    // Few tiles: a task is a quarter of k, so that several threads read A.
    bool split = all.adapted < 16;
    int64_t parts = split ? kLoraQuarters : 1, u_stride = kLoraQuarters * all.width;
    int64_t work = all.adapted == 0 ? 0 : (all.tiles[all.adapted - 1].first + all.tiles[all.adapted - 1].count) * all.width;
    For(Unless(work * p.k < kInlineWork, parallel), static_cast<size_t>(all.adapted * parts), [&](size_t index) {
        const LoraTile& tile = all.tiles[static_cast<int64_t>(index) / parts];
        int64_t first = split ? static_cast<int64_t>(index) % parts : 0, last = split ? first + 1 : kLoraQuarters;
        const float* x[kLoraTileRows];
        for (int i = 0; i < tile.count; i++) {
            x[i] = p.x + all.rows[tile.first + i] * p.k;
        }
        int64_t start = LoraStart(p, tile.adapter), rank = LoraRank(p, tile.adapter);
        for (int64_t quarter = first; quarter < last; quarter++) {
            LoraDown(p, x, tile.count, start, rank, quarter, all.u + tile.first * u_stride + quarter * all.width, u_stride);
        }
        if (!split) {
            LoraJoin(all.u + tile.first * u_stride, tile.count, rank, all.width);
        }
    });
    for (int64_t t = 0; split && t < all.adapted; t++) {
        const LoraTile& tile = all.tiles[t];
        LoraJoin(all.u + tile.first * u_stride, tile.count, LoraRank(p, tile.adapter), all.width);
    }
    int64_t blocks = CeilDivide(p.n, kLoraColumns);
    For(Unless(work * p.n + p.m * p.n < kInlineWork, parallel), static_cast<size_t>(all.count * blocks), [&](size_t index) {
        int64_t t = static_cast<int64_t>(index) / blocks, column = static_cast<int64_t>(index) % blocks * kLoraColumns;
        const LoraTile& tile = all.tiles[t];
        LoraUp(p, all, tile, t < all.adapted ? all.u + tile.first * u_stride : nullptr, u_stride, column,
               Smaller(kLoraColumns, p.n - column));
    });
}

}  // namespace
}  // namespace longcat
