// The second stage of ExpertMixture (longcat/cuda/expert_mixture.h): tokens of one expert side by side, and the tiles that products work on.
#pragma once

#include "../common/instructions.cuh"

namespace longcat::cuda {

// Some pairs of one expert: [first, first + rows). rows 0: no tile.
struct alignas(16) ExpertTile {
    int32_t expert, first, rows, unused;
};

struct GroupParameters {
    int64_t tokens = 0, chunks = 0, most_tiles = 0;
    int experts = 0, top_k = 0, tile_rows = 0;
    const int32_t* chosen = nullptr;  // [tokens, top_k]
    int32_t* place = nullptr;         // [tokens, top_k]: 0 or more, gets the pair; -1 stays
    int32_t* starts = nullptr;        // [chunks, experts]: how many pairs of the expert, then where the first of them lies
    int32_t* token = nullptr;         // [pairs]
    int32_t* pairs = nullptr;         // [1]
    ExpertTile* tiles = nullptr;      // [most_tiles]
};

inline constexpr int kGroupThreads = 256, kChunkTokens = 32;

// Tiles that there can be at most: an expert's last one may be part of one.
inline int64_t MostTiles(int64_t pairs, int64_t experts, int64_t tile_rows) { return pairs / tile_rows + SmallerOf(pairs, experts); }

// Bit t of masks[e]: token t of the chunk has a pair with expert e.
__device__ __forceinline__ void MarkTokens(const GroupParameters& p, int64_t chunk, uint32_t* masks) {
    for (int e = ThreadX(); e < p.experts; e += kGroupThreads) {
        masks[e] = 0;
    }
    Barrier();
    const int64_t first = chunk * kChunkTokens * p.top_k, end = SmallerOf(first + kChunkTokens * p.top_k, p.tokens * p.top_k);
    for (int64_t i = first + ThreadX(); i < end; i += kGroupThreads) {
        if (p.place[i] >= 0) {
            OrToShared(masks + p.chosen[i], 1u << static_cast<int>((i - first) / p.top_k));
        }
    }
    Barrier();
}

__device__ __forceinline__ void CountPairs(const GroupParameters& p, int64_t chunk, const uint32_t* masks) {
    for (int e = ThreadX(); e < p.experts; e += kGroupThreads) {
        p.starts[chunk * p.experts + e] = BitsSet(masks[e]);
    }
}

// Where every expert's pairs of every chunk begin, and the tiles. cells: two numbers a thread.
__device__ __forceinline__ void PlaceExperts(const GroupParameters& p, int32_t* cells) {
    int32_t pairs_before = 0, tiles_before = 0;
    for (int base = 0; base < p.experts; base += kGroupThreads) {
        const int e = base + ThreadX();
        int32_t count = 0;
        for (int64_t chunk = 0; e < p.experts && chunk < p.chunks; chunk++) {
            count += p.starts[chunk * p.experts + e];
        }
        const int32_t tiles = (count + p.tile_rows - 1) / p.tile_rows;
        // Sums over this thread and all before it.
        int32_t pairs_end = count, tiles_end = tiles;
        for (int step = 1; step < kGroupThreads; step *= 2) {
            cells[ThreadX()] = pairs_end, cells[kGroupThreads + ThreadX()] = tiles_end;
            Barrier();
            if (ThreadX() >= step) {
                pairs_end += cells[ThreadX() - step], tiles_end += cells[kGroupThreads + ThreadX() - step];
            }
            Barrier();
        }
        cells[ThreadX()] = pairs_end, cells[kGroupThreads + ThreadX()] = tiles_end;
        Barrier();
        int32_t first = pairs_before + pairs_end - count;
        for (int32_t i = 0; i < tiles; i++) {
            const int32_t rows = static_cast<int32_t>(SmallerOf(p.tile_rows, count - i * p.tile_rows));
            p.tiles[tiles_before + tiles_end - tiles + i] = {e, first + i * p.tile_rows, rows, 0};
        }
        for (int64_t chunk = 0; e < p.experts && chunk < p.chunks; chunk++) {
            int32_t& start = p.starts[chunk * p.experts + e];
            const int32_t here = start;
            start = first, first += here;
        }
        pairs_before += cells[kGroupThreads - 1], tiles_before += cells[2 * kGroupThreads - 1];
        Barrier();
    }
    for (int64_t i = tiles_before + ThreadX(); i < p.most_tiles; i += kGroupThreads) {
        p.tiles[i] = {0, 0, 0, 0};
    }
    if (ThreadX() == 0) {
        *p.pairs = pairs_before;
    }
}

__device__ __forceinline__ void PlaceTokens(const GroupParameters& p, int64_t chunk, const uint32_t* masks) {
    const int64_t first = chunk * kChunkTokens * p.top_k, end = SmallerOf(first + kChunkTokens * p.top_k, p.tokens * p.top_k);
    for (int64_t i = first + ThreadX(); i < end; i += kGroupThreads) {
        if (p.place[i] >= 0) {
            const int32_t expert = p.chosen[i];
            const int within = static_cast<int>((i - first) / p.top_k);
            const int32_t pair = p.starts[chunk * p.experts + expert] + BitsSet(masks[expert] & ((1u << within) - 1));
            p.token[pair] = static_cast<int32_t>(chunk * kChunkTokens + within);
            p.place[i] = pair;
        }
    }
}

// Shared memory: the masks, behind them the cells.
inline constexpr size_t GroupShared(int64_t experts) { return (static_cast<size_t>(experts) + 2 * kGroupThreads) * 4; }

// All tokens in one chunk: one block.
__global__ void __launch_bounds__(kGroupThreads) GroupFew(GroupParameters p) {
    uint32_t* masks = reinterpret_cast<uint32_t*>(SharedMemory());
    MarkTokens(p, 0, masks);
    CountPairs(p, 0, masks);
    Barrier();
    PlaceExperts(p, reinterpret_cast<int32_t*>(masks + p.experts));
    Barrier();
    PlaceTokens(p, 0, masks);
}

// Grid: chunks.
__global__ void __launch_bounds__(kGroupThreads) GroupCount(GroupParameters p) {
    uint32_t* masks = reinterpret_cast<uint32_t*>(SharedMemory());
    MarkTokens(p, BlockX(), masks);
    CountPairs(p, BlockX(), masks);
}

// Grid: 1.
__global__ void __launch_bounds__(kGroupThreads) GroupExperts(GroupParameters p) { PlaceExperts(p, reinterpret_cast<int32_t*>(SharedMemory()) + p.experts); }

// Grid: chunks.
__global__ void __launch_bounds__(kGroupThreads) GroupTokens(GroupParameters p) {
    uint32_t* masks = reinterpret_cast<uint32_t*>(SharedMemory());
    MarkTokens(p, BlockX(), masks);
    PlaceTokens(p, BlockX(), masks);
}

}  // namespace longcat::cuda
