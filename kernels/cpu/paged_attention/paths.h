#pragma once

#include "../common/numbers.h"
#include "longcat/paged_attention.h"

namespace longcat {

void PagedAttentionReference(const PagedAttentionArguments& arguments, const ParallelFor& parallel);
void PagedAttentionAvx2(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);
void PagedAttentionAvx512(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);

size_t PagedAttentionScratch(const PagedAttentionArguments& arguments);  // of the vectorised paths

// Shared by all paths, so that they fill the cache alike.

// cosine[i], sine[i] for i < rotary_dim / 2, rope_multiplier included.
void HeadRotation(const PagedAttentionArguments& arguments, int64_t position, float* cosine, float* sine);
// One head of a query or key: norm (null: none), rotation.
void PrepareHead(const PagedAttentionArguments& arguments, const float* source, const float* norm, const float* cosine, const float* sine,
                 float* to);
// Keys and values of token t of sequence s into its page.
void StoreToken(const PagedAttentionArguments& arguments, int64_t sequence, int64_t token, const float* cosine, const float* sine);

namespace {

// The largest head_dim: heads are prepared on the stack.
constexpr int kMostHeadDim = 1024;
// The largest number of heads.
constexpr int kMostHeads = 32'768;
// Keys of one panel.
constexpr int64_t kPanel = 16;

// Where the elements of a token lie: element i of its key at key + i · stride, of its value at value + i.
struct Slot {
    int64_t key, stride, value;
};

inline Slot SlotOf(const PagedAttentionArguments& p, int64_t sequence, int64_t position, int64_t kv_head) {
    int64_t page = p.block_table[sequence * p.block_table_width + position / p.page_size], slot = position % p.page_size;
    int64_t head = (page * p.num_kv_heads + kv_head) * 2 * p.page_size * p.head_dim, panel = slot / kPanel * kPanel;
    return {head + panel * p.head_dim + slot - panel, Smaller(kPanel, p.page_size - panel), head + (p.page_size + slot) * p.head_dim};
}

// The first key that a query at this position sees.
inline int64_t FirstVisible(const PagedAttentionArguments& p, int64_t position) {
    return p.window > 0 ? Larger(0, position - p.window + 1) : 0;
}

}  // namespace
}  // namespace longcat
