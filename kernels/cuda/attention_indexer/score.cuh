// The second stage of AttentionIndexer (longcat/cuda/attention_indexer.h).
#pragma once

#include "prepare.cuh"

namespace longcat::cuda {

inline constexpr int kScoreWarps = 8, kScoreThreads = kScoreWarps * kWarp;
inline constexpr int kWarpKeys = 32, kBlockKeys = kScoreWarps * kWarpKeys;
inline constexpr int kStageHeads = 64;  // of a token at a time

// kDim: head_dim filled up with zeros.
template <int kDim>
inline constexpr int kQueryStage = kStageHeads * kDim * 2;
template <int kDim>
inline constexpr size_t kScoreShared = 2 * size_t{kQueryStage<kDim>};

// Where 16 bytes of a head's query lie: pieces are exchanged among eight so that a column of eight rows touches all banks.
template <int kDim>
__device__ __forceinline__ int QueryOffset(int head, int piece) { return head * kDim * 2 + ((piece ^ (head & 7)) * 16); }

// Grid: keys / 256, tokens / tile_tokens. What a token does not choose from is not written.
template <int kDim>
__global__ void __launch_bounds__(kScoreThreads, 2) IndexerScore(IndexerParameters p) {
    constexpr int kSteps = kDim / 16, kTiles = kWarpKeys / 8, kPieces = kDim / 8;
    const AttentionIndexerArguments& a = p.a;
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp, group = lane / 4, place = lane % 4;
    const int64_t block_key = static_cast<int64_t>(BlockX()) * kBlockKeys, first_key = block_key + warp * kWarpKeys;
    const int64_t first_token = p.first + static_cast<int64_t>(BlockY()) * p.tile_tokens;
    const int tokens = static_cast<int>(SmallerOf(p.tile_tokens, p.first + p.count - first_token)), parts = (a.num_heads + kStageHeads - 1) / kStageHeads;
    uint8_t* stages = SharedMemory();
    bool needed = false;  // the same in all threads
    for (int t = 0; t < tokens; t++) {
        const IndexRange range = ScoredKeys(p, a.position_ids[first_token + t]);
        needed = needed || (range.from < block_key + kBlockKeys && range.to > block_key);
    }
    if (!needed) {
        return;
    }

    // Item i: heads i % parts · 64 .. of token i / parts.
    auto load = [&](int item) {
        if (item < tokens * parts) {
            uint8_t* stage = stages + item % 2 * kQueryStage<kDim>;
            const uint16_t* queries = p.queries + (first_token + item / parts) * a.num_heads * a.head_dim;
            for (int i = ThreadX(); i < kStageHeads * kPieces; i += kScoreThreads) {
                const int row = i / kPieces, piece = i % kPieces, head = item % parts * kStageHeads + row;
                const bool there = head < a.num_heads && 8 * piece < a.head_dim;
                CopyAsync16(stage + QueryOffset<kDim>(row, piece), there ? queries + head * a.head_dim + 8 * piece : queries, there);
            }
        }
        CommitCopies();
    };
    load(0);
    uint32_t keys[kSteps][kTiles][2];
    int64_t sequence = -1;
    float scores[kTiles][2];
    for (int item = 0; item < tokens * parts; item++) {
        load(item + 1);
        const int64_t token = first_token + item / parts;
        const int64_t own_sequence = SequenceOf(a.query_start, a.sequences, token);
        const IndexRange range = ScoredKeys(p, a.position_ids[token]);
        const bool scored = range.from < first_key + kWarpKeys && range.to > first_key;
        if (scored && own_sequence != sequence) {
            // The keys of the sequence: column `group` of tile t, elements 2 · place.. of each step. Keys that none of its tokens choose from may lie nowhere.
            sequence = own_sequence;
            int64_t last = a.position_ids[a.query_start[sequence + 1] - 1];
#pragma unroll
            for (int t = 0; t < kTiles; t++) {
                const int64_t position = first_key + 8 * t + group;
                const PagePlace at = position <= last && position < p.stride ? PageOf(a, sequence, position, p.fault) : PagePlace{-1, 0};
                const uint16_t* line = static_cast<const uint16_t*>(a.cache) + (at.page * a.page_size + at.slot) * a.head_dim;
#pragma unroll
                for (int step = 0; step < kSteps; step++) {
#pragma unroll
                    for (int r = 0; r < 2; r++) {
                        const int i = 16 * step + 8 * r + 2 * place;
                        keys[step][t][r] = at.page >= 0 && i < a.head_dim ? *reinterpret_cast<const uint32_t*>(line + i) : 0u;
                    }
                }
            }
        }
        if (item % parts == 0) {
#pragma unroll
            for (int t = 0; t < kTiles; t++) {
                scores[t][0] = scores[t][1] = 0;
            }
        }
        WaitCopies<1>();
        Barrier();
        if (scored) {  // the same in all threads of a warp
            const uint8_t* stage = stages + item % 2 * kQueryStage<kDim>;
            const int first_head = item % parts * kStageHeads, heads = static_cast<int>(SmallerOf(kStageHeads, a.num_heads - first_head));
            for (int head = 0; head < heads; head += 16) {
                float products[kTiles][4] = {};
#pragma unroll
                for (int step = 0; step < kSteps; step++) {
                    uint32_t query[4];
                    LoadMatrices<false>(query, stage + QueryOffset<kDim>(head + lane / 8 % 2 * 8 + lane % 8, 2 * step + lane / 16));
#pragma unroll
                    for (int t = 0; t < kTiles; t++) {
                        MmaBFloat16(products[t], query, keys[step][t]);
                    }
                }
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int row = head + group + 8 * half;
                    if (row < heads) {
                        const float weight = a.weights[token * a.num_heads + first_head + row];
#pragma unroll
                        for (int t = 0; t < kTiles; t++) {
#pragma unroll
                            for (int e = 0; e < 2; e++) {
                                scores[t][e] = MultiplyAdd(weight, LargerFloat(0, products[t][2 * half + e]), scores[t][e]);
                            }
                        }
                    }
                }
            }
            if (item % parts == parts - 1) {
#pragma unroll
                for (int t = 0; t < kTiles; t++) {
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        // Over the eight groups of heads.
                        float score = scores[t][e];
#pragma unroll
                        for (int mask = 16; mask >= 4; mask /= 2) {
                            score += ShuffleXor(score, mask);
                        }
                        const int64_t position = first_key + 8 * t + 2 * place + e;
                        if (group == 0 && position >= range.from && position < range.to) {
                            p.scores[(token - p.first) * p.stride + position] = score;
                        }
                    }
                }
            }
        }
        Barrier();  // the stage may be filled again
    }
    WaitCopies<0>();
}

}  // namespace longcat::cuda
