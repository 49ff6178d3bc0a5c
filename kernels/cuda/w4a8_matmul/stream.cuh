// Few tokens: weights stream from memory into registers (longcat/cuda/w4a8_matmul.h).
#pragma once

#include "parameters.cuh"

namespace longcat::cuda {

inline constexpr int kStreamWarps = 8;

// A slab: at most 128 values of k within one group.
struct Slab {
    int64_t offset;  // its first byte in the panel
    uint32_t k;      // its first value of k
    uint32_t scales; // where its group's scales lie, from its first byte on
    int steps;       // 1..16
};

// Slabs of a whole group, and of all of K (the last group may be shorter).
__host__ __device__ __forceinline__ int64_t SlabsPerGroup(const W4A8Parameters& p) { return (SmallerOf(p.group, p.k) + 127) / 128; }
__host__ __device__ __forceinline__ int64_t SlabsOf(const W4A8Parameters& p) {
    return p.groups == 0 ? 0 : (p.groups - 1) * SlabsPerGroup(p) + (p.k - (p.groups - 1) * p.group + 127) / 128;
}

template <int kScaleBytes>
__device__ __forceinline__ Slab SlabAt(const W4A8Parameters& p, int64_t index) {
    Slab slab;
    int64_t per_group = SlabsPerGroup(p);
    int64_t group = per_group == 1 ? index : static_cast<uint32_t>(index) / static_cast<uint32_t>(per_group);
    int64_t within = (index - group * per_group) * 128, left = SmallerOf(p.group, p.k - group * p.group) - within;  // of the group, from here on
    slab.k = static_cast<uint32_t>(group * p.group + within);
    slab.steps = static_cast<int>(SmallerOf(kSlabSteps, (left + 7) / 8));
    slab.offset = group * (p.group / 8 * kStepBytes + kPanelOutputs8 * kScaleBytes) + within / 8 * kStepBytes;
    slab.scales = static_cast<uint32_t>((left + 7) / 8 * kStepBytes);
    return slab;
}

// The words of one half of a slab's outputs that a thread multiplies: steps 8 · pair + 2 · place + j.
struct HalfSlab {
    Words4 words[2][2];  // [pair][j]

