// AttentionIndexer: which tokens a query of LongCat Sparse Attention sees (LongCat-2.0, LongCat-Flash-Lite-Sparse; derived from DeepSeek
// Sparse Attention), with a cache of keys of its own.
//
//   q_th = rope(query[t, h]),  k_t = rope(RMSNorm(key[t]; key_norm, epsilon))       the first rope_dim elements are rotated
//   s_tj = Σ_h weights[t, h] · max(0, q_th · k_j)
//   selected[t] = 0..position(t)                                                    while position(t) < top_k; else
//               = the first init_tokens, the last local_tokens (the token itself included), and of the others the
//                 top_k - init_tokens - local_tokens with the highest scores
//
// in ascending order, -1 behind them. Of equal scores the lower position is taken; a score that is not a number comes last.
//
// Rotation: pairs (x0,x1), (x2,x3)… in place, angle (float)position · inv_freq[i], cosine and sine multiplied by rope_multiplier.
//
// Scores are float32 with one rounding per multiply-add: a product q_th · k_j ascending in its elements, beginning with 0; then
// max(0, ·) (0 where it is no number); then weights · that, ascending in h, beginning with 0. Every path computes exactly this, so all
// of them select the same tokens, and neither the batch nor cuts nor threads can change a choice.
//
// Cache: [pages, page_size, head_dim]. The token at position p of sequence s lies in page block_table[s, p / page_size], slot
// p % page_size. Inside a page the layout is this operator's own: panels of 16 slots, [head_dim, 16] each (the last one
// [head_dim, page_size % 16]), so that one vector holds one element of 16 keys and no vector is ever added up across its lanes.
//
// Stages, for a chunk of tokens at a time: (1) norm, rotate and store the new keys (of all tokens); (2) rotate the queries;
// (3) per split of 512 keys and up to 16 tokens the scores of the keys that are neither first nor last, two panels at a time;
// (4) per token the choice: a radix search of the lowest score that is taken, three passes over 11 bits each, then one pass that
// writes. Keys are read once for all tokens of a task.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"
#include "longcat/weights.h"

namespace longcat {

struct AttentionIndexerArguments {
    int64_t tokens = 0, sequences = 0, pages = 0, page_size = 0, block_table_width = 0;
    int num_heads = 0, head_dim = 0, rope_dim = 0, top_k = 0, init_tokens = 0, local_tokens = 0;
    float epsilon = 0, rope_multiplier = 1;
    const float* query = nullptr;     // [tokens, num_heads · head_dim]
    const float* key = nullptr;       // [tokens, head_dim]
    const float* weights = nullptr;   // [tokens, num_heads]
    const float* key_norm = nullptr;  // [head_dim]
    const float* inv_freq = nullptr;  // [rope_dim / 2]
    const int64_t* position_ids = nullptr;
    const int32_t* query_start = nullptr;
    const int32_t* context_length = nullptr;
    const int32_t* block_table = nullptr;  // [sequences, block_table_width], -1 where unused
    void* cache = nullptr;                 // [pages, page_size, head_dim], read and written
    WeightType cache_type = WeightType::kFloat32;
    int32_t* selected = nullptr;  // [tokens, top_k]
};

size_t AttentionIndexerWorkspace(const AttentionIndexerArguments& arguments);

// kInvalidArgument: sizes, more forced tokens than top_k, query_start (first 0, never falling, last tokens). kOutOfRange: a context
// shorter than its new tokens or longer than its row of block_table, a page outside 0..pages-1, a page that is written and appears a
// second time (only pages wholly before the new tokens may be shared), a position other than context_length - new tokens + index.
// On an error neither the cache nor the output has been touched.
Status AttentionIndexer(CpuPath path, const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
