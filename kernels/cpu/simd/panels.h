// Products with weights in panels of 16 outputs (longcat/weights.h), written once for every vector width. Include after avx2.h or avx512.h.
//
//   c[i, p · 16 + l] = Σ_k a_i[k] · panel_p[k, l]
//
// A lane is an output and an activation is broadcast to all of them: no sum runs over lanes, and one tile serves one row as well as many.
//
//              panel p            panel p+1
//            16 outputs          16 outputs          tile: M rows of a by V panels, k in ascending order;
//   a_0[k] · [ b b b … b ]       [ b b b … b ]       its M · V sums stay in registers for kDepth elements of k
//   a_1[k] · [ b b b … b ]       [ b b b … b ]       and are then added to c
//
// Order: within a cut of kDepth elements of k each output has one sum, k ascending, and the cuts' sums are added in ascending order. That
// depends on k alone: not on the tile, the number of rows or the task.
#pragma once

#include "../common/numbers.h"

namespace longcat {
namespace {

constexpr int kDepth = 256;              // k per cut: M rows of it stay in the first-level cache while panels pass by
constexpr int kRowStride = kDepth + 16;  // of packed rows: a multiple of a cache line, and rows of one cut share no set of the cache
constexpr int kMostRows = 8 * Simd::kPanelRows;  // rows of one PanelProduct
constexpr int kMostCuts = 8;                     // cuts that a single tile of rows packs at once, so that a panel is read in one run
constexpr int kPanelVectors = static_cast<int>(kPanelOutputs) / Simd::kLanes;

// The elements of B at k (float32), or the pair at k and k + 1 (bfloat16), of one vector.
inline Simd::Vector LoadFirsts(const float* b) { return Simd::Load(b); }
inline Simd::Vector LoadFirsts(const uint16_t* b) { return Simd::LoadFirsts(b); }

// Rows from which on a tile computes longer than its panels take to come: it fetches the next ones meanwhile. With fewer the processor's
// own streams keep up with memory.
constexpr int kRowsAhead = 4;

// a: cuts one after another, each M rows of kRowStride; a single row is not packed. b: panels of `stride` elements. ahead: what b will be
// next.
template <int M, int V, class B>
void PanelTile(const float* a, const B* b, const B* ahead, int64_t stride, int64_t count, bool first, float* c, int64_t c_stride) {
    constexpr bool kWide = sizeof(B) == sizeof(float);
    constexpr int kVectors = V * kPanelVectors;
    constexpr int64_t kStep = kWide ? 1 : 2;  // elements of k that lie side by side
    constexpr int64_t kLanesOf = Simd::kLanes * kStep;
    for (int64_t at = 0; at < count; at += kDepth) {
        int64_t depth = Smaller(kDepth, count - at);
        Simd::Vector sum[M][kVectors];
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; v++) {
                sum[i][v] = Simd::Zero();
            }
        }
        auto fetch = [&]() __attribute__((always_inline)) {
            if constexpr (M >= kRowsAhead) {
#pragma GCC unroll 16
                for (int v = 0; v < V; v++) {
                    __builtin_prefetch(ahead + v * stride, 0, 2);
                }
                ahead += kStep * kPanelOutputs;
            }
        };
        auto multiply = [&](const float* x, auto load) __attribute__((always_inline)) {
            Simd::Vector y[kVectors];
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; v++) {
                y[v] = load(b + v / kPanelVectors * stride + v % kPanelVectors * kLanesOf);
            }
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                Simd::Vector broadcast = Simd::All(x[i * kRowStride]);
#pragma GCC unroll 16
                for (int v = 0; v < kVectors; v++) {
                    sum[i][v] = Simd::MultiplyAdd(broadcast, y[v], sum[i][v]);
                }
            }
        };
        auto firsts = [](const B* x) __attribute__((always_inline)) { return LoadFirsts(x); };
        int64_t k = 0;
        if constexpr (kWide) {
#pragma GCC unroll 2
            for (; k < depth; k++) {
                fetch();
                multiply(a + k, firsts);
                b += kPanelOutputs;
            }
        } else {
            for (; k + 2 <= depth; k += 2) {
                fetch();
                multiply(a + k, firsts);
                multiply(
                    a + k + 1, [](const B* x) __attribute__((always_inline)) { return Simd::LoadSeconds(x); });
                b += 2 * kPanelOutputs;
            }
            if (k < depth) {
                multiply(a + k, firsts);
            }
        }
        bool fresh = first && at == 0;
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; v++) {
                float* to = c + i * c_stride + v * Simd::kLanes;
                Simd::Store(to, fresh ? sum[i][v] : Simd::Add(Simd::Load(to), sum[i][v]));
            }
        }
        a += M == 1 ? kDepth : M * kRowStride;
    }
}

template <class B>
using PanelTileFunction = void (*)(const float*, const B*, const B*, int64_t, int64_t, bool, float*, int64_t);

// How many panels a tile takes at once.
constexpr int kTileWidths[] = {1, 2, 3, 4, 8};
constexpr int kTileWidthCount = 5;

// The widest for a tile of so many rows, as an index: registers are left for b and the broadcast.
constexpr int WidestTile(int rows) {
    int width = kTileWidthCount - 1;
    while (width > 0 && rows * kTileWidths[width] * kPanelVectors > Simd::kPanelSums) {
        width--;
    }
    return width;
}

