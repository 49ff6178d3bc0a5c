// The first stage: queries, keys and values of the new tokens.
#pragma once

#include "../common/instructions.cuh"
#include "../common/pages.cuh"
#include "../common/visible.cuh"
#include "longcat/paged_attention.h"

namespace longcat::cuda {

struct PagedParameters {
    PagedAttentionArguments a;
    Pattern pattern;
    int64_t tiles = 0, splits = 1;
    uint16_t* queries = nullptr;  // [tokens, num_heads, head_dim], rotated and scaled
    float* partial = nullptr;     // [tiles, kv heads, splits, rows, head_dim + 2]: sums, maximum, total
    int32_t* fault = nullptr;
};

inline constexpr int kPrepareThreads = 128;

// Where the keys of a page and kv head begin; its values lie page_size · head_dim elements on.
__device__ __forceinline__ int64_t HeadBegin(const PagedAttentionArguments& a, int64_t page, int64_t kv_head) {
    return (page * a.num_kv_heads + kv_head) * 2 * a.page_size * a.head_dim;
}

// One head by one warp: norm, rotation, times `factor`; to(i, x) takes element i.
template <class To>
__device__ __forceinline__ void PrepareHead(const PagedAttentionArguments& a, const float* from, const float* norm, const float* cosines, const float* sines,
                                            float factor, const To& to) {
    const int lane = ThreadX() % kWarp, dim = a.head_dim, half = a.rotary_dim / 2;
    float inverse = 1;
    if (norm != nullptr) {
        float squares = 0;
        for (int i = lane; i < dim; i += kWarp) {
            squares += from[i] * from[i];
        }
        squares = SumOver<kWarp>(squares);
        inverse = Divide(1, SquareRoot(squares / static_cast<float>(dim) + a.epsilon));
    }
    auto element = [&](int i) { return norm == nullptr ? from[i] : from[i] * inverse * norm[i]; };
    const int apart = a.interleaved ? 1 : half, step = a.interleaved ? 2 : 1;
    for (int pair = lane; pair < half; pair += kWarp) {
        float first = element(pair * step), second = element(pair * step + apart);
        to(pair * step, (first * cosines[pair] - second * sines[pair]) * factor);
        to(pair * step + apart, (second * cosines[pair] + first * sines[pair]) * factor);
    }
    for (int i = a.rotary_dim + lane; i < dim; i += kWarp) {
        to(i, element(i) * factor);
    }
}

// Grid: tokens.
__global__ void __launch_bounds__(kPrepareThreads) PagedPrepare(PagedParameters p) {
    const PagedAttentionArguments& a = p.a;
    const int64_t token = BlockX();
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp, half = a.rotary_dim / 2;
    float* cosines = reinterpret_cast<float*>(SharedMemory());
    float* sines = cosines + half;
    for (int i = ThreadX(); i < half; i += kPrepareThreads) {
        float cosine, sine;
        CosineAndSine(Multiply(static_cast<float>(a.position_ids[token]), a.inv_freq[i]), &cosine, &sine);
        cosines[i] = cosine * a.rope_multiplier, sines[i] = sine * a.rope_multiplier;
    }
    Barrier();
    const PagePlace place = PageOf(a, SequenceOf(a.query_start, a.sequences, token), a.position_ids[token], p.fault);
    const int64_t page = place.page, slot = place.slot;
    uint16_t* cache = static_cast<uint16_t*>(a.cache);
    for (int head = warp; head < a.num_heads + 2 * a.num_kv_heads; head += kPrepareThreads / kWarp) {
        if (head < a.num_heads) {
            int64_t at = (token * a.num_heads + head) * a.head_dim;
            uint16_t* to = p.queries + at;
            PrepareHead(a, a.query + at, a.query_norm, cosines, sines, a.softmax_scale * 1.44269504f, [&](int i, float x) { to[i] = NarrowBFloat16(x); });
        } else if (head < a.num_heads + a.num_kv_heads) {
            int64_t kv_head = head - a.num_heads, at = (token * a.num_kv_heads + kv_head) * a.head_dim;
            uint16_t* to = cache + HeadBegin(a, page < 0 ? 0 : page, kv_head) + slot * a.head_dim;
            PrepareHead(a, a.key + at, a.key_norm, cosines, sines, 1, [&](int i, float x) {
                if (page >= 0) {
                    to[i] = NarrowBFloat16(x);
                }
            });
        } else if (page >= 0) {
            int64_t kv_head = head - a.num_heads - a.num_kv_heads;
            const float* from = a.value + (token * a.num_kv_heads + kv_head) * a.head_dim;
            uint16_t* to = cache + HeadBegin(a, page, kv_head) + (a.page_size + slot) * a.head_dim;
            for (int i = lane; i < a.head_dim; i += kWarp) {
                to[i] = NarrowBFloat16(from[i]);
            }
        }
    }
}

}  // namespace longcat::cuda
