// The third and fourth stage of LatentAttention (longcat/cuda/latent_attention.h).
#pragma once

#include "prepare.cuh"

namespace longcat::cuda {

inline constexpr int kLatentWarps = 8, kLatentThreads = kLatentWarps * kWarp;
inline constexpr int kLines = 32;      // of the cache at a time
inline constexpr int kRopeWidth = 64;  // of a line in shared memory, filled up with zeros

// kRank: the latent's width in shared memory, filled up with zeros; kGroups: sixteens of rows of a tile.
template <int kRank>
inline constexpr int kLineWidth = kRank + kRopeWidth;
template <int kRank, int kGroups>
struct LatentShared {
    static constexpr int kQueries = 16 * kGroups * kLineWidth<kRank> * 2;
    static constexpr int kStage = kLines * kLineWidth<kRank> * 2;
    static constexpr int kWeights = 16 * kGroups * kLines * 2;
    static constexpr int kFloats = (2 + 1 + 2) * 16 * kGroups * 4;  // maxima of both halves of the lines, factors, totals of both halves
    static constexpr size_t kAll = size_t{kQueries} + 2 * kStage + kWeights + kFloats;
};

inline constexpr int kMergeBlocks = 16;

// Where 16 bytes of a line (or query) lie, and of a row of 32 weights.
template <int kRank>
__device__ __forceinline__ int LineOffset(int row, int piece) { return row * kLineWidth<kRank> * 2 + ((piece ^ (row & 7)) * 16); }
__device__ __forceinline__ int WeightOffset(int row, int piece) { return row * kLines * 2 + ((piece ^ (row / 2 & 3)) * 16); }

// The element of a line of rank + rope numbers that piece `piece` of the padded one begins with; -1: zeros.
template <int kRank>
__device__ __forceinline__ int ElementOf(const LatentAttentionArguments& a, int piece) {
    int i = 8 * piece;
    if (i < kRank) {
        return i < a.rank ? i : -1;
    }
    return i - kRank < a.rope ? a.rank + i - kRank : -1;
}

// What a tile is made of: heads of tokens that see the same lines. With selected keys that is one token, whose keys are counted as entries.
struct LatentTile {
    int64_t sequence, first_token;  // the token that row 0 belongs to
    int64_t row, rows;              // the tile's first row, and how many there are in all
    int64_t before;                 // the position of first_token; with selected keys the number of its last entry
    const int32_t* selected;        // the entries, or null
};
__device__ __forceinline__ LatentTile TileAt(const LatentParameters& p, int tile_rows) {
    const LatentAttentionArguments& a = p.a;
    if (a.selected == nullptr) {
        const TilePlace at = PlaceOf(a.query_start, a.sequences, a.num_heads, tile_rows, BlockX());
        const int64_t first_token = a.query_start[at.sequence], count = a.query_start[at.sequence + 1] - first_token;
        return {at.sequence, first_token, at.row, count * a.num_heads, a.context_length[at.sequence] - count, nullptr};
    }
    const int64_t per_token = (a.num_heads + tile_rows - 1) / tile_rows, token = BlockX() / per_token;
    const int32_t* selected = a.selected + token * a.selected_width;
    int64_t low = 0, high = a.selected_width;  // entries before the first -1
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (selected[middle] >= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0 && p.fault != nullptr) {
        *p.fault = 1;
    }
    return {SequenceOf(a.query_start, a.sequences, token), token, BlockX() % per_token * tile_rows, a.num_heads, low - 1, selected};
}

template <int kRank>
__device__ __forceinline__ void LoadLines(const LatentParameters& p, uint8_t* stage, int64_t block, const Blocks<kLines>& blocks, int64_t last, const LatentTile& tile) {
    const LatentAttentionArguments& a = p.a;
    const uint16_t* cache = static_cast<const uint16_t*>(a.cache);
    constexpr int kPieces = kLineWidth<kRank> / 8;
    for (int i = ThreadX(); i < kLines * kPieces; i += kLatentThreads) {
        int row = i / kPieces, piece = i % kPieces;
        int64_t position = block * kLines + row;
        bool seen = position <= last && (position < blocks.sink_end || position >= blocks.local_begin);
        const PagePlace at = seen ? PageOf(a, tile.sequence, tile.selected == nullptr ? position : tile.selected[position], p.fault) : PagePlace{-1, 0};
        int element = ElementOf<kRank>(a, piece);
        bool there = at.page >= 0 && element >= 0;
        CopyAsync16(stage + LineOffset<kRank>(row, piece), there ? cache + (at.page * a.page_size + at.slot) * (a.rank + a.rope) + element : cache, there);
    }
}

__device__ __forceinline__ float* LatentPartial(const LatentParameters& p, int64_t tile, int64_t split, int rows, int row) {
    return p.partial + ((tile * p.splits + split) * rows + row) * (p.a.rank + 2);
}

// Grid: tiles, 1, parts of the keys.
template <int kRank, int kGroups>
__global__ void __launch_bounds__(kLatentThreads, 1) LatentAttend(LatentParameters p) {
    using Shared = LatentShared<kRank, kGroups>;
    constexpr int kRows = 16 * kGroups, kSteps = kLineWidth<kRank> / 16, kOutTiles = kRank / 8 / kLatentWarps, kPieces = kLineWidth<kRank> / 8;
    const LatentAttentionArguments& a = p.a;
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp, group = lane / 4, place = lane % 4;
    const LatentTile at = TileAt(p, kRows);
    const int64_t first_token = at.first_token, rows = at.rows, before = at.before;
    if (at.row >= rows) {
        return;  // an empty tile
    }
    const int64_t last_row = SmallerOf(at.row + kRows, rows) - 1;
    const int64_t first = before + at.row / a.num_heads, last = before + last_row / a.num_heads;
    const Blocks<kLines> blocks(p.pattern, first, last);
    const int64_t begin = blocks.Count() * BlockZ() / p.splits, end = blocks.Count() * (BlockZ() + 1) / p.splits;
    uint8_t* queries = SharedMemory();
    uint8_t* stages = queries + Shared::kQueries;
    uint8_t* weights = stages + 2 * Shared::kStage;
    float* maxima = reinterpret_cast<float*>(weights + Shared::kWeights);  // [2][kRows]
    float* factors = maxima + 2 * kRows;                                   // [kRows]
    float* totals = factors + kRows;                                       // [2][kRows]

    // Queries travel with the first lines. Rows beyond the last are zeros.
    for (int i = ThreadX(); i < kRows * kPieces; i += kLatentThreads) {
        int row = i / kPieces, piece = i % kPieces, element = ElementOf<kRank>(a, piece);
        bool there = at.row + row < rows && element >= 0;
        const uint16_t* from = p.queries;
        if (there) {
            from += (first_token * a.num_heads + at.row + row) * (a.rank + a.rope) + element;
        }
        CopyAsync16(queries + LineOffset<kRank>(row, piece), from, there);
    }
    if (begin < end) {
        LoadLines<kRank>(p, stages, blocks.At(begin), blocks, last, at);
    }
    CommitCopies();

    // For scores a warp has sixteen rows and one half of the lines; there may be more warps than that.
    const bool scoring = warp < 2 * kGroups;
    const int own_rows = 16 * (warp % kGroups), lines = warp / kGroups;
    int position[2], local_begin[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t of = before + SmallerOf(at.row + own_rows + group + 8 * half, rows - 1) / a.num_heads;
        position[half] = static_cast<int>(of), local_begin[half] = static_cast<int>(p.pattern.LocalBegin(of));
    }
    const int sink_end = static_cast<int>(SmallerOf(p.pattern.SinkEnd(), last + 1));
    float largest[2] = {FloatOf(kMinusInfinityBits), FloatOf(kMinusInfinityBits)}, total[2] = {0, 0};
    float output[kGroups][kOutTiles][4] = {};

    for (int64_t index = begin; index < end; index++) {
        if (index + 1 < end) {
            LoadLines<kRank>(p, stages + (index + 1 - begin) % 2 * Shared::kStage, blocks.At(index + 1), blocks, last, at);
        }
        CommitCopies();
        WaitCopies<1>();
        Barrier();
        const uint8_t* stage = stages + (index - begin) % 2 * Shared::kStage;
        float scores[2][4] = {};
        if (scoring) {
#pragma unroll 4
            for (int step = 0; step < kSteps; step++) {
                uint32_t query[4], matrices[4];
                LoadMatrices<false>(query, queries + LineOffset<kRank>(own_rows + lane / 8 % 2 * 8 + lane % 8, 2 * step + lane / 16));
                LoadMatrices<false>(matrices, stage + LineOffset<kRank>(16 * lines + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
                const uint32_t low[2] = {matrices[0], matrices[1]}, high[2] = {matrices[2], matrices[3]};
                MmaBFloat16(scores[0], query, low);
                MmaBFloat16(scores[1], query, high);
            }
            const int block_begin = static_cast<int>(blocks.At(index)) * kLines + 16 * lines;
            float highest[2] = {FloatOf(kMinusInfinityBits), FloatOf(kMinusInfinityBits)};
#pragma unroll
            for (int t = 0; t < 2; t++) {
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    int key = block_begin + 8 * t + 2 * place + r % 2;
                    bool seen = key <= position[r / 2] && (key < sink_end || key >= local_begin[r / 2]);
                    scores[t][r] = seen ? scores[t][r] : FloatOf(kMinusInfinityBits);
                    highest[r / 2] = LargerFloat(highest[r / 2], scores[t][r]);
                }
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                highest[half] = LargestOver<4>(highest[half]);
                if (place == 0) {
                    maxima[lines * kRows + own_rows + group + 8 * half] = highest[half];
                }
            }
        }
        Barrier();
        if (scoring) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int row = own_rows + group + 8 * half;
                float highest = LargerFloat(largest[half], LargerFloat(maxima[row], maxima[kRows + row]));
                // While a row has seen nothing its maximum is -infinity, and 0 stands for it: every weight is then 2^-infinity = 0.
                float shift = highest == FloatOf(kMinusInfinityBits) ? 0 : highest, factor = Exp2(largest[half] - shift);
                largest[half] = highest;
                total[half] *= factor;
                if (lines == 0 && place == 0) {
                    factors[row] = factor;
                }
#pragma unroll
                for (int t = 0; t < 2; t++) {
                    float even = Exp2(scores[t][2 * half] - shift), odd = Exp2(scores[t][2 * half + 1] - shift);
                    total[half] += even + odd;
                    *reinterpret_cast<uint32_t*>(weights + WeightOffset(row, 2 * lines + t) + 4 * place) = PackBFloat16(even, odd);
                }
            }
        }
        Barrier();
#pragma unroll
        for (int g = 0; g < kGroups; g++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float factor = factors[16 * g + group + 8 * half];
#pragma unroll
                for (int t = 0; t < kOutTiles; t++) {
                    output[g][t][2 * half] *= factor, output[g][t][2 * half + 1] *= factor;
                }
            }
        }
#pragma unroll
        for (int step = 0; step < kLines / 16; step++) {
            uint32_t rows_of[kGroups][4];
#pragma unroll
            for (int g = 0; g < kGroups; g++) {
                LoadMatrices<false>(rows_of[g], weights + WeightOffset(16 * g + lane / 8 % 2 * 8 + lane % 8, 2 * step + lane / 16));
            }
#pragma unroll
            for (int t = 0; t < kOutTiles / 2; t++) {
                uint32_t matrices[4];
                int piece = warp * kOutTiles + 2 * t + lane / 16;
                LoadMatrices<true>(matrices, stage + LineOffset<kRank>(16 * step + lane / 8 % 2 * 8 + lane % 8, piece));
                const uint32_t low[2] = {matrices[0], matrices[1]}, high[2] = {matrices[2], matrices[3]};
#pragma unroll
                for (int g = 0; g < kGroups; g++) {
                    MmaBFloat16(output[g][2 * t], rows_of[g], low);
                    MmaBFloat16(output[g][2 * t + 1], rows_of[g], high);
                }
            }
        }
        Barrier();  // the stage, the weights and the factors may be written again
    }
    WaitCopies<0>();
    if (scoring) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = SumOver<4>(total[half]);
            int row = own_rows + group + 8 * half;
            if (place == 0) {
                totals[lines * kRows + row] = sum;
                maxima[row] = largest[half];  // both halves write the same
            }
        }
    }
    Barrier();