// The tiles of a product: Tile::Of<M, V> for each number of rows and each width (by its index) that leaves registers.
template <class Function, class Tile>
struct TileTable {
    Function of[Simd::kPanelRows][kTileWidthCount] = {};

    constexpr TileTable() { Fill<Simd::kPanelRows, 0>(); }

private:
    template <int M, int W>
    constexpr void Fill() {
        if constexpr (M > 0 && W < kTileWidthCount) {
            if constexpr (W <= WidestTile(M)) {
                of[M - 1][W] = Tile::template Of<M, kTileWidths[W]>;
            }
            Fill<M, W + 1>();
        } else if constexpr (M > 0) {
            Fill<M - 1, 0>();
        }
    }
};

template <class B>
struct PanelTiles {
    template <int M, int V>
    static constexpr PanelTileFunction<B> Of = PanelTile<M, V, B>;
};

// Rows of a, cut by cut, into the order in which a tile of m rows reads them.
inline void PackRows(const float* const* a, int m, int64_t at, int64_t count, float* packed) {
    for (int64_t cut = 0; cut < count; cut += kDepth) {
        int64_t depth = Smaller(kDepth, count - cut);
        for (int i = 0; i < m; i++, packed += kRowStride) {
            const float* row = a[i] + at + cut;
            int64_t k = 0;
            for (; k + Simd::kLanes <= depth; k += Simd::kLanes) {
                Simd::Store(packed + k, Simd::Load(row + k));
            }
            if (k < depth) {
                Simd::Store(packed + k, Simd::Load(row + k, depth - k), depth - k);
            }
        }
    }
}

// Asks for columns [at, at + count) of rows that will be packed soon: many rows a page or more apart are no stream to the processor.
inline void FetchRows(const float* const* a, int from, int to, int64_t at, int64_t count) {
    for (int i = from; i < to; i++) {
        for (int64_t k = 0; k < count; k += 16) {
            __builtin_prefetch(a[i] + at + k, 0, 2);
        }
    }
}

template <class B>
void PanelProductOf(const float* const* a, int m, const B* b, int panels, int64_t k, float* c, int64_t c_stride) {
    static constexpr TileTable<PanelTileFunction<B>, PanelTiles<B>> kTiles;
    constexpr int64_t kStep = sizeof(B) == sizeof(float) ? 1 : 2;
    int64_t stride = CeilDivide(k, kStep) * kStep * kPanelOutputs;
    alignas(64) float packed[kMostCuts * Simd::kPanelRows * kRowStride];
    int tiles = (m + Simd::kPanelRows - 1) / Simd::kPanelRows, rows = (m + tiles - 1) / tiles;
    // A tile alone reads each panel once, in long runs; several tiles share a cut of the panels, which is then still in a cache.
    int64_t pass = m == 1 ? Larger(k, 1) : tiles == 1 ? kMostCuts * kDepth : kDepth;
    for (int64_t at = 0; at < k || at == 0; at += pass) {
        int64_t count = Smaller(pass, k - at);
        for (int i = 0; i < m; i += rows) {
            int height = m - i < rows ? m - i : rows;
            const float* x = a[i] + at;
            if (height > 1) {
                PackRows(a + i, height, at, count, packed);
                x = packed;
            }
            // While this tile computes, the rows of the next one come: of this cut, or of the next.
            bool same = i + rows < m;
            int soon = same ? i + rows : 0, soon_end = tiles == 1 ? soon : same ? static_cast<int>(Smaller(m, i + 2 * rows)) : rows;
            int64_t soon_at = same ? at : at + count, soon_count = same ? count : Smaller(pass, k - soon_at);
            int width = WidestTile(height), step = static_cast<int>(CeilDivide((soon_end - soon) * kTileWidths[width], panels));
            for (int panel = 0; panel < panels; panel += kTileWidths[width]) {
                while (panel + kTileWidths[width] > panels) {
                    width--;
                }
                int until = soon + step < soon_end ? soon + step : soon_end;
                FetchRows(a, soon, until, soon_at, soon_count);
                soon = until;
                // The first tile brings the panels, the others find them in a cache.
                const B* from = b + panel * stride + at * kPanelOutputs;
                int next = panel + kTileWidths[width];
                const B* ahead = i > 0 ? from : next < panels ? b + next * stride + at * kPanelOutputs : b + (at + count) * kPanelOutputs;
                kTiles.of[height - 1][width](x, from, ahead, stride, count, at == 0, c + i * c_stride + panel * kPanelOutputs, c_stride);
            }
        }
    }
}

// c[i, 16 · p + l] for i < m <= kMostRows and p < panels, from panel `first` of weights [·, k] on; c has room for whole panels.
inline void PanelProduct(const float* const* a, int m, const Weights& weights, int64_t first, int panels, int64_t k, float* c,
                         int64_t c_stride) {
    const void* b = Offset(weights, first * PanelElements(weights.type, k));
    if (k == 0) {
        for (int i = 0; i < m; i++) {
            for (int64_t x = 0; x < panels * kPanelOutputs; x++) {
                c[i * c_stride + x] = 0;
            }
        }
    } else if (weights.type == WeightType::kFloat32) {
        PanelProductOf(a, m, static_cast<const float*>(b), panels, k, c, c_stride);
    } else {
        PanelProductOf(a, m, static_cast<const uint16_t*>(b), panels, k, c, c_stride);
    }
}

}  // namespace
}  // namespace longcat
