// Many tokens: tiles through shared memory (longcat/cuda/w4a8_matmul.h).
#pragma once

#include "parameters.cuh"

namespace longcat::cuda {

inline constexpr int kTileWarps = 8, kTileThreads = kTileWarps * kWarp;
inline constexpr int kTilePanels = 2;                             // of weights: 128 outputs
inline constexpr int kTokenWarps = kTileWarps / kTilePanels;      // warps side by side over tokens
inline constexpr int kStages = 4;
// A step's 256 bytes lie 272 apart: the eight threads of a phase of a 16-byte load (two groups, four places two steps apart) touch all banks.
inline constexpr int kStepPitch = kStepBytes + 16;
inline constexpr int kWeightStage = kTilePanels * kSlabSteps * kStepPitch;

template <int kTiles>
inline constexpr int kTileTokens = kTokenWarps * 8 * kTiles;
template <int kTiles>
inline constexpr int kStageBytes = kWeightStage + kTileTokens<kTiles> * 128;
template <int kTiles>
inline constexpr size_t kTileShared = size_t{kStages} * kStageBytes<kTiles>;

// Where 16 bytes of a token's 128 lie: the 64-byte halves of odd tokens are exchanged, so that two tokens beside each other fill all banks.
__device__ __forceinline__ int TokenOffset(int token, int byte) { return token * 128 + (byte ^ (token % 2 * 64)); }

// Groups and chunks of 128 values of k: a group is half a chunk or whole chunks.
struct Groups {
    bool halves;
    uint32_t chunks;  // of a group

