// The way by channel of longcat/sparse_gated_mlp.h. Include after avx2.h, avx512.h or neon.h.
//
//   up:    32 live channels' rows, a cut of 256 of k at a time, are transposed into two panels in the first-level cache; the panels'
//          tiles (cpu/simd/panels.h) multiply them. So a lane is a channel, as in MatMul.
//   down:  a task owns a tile's columns. Of every cut of 256 channels the live ones' runs of those columns are read in ascending order:
//          a lane is a column, and a row's h is broadcast.
//
// Channels lie a page or so apart, which is no stream to the processor: both stages ask for what comes next, up to the next task's
// beginning.
#pragma once

#include "../common/parallel.h"
#include "../matmul/vectorised.h"
#include "../simd/panels.h"
#include "paths.h"

namespace longcat {
namespace {

static_assert(kChannelCut == kDepth, "the cuts of MatMul");
static_assert(kChannelBlock % kPanelOutputs == 0, "whole panels");

constexpr int kBlockPanels = static_cast<int>(kChannelBlock / kPanelOutputs);
constexpr int64_t kRunBytesAhead = 8192;  // of the runs of down that are fetched meanwhile
constexpr int64_t kLinesAhead = 16;       // of each of the 32 rows of up

// Four lanes as the compiler knows them: transposing needs no instruction of its own on any path.
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t FourInts __attribute__((vector_size(16)));
typedef uint16_t FourHalves __attribute__((vector_size(8)));

inline Four LoadFour(const float* x) { return *reinterpret_cast<const Four*>(x); }
inline Four LoadFour(const uint16_t* x) {
    FourHalves halves;
    std::memcpy(&halves, x, sizeof(halves));
    FourInts words = __builtin_convertvector(halves, FourInts) << 16;
    Four result;
    std::memcpy(&result, &words, sizeof(result));
    return result;
}
inline float LoadOne(const float* x) { return *x; }
inline float LoadOne(const uint16_t* x) { return WidenBFloat16(*x); }

// panel[k, lanes of 4 channels] of 4 rows and 4 elements of k.
template <class B>
inline void TransposeFour(const B* const* rows, int64_t at, float* panel) {
    Four a = LoadFour(rows[0] + at), b = LoadFour(rows[1] + at), c = LoadFour(rows[2] + at), d = LoadFour(rows[3] + at);
    Four ab = __builtin_shuffle(a, b, FourInts{0, 4, 1, 5}), cd = __builtin_shuffle(c, d, FourInts{0, 4, 1, 5});
    Four ab_high = __builtin_shuffle(a, b, FourInts{2, 6, 3, 7}), cd_high = __builtin_shuffle(c, d, FourInts{2, 6, 3, 7});
    auto store = [&](int64_t k, Four value) { *reinterpret_cast<Four*>(panel + k * kPanelOutputs) = value; };
    store(0, __builtin_shuffle(ab, cd, FourInts{0, 1, 4, 5}));
    store(1, __builtin_shuffle(ab, cd, FourInts{2, 3, 6, 7}));
    store(2, __builtin_shuffle(ab_high, cd_high, FourInts{0, 1, 4, 5}));
    store(3, __builtin_shuffle(ab_high, cd_high, FourInts{2, 3, 6, 7}));
}

// Elements [at, at + depth) of a block's rows into panels of depth elements of k. Those that come after are fetched, behind `end` those of
// the rows of the next block.
template <class B>
inline void ToPanels(const B* const* rows, const B* const* next_rows, int64_t at, int64_t depth, int64_t end, float* panels) {
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(B));
    auto place = [&](int64_t channel, int64_t k) {
        return panels + (channel / kPanelOutputs * depth + k) * kPanelOutputs + channel % kPanelOutputs;
    };
    // Rows a page apart share a set of the first-level cache: of each four one line at a time, and all of it.
    int64_t k = 0;
    for (; k + kLine <= depth; k += kLine) {
        int64_t line = at + k + kLinesAhead * kLine;
        const B* const* ahead = line < end ? rows : next_rows;
        line -= line < end ? 0 : end;
        for (int64_t channel = 0; channel < kChannelBlock; channel += 4) {
            float* to = place(channel, k);
#pragma GCC unroll 4
            for (int64_t i = 0; i < 4; i++) {
                __builtin_prefetch(ahead[channel + i] + line, 0, 2);
            }
#pragma GCC unroll 8
            for (int64_t i = 0; i < kLine; i += 4) {
                TransposeFour(rows + channel, at + k + i, to + i * kPanelOutputs);
            }
        }
    }
    for (; k < depth; k++) {
        for (int64_t channel = 0; channel < kChannelBlock; channel++) {
            *place(channel, k) = LoadOne(rows[channel] + at + k);
        }
    }
}

// h of the block of live channels from `first` on, for all rows; the thread's next block begins at `next`.
template <class B>
void UpBlock(const SparseGatedMlpArguments& p, const LiveChannels& live, int64_t first, int64_t next) {
    int64_t stride = ChannelStride(p.hidden);
    const B *rows[kChannelBlock], *next_rows[kChannelBlock];
    for (int64_t i = 0; i < kChannelBlock; i++) {
        rows[i] = static_cast<const B*>(p.up_channels.data) + live.channel[Smaller(first + i, live.count - 1)] * stride;
        next_rows[i] = static_cast<const B*>(p.up_channels.data) + live.channel[Smaller(next + i, live.count - 1)] * stride;
    }
    alignas(64) float panels[kChannelBlock * kDepth];
    alignas(64) float product[kMostRows * kChannelBlock];
    for (int64_t at = 0; at < p.hidden; at += kDepth) {
        int64_t depth = Smaller(kDepth, p.hidden - at);
        ToPanels(rows, next_rows, at, depth, p.hidden, panels);
        for (int64_t row = 0; row < p.m; row += kMostRows) {
            int height = static_cast<int>(Smaller(kMostRows, p.m - row));
            const float* a[kMostRows];
            for (int i = 0; i < height; i++) {
                a[i] = p.x + (row + i) * p.hidden + at;
            }
            PanelProductOf(a, height, panels, kBlockPanels, depth, product, kChannelBlock);
            for (int i = 0; i < height; i++) {
                float* to = live.h + (row + i) * live.stride + first;
                for (int64_t x = 0; x < kChannelBlock; x += Simd::kLanes) {
                    Simd::Vector sum = Simd::Load(product + i * kChannelBlock + x);
                    Simd::Store(to + x, at == 0 ? sum : Simd::Add(Simd::Load(to + x), sum));
                }
            }
        }
    }
    for (int64_t row = 0; row < p.m; row++) {
        float* to = live.h + row * live.stride + first;
        for (int64_t i = 0, count = Smaller(kChannelBlock, live.count - first); i < count; i++) {
            int64_t channel = live.channel[first + i];
            float up = to[i], activation = p.activation[row * p.inner + channel];
            up = p.up_bias != nullptr ? up + p.up_bias[channel] : up;
            to[i] = __builtin_fabsf(activation) < p.tau ? 0 : activation * up;
        }
    }
}

// c (+)= Σ over `count` channels of h · their runs of V · 16 columns, ascending; `left` channels are in the list from there on.
template <int M, int V, class B>
void ChannelTile(const float* h, int64_t h_stride, const B* runs, int64_t stride, const int32_t* channel, int64_t count, int64_t left,
                 bool first, float* c, int64_t c_stride) {
    constexpr int kVectors = V * kPanelVectors;
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(B)), kRun = V * kPanelOutputs,
                      kAhead = kRunBytesAhead / (kRun * static_cast<int64_t>(sizeof(B)));
    Simd::Vector sum[M][kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; v++) {
            sum[i][v] = Simd::Zero();
        }
    }
    for (int64_t at = 0; at < count; at++) {
        const B* run = runs + channel[at] * stride;
        const B* ahead = runs + channel[Smaller(at + kAhead, left - 1)] * stride;
#pragma GCC unroll 16
        for (int64_t x = 0; x < kRun; x += kLine) {
            __builtin_prefetch(ahead + x, 0, 2);
        }
        Simd::Vector y[kVectors];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; v++) {
            y[v] = Simd::Load(run + v * Simd::kLanes);
        }
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            Simd::Vector broadcast = Simd::All(h[i * h_stride + at]);
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; v++) {
                sum[i][v] = Simd::MultiplyAdd(broadcast, y[v], sum[i][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; v++) {
            float* to = c + i * c_stride + v * Simd::kLanes;
            Simd::Store(to, first ? sum[i][v] : Simd::Add(Simd::Load(to), sum[i][v]));
        }
    }
}

