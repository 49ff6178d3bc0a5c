// The first stage of LatentAttention: lines of the new tokens and the rotated parts of their queries.
#pragma once

#include "../common/instructions.cuh"
#include "../common/pages.cuh"
#include "../common/visible.cuh"
#include "longcat/latent_attention.h"

namespace longcat::cuda {

struct LatentParameters {
    LatentAttentionArguments a;
    Pattern pattern;
    int64_t tiles = 0, splits = 1;
    float factor = 0;              // query_scale · softmax_scale · log2 e
    uint16_t* queries = nullptr;   // [tokens, heads, rank + rope]: folded, rotated, scaled
    uint16_t* means = nullptr;     // [tokens, heads, rank]: weighted means of latents
    float* partial = nullptr;      // [tiles, splits, rows, rank + 2]: sums, maximum, total
    int32_t* fault = nullptr;
};

inline constexpr int kLatentPrepareThreads = 128;

// Grid: tokens.
__global__ void __launch_bounds__(kLatentPrepareThreads) LatentPrepare(LatentParameters p) {
    const LatentAttentionArguments& a = p.a;
    const int64_t token = BlockX(), width = a.rank + a.rope;
    const int half = a.rope / 2, warp = ThreadX() / kWarp, lane = ThreadX() % kWarp;
    float* cosines = reinterpret_cast<float*>(SharedMemory());
    float* sines = cosines + half;
    float* sums = sines + half;  // of squares, a warp each
    const int64_t position = a.position_ids[token];
    for (int i = ThreadX(); i < half; i += kLatentPrepareThreads) {
        float cosine, sine;
        CosineAndSine(Multiply(static_cast<float>(position), a.inv_freq[i]), &cosine, &sine);
        cosines[i] = cosine * a.rope_multiplier, sines[i] = sine * a.rope_multiplier;
    }
    const float* latent = a.latent + token * width;
    float squares = 0;
    for (int i = ThreadX(); i < a.rank; i += kLatentPrepareThreads) {
        squares += latent[i] * latent[i];
    }
    squares = SumOver<kWarp>(squares);
    if (lane == 0) {
        sums[warp] = squares;
    }
    Barrier();
    squares = 0;
    for (int w = 0; w < kLatentPrepareThreads / kWarp; w++) {
        squares += sums[w];
    }
    const float inverse = Divide(1, SquareRoot(squares / static_cast<float>(a.rank) + a.epsilon));

    const PagePlace at = PageOf(a, SequenceOf(a.query_start, a.sequences, token), position, p.fault);
    if (at.page >= 0) {
        uint16_t* line = static_cast<uint16_t*>(a.cache) + (at.page * a.page_size + at.slot) * width;
        for (int i = ThreadX(); i < a.rank; i += kLatentPrepareThreads) {
            line[i] = NarrowBFloat16(latent[i] * inverse * a.latent_norm[i] * a.latent_scale);
        }
        const float* key = latent + a.rank;
        for (int i = ThreadX(); i < half; i += kLatentPrepareThreads) {
            float even = key[2 * i], odd = key[2 * i + 1];
            line[a.rank + 2 * i] = NarrowBFloat16(even * cosines[i] - odd * sines[i]);
            line[a.rank + 2 * i + 1] = NarrowBFloat16(odd * cosines[i] + even * sines[i]);
        }
    }
    for (int i = ThreadX(); i < a.num_heads * half; i += kLatentPrepareThreads) {
        int head = i / half, pair = i % half;
        const float* from = a.query + (token * a.num_heads + head) * (a.nope + a.rope) + a.nope + 2 * pair;
        uint16_t* to = p.queries + (token * a.num_heads + head) * width + a.rank + 2 * pair;
        float even = from[0] * p.factor, odd = from[1] * p.factor;
        to[0] = NarrowBFloat16(even * cosines[pair] - odd * sines[pair]);
        to[1] = NarrowBFloat16(odd * cosines[pair] + even * sines[pair]);
    }
}

}  // namespace longcat::cuda