    __device__ __forceinline__ explicit Groups(const W4A8Parameters& p) : halves(p.group == 64), chunks(halves ? 1 : static_cast<uint32_t>(p.group / 128)) {}
    __device__ __forceinline__ int64_t Of(uint32_t chunk, int half) const { return halves ? 2 * static_cast<int64_t>(chunk) + half : chunk / chunks; }
    __device__ __forceinline__ bool EndWith(uint32_t chunk) const { return (chunk + 1) % chunks == 0; }
};

// Starts the copies of chunk `chunk` (128 values of k) into a stage. What lies beyond K is zeros in the activations, so the weights there may be
// anything; tokens and panels beyond the last are zeros.
template <int kTiles, int kScaleBytes>
__device__ __forceinline__ void LoadStage(const W4A8Parameters& p, uint8_t* stage, uint32_t chunk, int64_t first_panel, int64_t first_token) {
    const int64_t steps = (p.k + 7) / 8;
    const Groups groups(p);
    const int64_t before = kScaleBytes == 0 ? 0 : groups.Of(chunk, 0) * (kPanelOutputs8 * kScaleBytes);  // scales before this chunk
#pragma unroll
    for (int i = ThreadX(); i < kTilePanels * kSlabSteps * 16; i += kTileThreads) {
        int panel = i / (kSlabSteps * 16), step = i / 16 % kSlabSteps, piece = i % 16;
        int64_t at = static_cast<int64_t>(chunk) * kSlabSteps + step, offset = at * kStepBytes + before;
        if (kScaleBytes > 0 && groups.halves && step >= kSlabSteps / 2) {
            offset += kPanelOutputs8 * kScaleBytes;
        }
        bool there = first_panel + panel < p.panels && at < steps;
        const uint8_t* from = there ? p.weights + (first_panel + panel) * p.panel_bytes + offset + piece * 16 : p.weights;
        CopyAsync16(stage + (panel * kSlabSteps + step) * kStepPitch + piece * 16, from, there);
    }
#pragma unroll
    for (int i = ThreadX(); i < kTileTokens<kTiles> * 8; i += kTileThreads) {
        int token = i / 8, piece = i % 8;
        int64_t k = static_cast<int64_t>(chunk) * 128 + piece * 16;
        bool there = first_token + token < p.m && k < p.x_pitch;
        const int8_t* from = there ? p.x + RowOf(p, first_token + token) * p.x_pitch + k : p.x;
        CopyAsync16(stage + kWeightStage + TokenOffset(token, piece * 16), from, there);
    }
}

// What a block makes: a pair of panels, tokens from `first_token` on, one of the parts of K.
template <int kTiles, int kScaleBytes>
__device__ __forceinline__ void TileProduct(const W4A8Parameters& p, int64_t first_panel, int64_t first_token, int part_of_k) {
    const int lane = ThreadX() % kWarp, warp = ThreadX() / kWarp, group = lane / 4, place = lane % 4;
    const int own_panel = warp / kTokenWarps, own_tokens = warp % kTokenWarps * 8 * kTiles;
    const int64_t chunks = (p.k + 127) / 128;
    const uint32_t begin = static_cast<uint32_t>(chunks * part_of_k / p.splits), end = static_cast<uint32_t>(chunks * (part_of_k + 1) / p.splits);
    const Groups groups(p);
    const int64_t panel = first_panel + own_panel;
    const uint8_t* panel_weights = p.weights + SmallerOf(panel, p.panels - 1) * p.panel_bytes;
    uint8_t* stages = SharedMemory();

#pragma unroll
    for (uint32_t s = 0; s < kStages - 1; s++) {
        if (begin + s < end) {
            LoadStage<kTiles, kScaleBytes>(p, stages + s * kStageBytes<kTiles>, begin + s, first_panel, first_token);
        }
        CommitCopies();
    }
    int32_t sums[4][kTiles][4] = {};
    uint32_t totals[4][kTiles][4] = {};
    // A group of 64 ends in the middle of a chunk, others at the end of one. Long groups are flushed every 32 chunks, far from 2^31.
    const bool halves = kScaleBytes > 0 && groups.halves;
    for (uint32_t chunk = begin; chunk < end; chunk++) {
        WaitCopies<kStages - 2>();
        Barrier();  // the copies of all threads are there, and all have left the stage that is filled next
        if (chunk + kStages - 1 < end) {
            uint32_t to = (chunk - begin + kStages - 1) % kStages;
            LoadStage<kTiles, kScaleBytes>(p, stages + to * kStageBytes<kTiles>, chunk + kStages - 1, first_panel, first_token);
        }
        CommitCopies();
        const uint8_t* stage = stages + (chunk - begin) % kStages * kStageBytes<kTiles>;
        const uint8_t* weights = stage + own_panel * kSlabSteps * kStepPitch;
        const uint8_t* x = stage + kWeightStage;
        const bool flush = chunk + 1 == end || (chunk + 1) % 32 == 0 || (kScaleBytes > 0 && groups.EndWith(chunk));
        GroupScales<kScaleBytes> scales[2];
        if constexpr (kScaleBytes > 0) {
#pragma unroll
            for (int pair = 0; pair < 2; pair++) {
                if (pair == 0 ? halves : halves || flush) {
                    // The group of this half of the chunk; its scales lie behind its last step.
                    int64_t which = SmallerOf(groups.Of(chunk, pair), p.groups - 1);
                    int64_t length = SmallerOf(p.group, p.k - which * p.group);
                    int64_t at = which * (p.group / 8 * kStepBytes + kPanelOutputs8 * kScaleBytes) + (length + 7) / 8 * kStepBytes;
                    scales[pair].Load(panel_weights + at, group);
                }
            }
        }
#pragma unroll
        for (int pair = 0; pair < 2; pair++) {
            Words4 b[kTiles];
#pragma unroll
            for (int column = 0; column < kTiles; column++) {
                b[column] = *reinterpret_cast<const Words4*>(x + TokenOffset(own_tokens + 8 * column + group, 64 * pair + 16 * place));
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    Words4 words = *reinterpret_cast<const Words4*>(weights + (8 * pair + 2 * place + j) * kStepPitch + half * 128 + group * 16);
#pragma unroll
                    for (int within = 0; within < 2; within++) {
                        uint32_t a[4];
                        WeightFragment(words.x[2 * within], words.x[2 * within + 1], a);
#pragma unroll
                        for (int column = 0; column < kTiles; column++) {
                            uint32_t part[2] = {b[column].x[2 * j], b[column].x[2 * j + 1]};
                            MmaS8(sums[2 * half + within][column], a, part);
                        }
                    }
                }
            }
            if (pair == 0 ? halves : halves || flush) {
                Flush<0>(sums, totals, scales[pair]);
            }
        }
    }
    if (panel >= p.panels) {
        return;
    }
#pragma unroll
    for (int column = 0; column < kTiles; column++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int64_t token = first_token + own_tokens + 8 * column + 2 * place + e;
            if (token >= p.m) {
                continue;
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int64_t output = panel * kPanelOutputs8 + 32 * half + 4 * group;
                const uint32_t four[4] = {totals[2 * half][column][e], totals[2 * half][column][2 + e], totals[2 * half + 1][column][e],
                                          totals[2 * half + 1][column][2 + e]};
                if (p.vector && output < p.n) {  // n is a multiple of 4
                    Words4 words;
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        words.x[i] = p.splits > 1 ? four[i] : BitsOf(Finished(p, token, output + i, four[i]));
                    }
                    int64_t at = token * p.n + output;
                    *reinterpret_cast<Words4*>(p.splits > 1 ? reinterpret_cast<uint32_t*>(p.partial) + part_of_k * p.m * p.n + at
                                                            : reinterpret_cast<uint32_t*>(p.y) + at) = words;
                } else {
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        if (output + i < p.n) {
                            WriteTotal(p, part_of_k, token, output + i, four[i]);
                        }
                    }
                }
            }
        }
    }
}

// Blocks that a multiprocessor's registers shall hold.
template <int kTiles>
inline constexpr int kTileBlocks = kTiles <= 2 ? 2 : 1;

// Grid: blocks of tokens, pairs of panels, parts of K.
template <int kTiles, int kScaleBytes>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<kTiles>) W4A8Tile(W4A8Parameters p) {
    TileProduct<kTiles, kScaleBytes>(p, static_cast<int64_t>(BlockY()) * kTilePanels, static_cast<int64_t>(BlockX()) * kTileTokens<kTiles>, BlockZ());
}

}  // namespace longcat::cuda
