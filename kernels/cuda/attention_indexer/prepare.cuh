// The first stage of AttentionIndexer: keys of the new tokens into their pages, queries rotated.
#pragma once

#include "../common/instructions.cuh"
#include "../common/pages.cuh"
#include "../common/visible.cuh"
#include "longcat/attention_indexer.h"

namespace longcat::cuda {

struct IndexerParameters {
    AttentionIndexerArguments a;
    int64_t stride = 0;           // scores of one token: positions that its row of block_table can hold
    int64_t first = 0, count = 0; // tokens that are scored in this launch
    int tile_tokens = 1;          // of a block
    uint16_t* queries = nullptr;  // [tokens, num_heads, head_dim]
    float* scores = nullptr;      // [count, stride]
    int32_t* fault = nullptr;
};

// The keys whose scores decide: positions [from, to); none while all are taken anyway.
struct IndexRange {
    int64_t from, to;
};
__device__ __forceinline__ IndexRange ScoredKeys(const IndexerParameters& p, int64_t position) {
    const AttentionIndexerArguments& a = p.a;
    bool choose = position >= a.top_k && a.top_k > a.init_tokens + a.local_tokens;
    return choose ? IndexRange{a.init_tokens, SmallerOf(position + 1 - a.local_tokens, p.stride)} : IndexRange{0, 0};
}

inline constexpr int kIndexPrepareThreads = 128;

// Grid: tokens. Shared memory: cosines and sines, then one number a warp.
__global__ void __launch_bounds__(kIndexPrepareThreads) IndexerPrepare(IndexerParameters p) {
    const AttentionIndexerArguments& a = p.a;
    const int64_t token = BlockX(), position = a.position_ids[token];
    const int half = a.rope_dim / 2, warp = ThreadX() / kWarp, lane = ThreadX() % kWarp;
    float* cosines = reinterpret_cast<float*>(SharedMemory());
    float* sines = cosines + half;
    float* sums = sines + half;
    for (int i = ThreadX(); i < half; i += kIndexPrepareThreads) {
        float cosine, sine;
        CosineAndSine(Multiply(static_cast<float>(position), a.inv_freq[i]), &cosine, &sine);
        cosines[i] = Multiply(cosine, a.rope_multiplier), sines[i] = Multiply(sine, a.rope_multiplier);
    }
    const float* key = a.key + token * a.head_dim;
    float squares = 0;
    for (int i = ThreadX(); i < a.head_dim; i += kIndexPrepareThreads) {
        squares += key[i] * key[i];
    }
    squares = SumOver<kWarp>(squares);
    if (lane == 0) {
        sums[warp] = squares;
    }
    Barrier();
    squares = 0;
    for (int w = 0; w < kIndexPrepareThreads / kWarp; w++) {
        squares += sums[w];
    }
    const float inverse = Divide(1, SquareRoot(squares / static_cast<float>(a.head_dim) + a.epsilon));

    // Element i of a row whose elements `element` gives.
    auto rotated = [&](int i, const auto& element) {
        if (i >= a.rope_dim) {
            return element(i);
        }
        const float cosine = cosines[i / 2], sine = sines[i / 2];
        return i % 2 == 0 ? Add(Multiply(element(i), cosine), -Multiply(element(i + 1), sine)) : Add(Multiply(element(i), cosine), Multiply(element(i - 1), sine));
    };
    const PagePlace place = PageOf(a, SequenceOf(a.query_start, a.sequences, token), position, p.fault);
    if (place.page >= 0) {
        uint16_t* to = static_cast<uint16_t*>(a.cache) + (place.page * a.page_size + place.slot) * a.head_dim;
        for (int i = ThreadX(); i < a.head_dim; i += kIndexPrepareThreads) {
            to[i] = NarrowBFloat16(rotated(i, [&](int j) { return Multiply(Multiply(key[j], inverse), a.key_norm[j]); }));
        }
    }
    const float* query = a.query + token * a.num_heads * a.head_dim;
    uint16_t* to = p.queries + token * a.num_heads * a.head_dim;
    for (int at = ThreadX(); at < a.num_heads * a.head_dim; at += kIndexPrepareThreads) {
        const float* head = query + at / a.head_dim * a.head_dim;
        to[at] = NarrowBFloat16(rotated(at % a.head_dim, [&](int j) { return head[j]; }));
    }
}

}  // namespace longcat::cuda