    __device__ __forceinline__ void Load(const uint8_t* panel, const Slab& slab, int half, int group, int place) {
        const uint8_t* from = panel + slab.offset + 2 * place * kStepBytes + half * 128 + group * 16;
#pragma unroll
        for (int pair = 0; pair < 2; pair++) {
#pragma unroll
            for (int j = 0; j < 2; j++) {
                Words4& to = words[pair][j];
                if (8 * pair + 2 * place + j < slab.steps) {
                    to = LoadOnce(from + (8 * pair + j) * kStepBytes);
                } else {
                    to.x[0] = to.x[1] = to.x[2] = to.x[3] = kZeroWeights;
                }
            }
        }
    }
};

// Blocks that a multiprocessor's registers shall hold.
template <int kTiles>
inline constexpr int kStreamBlocks = kTiles <= 2 ? 2 : 1;

// What a block makes: panels_per_block panels from `first_panel` on, tokens from `first_token` on, one of the parts of K.
template <int kTiles, int kScaleBytes>
__device__ __forceinline__ void StreamProduct(const W4A8Parameters& p, int64_t first_panel, int64_t first_token, int part_of_k) {
    const int lane = ThreadX() % kWarp, warp = ThreadX() / kWarp, group = lane / 4, place = lane % 4;
    const int panels_here = static_cast<int>(p.panels_per_block), warps_per_panel = kStreamWarps / panels_here, own = warp / warps_per_panel;
    const int64_t panel = first_panel + own;
    const bool whole = p.group % 16 == 0;  // slabs begin at multiples of 16
    const int64_t slabs = SlabsOf(p), begin = slabs * part_of_k / p.splits, end = slabs * (part_of_k + 1) / p.splits;

    // Sums of the panels here, [panel][token][output].
    int32_t* meeting = reinterpret_cast<int32_t*>(SharedMemory());
    const int cells = panels_here * 8 * kTiles * kPanelOutputs8;
    for (int i = ThreadX(); i < cells; i += kStreamWarps * kWarp) {
        meeting[i] = 0;
    }
    Barrier();

    if (panel < p.panels) {
        const uint8_t* weights = p.weights + panel * p.panel_bytes;
        uint32_t totals[4][kTiles][4] = {};
        int64_t index = begin + warp % warps_per_panel;
        // A token beyond the last is the last one: its sums are never written.
        const int8_t* rows[kTiles];
#pragma unroll
        for (int column = 0; column < kTiles; column++) {
            rows[column] = p.x + RowOf(p, SmallerOf(first_token + 8 * column + group, p.m - 1)) * p.x_pitch + 16 * place;
        }
        HalfSlab halves[2];
        Slab slab = {};
        if (index < end) {
            slab = SlabAt<kScaleBytes>(p, index);
            halves[0].Load(weights, slab, 0, group, place);
            halves[1].Load(weights, slab, 1, group, place);
        }
        for (; index < end; index += warps_per_panel) {
            // Activations of this slab and its scales. A half's registers take the next slab's weights as soon as they have been multiplied, so that
            // there are always four 16-byte loads of each thread under way.
            Words4 x[kTiles][2];
#pragma unroll
            for (int column = 0; column < kTiles; column++) {
#pragma unroll
                for (int pair = 0; pair < 2; pair++) {
                    const uint32_t k = slab.k + 64 * pair;
                    const int8_t* from = rows[column] + k;
                    Words4& to = x[column][pair];
                    to.x[0] = to.x[1] = to.x[2] = to.x[3] = 0;
                    if (whole) {
                        if (k + 16 * place < p.x_pitch) {
                            to = *reinterpret_cast<const Words4*>(from);
                        }
                    } else {  // a group may begin at an odd multiple of 8
#pragma unroll
                        for (int part = 0; part < 2; part++) {
                            if (k + 16 * place + 8 * part < p.x_pitch) {
                                Words2 words = *reinterpret_cast<const Words2*>(from + 8 * part);
                                to.x[2 * part] = words.x[0], to.x[2 * part + 1] = words.x[1];
                            }
                        }
                    }
                }
            }
            GroupScales<kScaleBytes> scales;
            scales.Load(weights + slab.offset + slab.scales, group);
            const bool more = index + warps_per_panel < end;
            const Slab following = SlabAt<kScaleBytes>(p, more ? index + warps_per_panel : index);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int32_t sums[2][kTiles][4] = {};
#pragma unroll
                for (int pair = 0; pair < 2; pair++) {
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        const Words4& words = halves[half].words[pair][j];
#pragma unroll
                        for (int within = 0; within < 2; within++) {
                            uint32_t a[4];
                            WeightFragment(words.x[2 * within], words.x[2 * within + 1], a);
#pragma unroll
                            for (int column = 0; column < kTiles; column++) {
                                uint32_t b[2] = {x[column][pair].x[2 * j], x[column][pair].x[2 * j + 1]};
                                MmaS8(sums[within][column], a, b);
                            }
                        }
                    }
                }
                half == 0 ? Flush<0>(sums, totals, scales) : Flush<2>(sums, totals, scales);
                if (more) {
                    halves[half].Load(weights, following, half, group, place);
                }
            }
            slab = following;
        }
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
#pragma unroll
            for (int column = 0; column < kTiles; column++) {
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    int output = 32 * (tile / 2) + 4 * group + 2 * (tile % 2) + r / 2, token = 8 * column + 2 * place + r % 2;
                    AddToShared(meeting + (own * 8 * kTiles + token) * kPanelOutputs8 + output, static_cast<int32_t>(totals[tile][column][r]));
                }
            }
        }
    }
    Barrier();
    for (int i = ThreadX(); i < cells; i += kStreamWarps * kWarp) {
        int64_t output = (first_panel + i / (8 * kTiles * kPanelOutputs8)) * kPanelOutputs8 + i % kPanelOutputs8;
        int64_t token = first_token + i / kPanelOutputs8 % (8 * kTiles);
        if (output < p.n && token < p.m) {
            WriteTotal(p, part_of_k, token, output, static_cast<uint32_t>(meeting[i]));
        }
    }
}

// kTiles tiles of 8 tokens a block. Grid: blocks of panels, parts of K, blocks of tokens.
template <int kTiles, int kScaleBytes>
__global__ void __launch_bounds__(kStreamWarps* kWarp, kStreamBlocks<kTiles>) W4A8Stream(W4A8Parameters p) {
    StreamProduct<kTiles, kScaleBytes>(p, BlockX() * p.panels_per_block, static_cast<int64_t>(BlockZ()) * 8 * kTiles, BlockY());
}

}  // namespace longcat::cuda
