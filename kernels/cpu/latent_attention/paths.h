#pragma once

#include "../common/int8_row.h"
#include "../common/numbers.h"
#include "../common/sparse_blocks.h"
#include "../common/streaming.h"
#include "longcat/latent_attention.h"

namespace longcat {

void LatentAttentionReference(const LatentAttentionArguments& arguments, const ParallelFor& parallel);
void LatentAttentionAvx2(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);
void LatentAttentionAvx512(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);
void LatentAttentionAvx512Bf16(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);  // bfloat16 caches
void LatentAttentionNeon(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);

size_t LatentAttentionScratch(const LatentAttentionArguments& arguments);  // of the vectorised paths

// Norms, rotates and stores the line of token t of sequence s. Shared by all paths, so that they fill the cache alike.
void StoreLine(const LatentAttentionArguments& arguments, int64_t sequence, int64_t token);

// The mean of the lines of a sequence's page, all of whose slots are written.
void StoreMean(const LatentAttentionArguments& arguments, int64_t sequence, int64_t column);

// cosine[i], sine[i] for i < rope / 2, rope_multiplier included.
void Rotation(const LatentAttentionArguments& arguments, int64_t position, float* cosine, float* sine);

namespace {

// The largest rope_head_dim: rotations are kept on the stack.
constexpr int kMostRope = 512;
// The largest of the other dimensions and of the number of heads: a product of two of them fits an int.
constexpr int kMostWidth = 32'768;

inline void RotatePairs(float* x, int count, const float* cosine, const float* sine) {
    for (int i = 0; i < count / 2; i++) {
        float even = x[2 * i], odd = x[2 * i + 1];
        x[2 * i] = even * cosine[i] - odd * sine[i];
        x[2 * i + 1] = odd * cosine[i] + even * sine[i];
    }
}

// The matrix of keys and values that a token is multiplied with.
inline Weights KeysAndValuesOf(const LatentAttentionArguments& p, int64_t token) {
    int64_t adapter = p.row_adapter == nullptr ? -1 : p.row_adapter[token];
    return adapter < 0 ? p.kv_b : Weights{p.kv_b_adapted + adapter * p.num_heads * (p.nope + p.v) * p.rank, WeightType::kFloat32};
}

// How many keys a token sees whose keys were selected: the entries before the first -1. The row has been checked.
inline int64_t SelectedKeys(const LatentAttentionArguments& p, int64_t token) {
    const int32_t* row = p.selected + token * p.selected_width;
    int64_t low = 1, high = p.selected_width;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (row[middle - 1] >= 0) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

inline int64_t LineOf(const LatentAttentionArguments& p, int64_t sequence, int64_t position) {
    int64_t page = p.block_table[sequence * p.block_table_width + position / p.page_size];
    return page * p.page_size + position % p.page_size;
}

// Bytes of one line of the cache.
inline int64_t LineBytes(const LatentAttentionArguments& p) { return LatentLineBytes(p.cache_type, p.rank, p.rope); }

// The scales of an int8 line.
struct LineScales {
    float latent, key;
};
inline LineScales ScalesOf(const LatentAttentionArguments& p, const void* line) {
    const char* at = static_cast<const char*>(line) + p.rank + p.rope;
    return {ScaleAt(at), ScaleAt(at + 4)};
}

}  // namespace
}  // namespace longcat
