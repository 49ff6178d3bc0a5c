// A product per head: the second and the fifth stage of LatentAttention.
#pragma once

#include "../common/squares.cuh"
#include "prepare.cuh"

namespace longcat::cuda {

inline constexpr int kProductWarps = 4, kProductThreads = kProductWarps * kWarp;
inline constexpr int kProductTokens = 16 * kProductWarps, kProductColumns = 64, kProductDepth = 64;
inline constexpr int kProductStage = kProductDepth * kProductColumns * 2;
inline constexpr size_t kProductShared = 2 * kProductStage;

// Fold: queries[t, h, n] = factor · Σ_k query[t, h, k] · W_k[h][k, n],   k < nope, n < rank.
// Unfold: output[t, h, n] = Σ_k means[t, h, k] · W_v[h][n, k],           k < rank, n < v.
// Grid: tokens / 64, heads, columns / 64.
template <bool kFold>
__global__ void __launch_bounds__(kProductThreads) LatentProduct(LatentParameters p) {
    const LatentAttentionArguments& a = p.a;
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp, group = lane / 4, place = lane % 4;
    const int64_t head = BlockY(), first_token = static_cast<int64_t>(BlockX()) * kProductTokens;
    const int first_column = BlockZ() * kProductColumns, depth = kFold ? a.nope : a.rank, columns = kFold ? a.rank : a.v;
    const uint16_t* weights = static_cast<const uint16_t*>(a.kv_b.data) + (head * (a.nope + a.v) + (kFold ? 0 : a.nope)) * a.rank;
    uint8_t* stages = SharedMemory();
    const int chunks = (depth + kProductDepth - 1) / kProductDepth;

    // A square of 64 x 64 weights: rows are k when folding, outputs when unfolding.
    auto load = [&](int chunk) {
        uint8_t* stage = stages + chunk % 2 * kProductStage;
        for (int i = ThreadX(); i < 64 * 8; i += kProductThreads) {
            int row = i / 8, piece = i % 8;
            int weight_row = (kFold ? chunk * kProductDepth : first_column) + row, weight_column = (kFold ? first_column : chunk * kProductDepth) + 8 * piece;
            bool there = weight_row < (kFold ? depth : columns) && weight_column < a.rank;
            CopyAsync16(stage + SquareOffset(row, piece), there ? weights + static_cast<int64_t>(weight_row) * a.rank + weight_column : weights, there);
        }
        CommitCopies();
    };
    load(0);

    int64_t tokens[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        tokens[half] = SmallerOf(first_token + 16 * warp + group + 8 * half, a.tokens - 1);
    }
    float sums[8][4] = {};
    for (int chunk = 0; chunk < chunks; chunk++) {
        if (chunk + 1 < chunks) {
            load(chunk + 1);
        } else {
            CommitCopies();
        }
        WaitCopies<1>();
        Barrier();
        const uint8_t* stage = stages + chunk % 2 * kProductStage;
#pragma unroll
        for (int step = 0; step < kProductDepth / 16; step++) {
            uint32_t rows[4];
#pragma unroll
            for (int half = 0; half < 2; half++) {
#pragma unroll
                for (int part = 0; part < 2; part++) {
                    int k = chunk * kProductDepth + 16 * step + 8 * part + 2 * place;
                    uint32_t pair = 0;
                    if (k < depth) {
                        if constexpr (kFold) {
                            const float* from = a.query + (tokens[half] * a.num_heads + head) * (a.nope + a.rope) + k;
                            pair = PackBFloat16(from[0], from[1]);
                        } else {
                            pair = *reinterpret_cast<const uint32_t*>(p.means + (tokens[half] * a.num_heads + head) * a.rank + k);
                        }
                    }
                    rows[half + 2 * part] = pair;
                }
            }
#pragma unroll
            for (int t = 0; t < 4; t++) {  // sixteen columns
                uint32_t matrices[4];
                if constexpr (kFold) {
                    LoadMatrices<true>(matrices, stage + SquareOffset(16 * step + lane / 8 % 2 * 8 + lane % 8, 2 * t + lane / 16));
                } else {
                    LoadMatrices<false>(matrices, stage + SquareOffset(16 * t + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
                }
                const uint32_t low[2] = {matrices[0], matrices[1]}, high[2] = {matrices[2], matrices[3]};
                MmaBFloat16(sums[2 * t], rows, low);
                MmaBFloat16(sums[2 * t + 1], rows, high);
            }
        }
        Barrier();  // the stage may be filled again
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t token = first_token + 16 * warp + group + 8 * half;
        if (token >= a.tokens) {
            continue;
        }
#pragma unroll
        for (int t = 0; t < 8; t++) {
            int column = first_column + 8 * t + 2 * place;
            if (column >= columns) {
                continue;
            }
            if constexpr (kFold) {
                *reinterpret_cast<uint32_t*>(p.queries + (token * a.num_heads + head) * (a.rank + a.rope) + column) =
                    PackBFloat16(sums[t][2 * half] * p.factor, sums[t][2 * half + 1] * p.factor);
            } else {
                float* to = a.output + (token * a.num_heads + head) * a.v + column;
                to[0] = sums[t][2 * half], to[1] = sums[t][2 * half + 1];
            }
        }
    }
}

}  // namespace longcat::cuda
