// Products of a tile's tokens with one expert's matrices of bfloat16: the third and fourth stage of ExpertMixture (longcat/cuda/expert_mixture.h).
#pragma once

#include "../common/squares.cuh"
#include "group.cuh"

namespace longcat::cuda {

struct ExpertProductParameters {
    int64_t depth = 0, outputs = 0;  // of one expert's matrix
    const ExpertTile* tiles = nullptr;
    const uint16_t* x = nullptr;      // rows of `depth`
    const int32_t* rows = nullptr;    // which row of x a pair has; null: its own
    const uint16_t* first = nullptr;  // [experts, outputs, depth]: gate, or down
    const uint16_t* second = nullptr; // the same: up
    uint16_t* inner = nullptr;        // [pairs, outputs]: silu(gate) · up
    float* value = nullptr;           // the same before it is rounded, may be null
    float* product = nullptr;         // [pairs, outputs]: of down
};

inline constexpr int kExpertWarps = 8, kExpertThreads = kExpertWarps * kWarp, kExpertRows = 16 * kExpertWarps;  // rows of weights a block
inline constexpr int kExpertDepth = 64, kExpertStages = 4;
// kPairs: sixteens of tokens.
template <int kPairs>
inline constexpr int kExpertStage = (kExpertRows + 16 * kPairs) * kExpertDepth * 2;
template <int kPairs>
inline constexpr size_t kExpertShared = size_t{kExpertStages} * kExpertStage<kPairs>;
// Outputs of a block: with gate and up a row of weights is one or the other.
template <bool kGated>
inline constexpr int kExpertOutputs = kGated ? kExpertRows / 2 : kExpertRows;

// Grid: tiles, outputs / kExpertOutputs. Weights are the rows of the matrix instruction, tokens its columns. With gate and up the sixteen rows of a warp are eight
// channels of gate and the same of up: registers r and r + 2 of a thread are one channel's.
template <int kPairs, bool kGated>
__global__ void __launch_bounds__(kExpertThreads, 2) ExpertProduct(ExpertProductParameters p) {
    const ExpertTile tile = p.tiles[BlockX()];
    if (tile.rows == 0) {
        return;
    }
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp, group = lane / 4, place = lane % 4;
    const int64_t first_output = static_cast<int64_t>(BlockY()) * kExpertOutputs<kGated>, matrix = tile.expert * p.outputs * p.depth;
    const int chunks = static_cast<int>((p.depth + kExpertDepth - 1) / kExpertDepth);
    uint8_t* stages = SharedMemory();

    auto load = [&](int chunk) {
        if (chunk < chunks) {
            uint8_t* stage = stages + chunk % kExpertStages * kExpertStage<kPairs>;
            for (int i = ThreadX(); i < kExpertRows * 8; i += kExpertThreads) {
                const int row = i / 8, piece = i % 8;
                const int64_t output = first_output + (kGated ? row / 16 * 8 + row % 8 : row), k = static_cast<int64_t>(chunk) * kExpertDepth + 8 * piece;
                const uint16_t* stack = kGated && row % 16 >= 8 ? p.second : p.first;
                const bool there = output < p.outputs && k < p.depth;
                CopyAsync16(stage + SquareOffset(row, piece), there ? stack + matrix + output * p.depth + k : stack, there);
            }
            for (int i = ThreadX(); i < 16 * kPairs * 8; i += kExpertThreads) {
                const int token = i / 8, piece = i % 8;
                const int64_t k = static_cast<int64_t>(chunk) * kExpertDepth + 8 * piece;
                const bool there = token < tile.rows && k < p.depth;
                const uint16_t* from = p.x;
                if (there) {
                    const int64_t pair = tile.first + token;
                    from += (p.rows == nullptr ? pair : p.rows[pair]) * p.depth + k;
                }
                CopyAsync16(stage + SquareOffset(kExpertRows + token, piece), from, there);
            }
        }
        CommitCopies();
    };
#pragma unroll
    for (int i = 0; i < kExpertStages - 1; i++) {
        load(i);
    }
    float sums[2 * kPairs][4] = {};
    for (int chunk = 0; chunk < chunks; chunk++) {
        WaitCopies<kExpertStages - 2>();
        Barrier();  // the copies of all threads are there, and all have left the stage that is filled next
        load(chunk + kExpertStages - 1);
        const uint8_t* stage = stages + chunk % kExpertStages * kExpertStage<kPairs>;
#pragma unroll
        for (int step = 0; step < kExpertDepth / 16; step++) {
            uint32_t weights[4];
            LoadMatrices<false>(weights, stage + SquareOffset(16 * warp + lane / 8 % 2 * 8 + lane % 8, 2 * step + lane / 16));
#pragma unroll
            for (int t = 0; t < kPairs; t++) {
                uint32_t matrices[4];
                LoadMatrices<false>(matrices, stage + SquareOffset(kExpertRows + 16 * t + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
                const uint32_t low[2] = {matrices[0], matrices[1]}, high[2] = {matrices[2], matrices[3]};
                MmaBFloat16(sums[2 * t], weights, low);
                MmaBFloat16(sums[2 * t + 1], weights, high);
            }
        }
    }
    WaitCopies<0>();
#pragma unroll
    for (int t = 0; t < 2 * kPairs; t++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const int token = 8 * t + 2 * place + e;
            if (token >= tile.rows) {
                continue;
            }
            const int64_t to = (tile.first + token) * p.outputs;
            if constexpr (kGated) {
                const int64_t output = first_output + 8 * warp + group;
                if (output < p.outputs) {
                    const float gate = sums[t][e], up = sums[t][2 + e];
                    const float value = Multiply(Divide(gate, Add(1, Exp2(Multiply(gate, -1.44269504f)))), up);
                    p.inner[to + output] = NarrowBFloat16(value);
                    if (p.value != nullptr) {
                        p.value[to + output] = value;
                    }
                }
            } else {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int64_t output = first_output + 16 * warp + group + 8 * half;
                    if (output < p.outputs) {
                        p.product[to + output] = sums[t][2 * half + e];
                    }
                }
            }
        }
    }
}

}  // namespace longcat::cuda