template <class B>
using ChannelTileFunction = void (*)(const float*, int64_t, const B*, int64_t, const int32_t*, int64_t, int64_t, bool, float*, int64_t);

template <class B>
struct ChannelTiles {
    template <int M, int V>
    static constexpr ChannelTileFunction<B> Of = ChannelTile<M, V, B>;
};

// How the rows are cut into tiles, and how wide those are, as an index.
struct RowTiles {
    int rows, widest;
    explicit RowTiles(int64_t m) {
        int64_t height = Smaller(kMostRows, m), tiles = CeilDivide(height, Simd::kPanelRows);
        rows = static_cast<int>(CeilDivide(height, tiles));
        widest = WidestTile(rows);
    }
};

// Columns [column, column + the widest tile's) of y.
template <class B>
void DownTask(const SparseGatedMlpArguments& p, const LiveChannels& live, const RowTiles& tiles, int64_t column) {
    static constexpr TileTable<ChannelTileFunction<B>, ChannelTiles<B>> kTiles;
    constexpr int64_t kMostColumns = kTileWidths[kTileWidthCount - 1] * kPanelOutputs;
    int64_t stride = ChannelStride(p.hidden), columns = Smaller(kTileWidths[tiles.widest] * kPanelOutputs, p.hidden - column);
    int64_t panels = CeilDivide(columns, kPanelOutputs), cuts = CeilDivide(p.inner, kChannelCut);
    MatMulArguments finish;
    finish.m = p.m, finish.n = p.hidden, finish.bias = p.down_bias, finish.residual = p.residual, finish.y = p.y;
    alignas(64) float c[kMostRows * kMostColumns];
    for (int64_t row = 0; row < p.m; row += kMostRows) {
        int height = static_cast<int>(Smaller(kMostRows, p.m - row));
        for (int64_t panel = 0, step; panel < panels; panel += step) {
            int width = tiles.widest;
            while (panel + kTileWidths[width] > panels) {
                width--;
            }
            step = kTileWidths[width];
            const B* runs = static_cast<const B*>(p.down_channels.data) + column + panel * kPanelOutputs;
            for (int64_t cut = 0; cut < cuts; cut++) {
                int64_t from = live.cut[cut], count = live.cut[cut + 1] - from;
                for (int i = 0; i < height; i += tiles.rows) {
                    int many = height - i < tiles.rows ? height - i : tiles.rows;
                    kTiles.of[many - 1][width](live.h + (row + i) * live.stride + from, live.stride, runs, stride, live.channel + from,
                                               count, live.count - from, cut == 0, c + i * kMostColumns + panel * kPanelOutputs,
                                               kMostColumns);
                }
            }
        }
        MatMulFinish(finish, c, kMostColumns, row, height, column, columns);
    }
}

template <class B>
void SparseChannelsOf(const SparseGatedMlpArguments& p, const LiveChannels& live, const ParallelFor& parallel) {
    ParallelFor threads = Unless(p.m * live.count * p.hidden < kInlineWork, parallel);
    InOrder(threads, live.stride / kChannelBlock,
            [&](int64_t block, int64_t next) { UpBlock<B>(p, live, block * kChannelBlock, next * kChannelBlock); });
    RowTiles tiles(p.m);
    int64_t width = kTileWidths[tiles.widest] * kPanelOutputs;
    For(threads, static_cast<size_t>(CeilDivide(p.hidden, width)),
        [&](size_t task) { DownTask<B>(p, live, tiles, static_cast<int64_t>(task) * width); });
}

inline void SparseChannelsVectorised(const SparseGatedMlpArguments& p, const LiveChannels& live, const ParallelFor& parallel) {
    if (p.up.type == WeightType::kFloat32) {
        SparseChannelsOf<float>(p, live, parallel);
    } else {
        SparseChannelsOf<uint16_t>(p, live, parallel);
    }
}

}  // namespace
}  // namespace longcat
