#pragma once

#include "../common/numbers.h"
#include "longcat/attention_indexer.h"

namespace longcat {

void AttentionIndexerReference(const AttentionIndexerArguments& arguments, const ParallelFor& parallel);
void AttentionIndexerAvx2(const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel);
void AttentionIndexerAvx512(const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel);
void AttentionIndexerNeon(const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel);

// What the workspace's size is computed from; nothing that a pointer points to is read.
Status CheckIndexerSizes(const AttentionIndexerArguments& arguments);

// Shared by all paths, so that they fill the cache and choose alike.

// The key of token t of sequence s: norm, rotation, into its page.
void StoreIndexKey(const AttentionIndexerArguments& arguments, int64_t sequence, int64_t token);
// The queries of a token, rotated: [num_heads, head_dim].
void RotateIndexQueries(const AttentionIndexerArguments& arguments, int64_t token, float* to);
// The token's row of `selected`. scores[j] is that of the key at position j; only those between the first and the last tokens are read,
// and none while the token's position is below top_k.
void Select(const AttentionIndexerArguments& arguments, int64_t token, const float* scores);

namespace {

constexpr int kMostIndexDim = 1024;  // of head_dim: a key is prepared on the stack
constexpr int kMostIndexHeads = 1024;
constexpr int kMostTopK = 1 << 24;
constexpr int64_t kIndexPanel = 16;  // keys of one panel

// The keys whose scores decide: positions [from, to); none while all are taken anyway.
struct IndexRange {
    int64_t from, to;
};
inline IndexRange ScoredKeys(const AttentionIndexerArguments& p, int64_t position) {
    bool choose = position >= p.top_k && p.top_k > p.init_tokens + p.local_tokens;
    return choose ? IndexRange{p.init_tokens, position + 1 - p.local_tokens} : IndexRange{0, 0};
}

// Where a key lies: element i at first + i · stride.
struct IndexSlot {
    int64_t first, stride;
};
inline IndexSlot IndexSlotOf(const AttentionIndexerArguments& p, int64_t sequence, int64_t position) {
    int64_t page = p.block_table[sequence * p.block_table_width + position / p.page_size], slot = position % p.page_size;
    int64_t panel = slot / kIndexPanel * kIndexPanel;
    return {(page * p.page_size + panel) * p.head_dim + slot - panel, Smaller(kIndexPanel, p.page_size - panel)};
}

}  // namespace
}  // namespace longcat