#pragma unroll
    for (int g = 0; g < kGroups; g++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = 16 * g + group + 8 * half;
            if (at.row + row >= rows) {
                continue;
            }
            float sum = totals[row] + totals[kRows + row];
            float* part = LatentPartial(p, BlockX(), BlockZ(), kRows, row);
            uint16_t* mean = p.means + (first_token * a.num_heads + at.row + row) * a.rank;
#pragma unroll
            for (int t = 0; t < kOutTiles; t++) {
                int i = (warp * kOutTiles + t) * 8 + 2 * place;
                if (i < a.rank) {
                    if (p.splits > 1) {
                        part[i] = output[g][t][2 * half], part[i + 1] = output[g][t][2 * half + 1];
                    } else {
                        *reinterpret_cast<uint32_t*>(mean + i) = PackBFloat16(output[g][t][2 * half] / sum, output[g][t][2 * half + 1] / sum);
                    }
                }
            }
            if (p.splits > 1 && warp == 0 && place == 0) {
                part[a.rank] = maxima[row], part[a.rank + 1] = sum;
            }
        }
    }
}

// Grid: tiles. Parts without keys have a maximum of -infinity and count nothing.
template <int kRows>
__global__ void __launch_bounds__(kLatentThreads) LatentMerge(LatentParameters p) {
    const LatentAttentionArguments& a = p.a;
    const LatentTile at = TileAt(p, kRows);
    const int64_t first_token = at.first_token, rows = at.rows;
    // y: a few blocks share a tile's rows.
    for (int row = BlockY(); row < kRows && at.row + row < rows; row += kMergeBlocks) {
        float highest = FloatOf(kMinusInfinityBits);
        for (int64_t split = 0; split < p.splits; split++) {
            highest = LargerFloat(highest, LatentPartial(p, BlockX(), split, kRows, row)[a.rank]);
        }
        float shift = highest == FloatOf(kMinusInfinityBits) ? 0 : highest;
        for (int i = ThreadX(); i < a.rank; i += kLatentThreads) {
            float sum = 0, weight = 0;
            for (int64_t split = 0; split < p.splits; split++) {
                const float* from = LatentPartial(p, BlockX(), split, kRows, row);
                float factor = Exp2(from[a.rank] - shift);
                sum += from[i] * factor, weight += from[a.rank + 1] * factor;
            }
            p.means[(first_token * a.num_heads + at.row + row) * a.rank + i] = NarrowBFloat16(sum / weight);
        }
    }
}

}  // namespace longcat::cuda
