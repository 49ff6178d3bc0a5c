// Products of a tile's tokens with one expert's packed 4-bit matrices: W4A8MatMul (longcat/cuda/w4a8_matmul.h) with an expert's weights and a tile's rows.
#pragma once

#include "../w4a8_matmul/stream.cuh"
#include "../w4a8_matmul/tile.cuh"
#include "group.cuh"

namespace longcat::cuda {

struct W4A8ExpertParameters {
    W4A8Parameters product;  // of one expert: what a tile does not change
    const ExpertTile* tiles = nullptr;
    const int32_t* rows = nullptr;  // which row of x a pair has; null: its own
    int64_t blocks = 0;             // of panels of one matrix
    int64_t matrix_bytes = 0;       // of one expert's
    const uint8_t *first = nullptr, *second = nullptr;              // stacks: gate and up, or down alone
    const float *first_scale = nullptr, *second_scale = nullptr;    // [experts, n]
    float *first_y = nullptr, *second_y = nullptr;                  // [pairs, n]
};

// The product of this block's tile and matrix, its first panel group in `block`; m 0: there is none.
__device__ __forceinline__ W4A8Parameters TileOf(const W4A8ExpertParameters& g, int64_t* block) {
    const ExpertTile tile = g.tiles[BlockX()];
    const bool second = BlockY() >= g.blocks;
    W4A8Parameters p = g.product;
    p.m = tile.rows;
    p.weights = (second ? g.second : g.first) + tile.expert * g.matrix_bytes;
    p.scale = (second ? g.second_scale : g.first_scale) + tile.expert * p.n;
    p.y = (second ? g.second_y : g.first_y) + tile.first * p.n;
    if (g.rows != nullptr) {
        p.rows = g.rows + tile.first;
    } else {
        p.x += tile.first * p.x_pitch, p.x_scale += tile.first;
    }
    *block = second ? BlockY() - g.blocks : BlockY();
    return p;
}

// Grid: tiles, blocks of panels of each matrix.
template <int kTiles, int kScaleBytes>
__global__ void __launch_bounds__(kStreamWarps* kWarp, kStreamBlocks<kTiles>) W4A8ExpertStream(W4A8ExpertParameters g) {
    int64_t block;
    const W4A8Parameters p = TileOf(g, &block);
    if (p.m > 0) {
        StreamProduct<kTiles, kScaleBytes>(p, block * p.panels_per_block, 0, 0);
    }
}
template <int kTiles, int kScaleBytes>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<kTiles>) W4A8ExpertTile(W4A8ExpertParameters g) {
    int64_t block;
    const W4A8Parameters p = TileOf(g, &block);
    if (p.m > 0) {
        TileProduct<kTiles, kScaleBytes>(p, block * kTilePanels, 0, 0);
    }
}

}  // namespace longcat::cuda
