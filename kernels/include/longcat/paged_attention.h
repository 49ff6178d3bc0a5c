// PagedAttention: multi-head attention with grouped keys and values (Ainslie et al., arXiv 2305.13245) over a paged cache
// (Kwon et al., arXiv 2309.06180); Llama, Mistral, Qwen.
//
//   q_th = rope(RMSNorm(query[t, h]; query_norm, epsilon))        the norms only where their weights are given
//   k_tg = rope(RMSNorm(key[t, g]; key_norm, epsilon))            v_tg = value[t, g]
//   s_thj = softmax_scale · q_th · k_jg,  g = h / (num_heads / num_kv_heads),  position(t) - window < j <= position(t),
//                                                                            or those of longcat/streaming.h
//   output[t, h] = Σ_j softmax_j(s_thj) v_jg
//
// Rotation of the first rotary_dim elements, angle (float)position · inv_freq[i], cosine and sine multiplied by rope_multiplier: pairs
// (x_i, x_{i + rotary_dim/2}) or, interleaved, (x_{2i}, x_{2i+1}). The others pass.
//
// Cache: [pages, page_size, 2 · num_kv_heads · head_dim]. The token at position p of sequence s lies in page
// block_table[s, p / page_size], slot p % page_size. Inside a page the layout is this operator's own; per kv head
//
//   | keys: panels of 16 slots, [head_dim, 16] each (the last one [head_dim, page_size % 16]) | values [page_size, head_dim] |
//
// int8 (longcat/cache.h): the key and the value of a token and kv head are a row each; the same order in bytes, and behind the values the
// scales of the page's slots:
//
//   | keys int8 | values int8 | scales of the keys float32 [page_size] | scales of the values float32 [page_size] |
//
// Scores and sums are float32: a score is scaled once its sum is complete, a weight before it multiplies its value.
//
// A panel holds one element of 16 keys side by side, so that one vector holds the scores of 16 keys: a score is summed in its own lane
// over ascending elements, and no vector is ever added up across its lanes. A page's keys and values of a head are one stream of memory.
//
//   tokens packed:  | sequence 0 | sequence 1 |…      query_start [S+1];  context_length [S] counts the cache after this step
//
// Stages of the vectorised paths:
//   (1) norm, rotate and store the new keys, store the new values;
//   (2) per tile of query rows (tokens of one sequence × the heads that share a kv head, at most 192) and split of 512 keys, in blocks of
//       64 keys: scores of the block in register tiles, softmax with a running maximum, weighted sum of the values. The scores of one
//       block are all that is ever stored. Keys and values are loaded once for all rows of the tile;
//   (3) splits are merged in ascending order and divided by their sum.
// A sequence with few new tokens spreads its splits over tasks, in which several kv heads take turns block by block while enough tasks are
// left; one with many takes a task per tile.
// On a path with dot products of bfloat16 (kAvx512Bf16) a bfloat16 cache is multiplied as it is: queries are rounded to bfloat16 once they are scaled,
// weights once they are made; scores are summed over pairs of elements, values over pairs of keys counted from the block's first, and a pair of
// which a row sees one key takes the other's value as 0. Maxima, exponentials and sums stay float32; blocks have 128 keys there.
//
// Keys outside the window are skipped, block by block; above the diagonal nothing is computed. With a streaming pattern the sinks are parts of
// their own, before the others: a part is always one run of neighbours.
//
// Sparse rows (longcat/sparse_blocks.h): after (1) the first sparse row of a sequence scores the blocks, the sets become block tables, one for
// every kv head, and the rows of a sequence and kv head attend as a sequence of their own with one kv head: a page of many kv heads is as
// many pages of one head, side by side. So stages (2) and (3) run once over the exact sequences and once over these.
//
// Invariance: splits and blocks begin at multiples of 512 and 64 (or 128) positions, and a row's sums run over its own visible keys in ascending
// order, in whatever tile or task. So the output of a token is the same bit for bit whatever else is in the batch, however its sequence
// was cut into steps and however many threads ran.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cache.h"
#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/sparse_blocks.h"
#include "longcat/status.h"
#include "longcat/streaming.h"
#include "longcat/weights.h"

namespace longcat {

struct PagedAttentionArguments {
    int64_t tokens = 0, sequences = 0, pages = 0, page_size = 0, block_table_width = 0;
    int num_heads = 0, num_kv_heads = 0, head_dim = 0, rotary_dim = 0;
    bool interleaved = false;
    int window = 0;  // tokens that a query sees, itself included; 0: all
    float epsilon = 0, softmax_scale = 1, rope_multiplier = 1;
    StreamingPattern streaming;          // default: full attention
    SparseBlocks sparse;                 // heads: kv heads, means [pages, num_kv_heads · head_dim]; default: no sparse rows
    const float* query = nullptr;       // [tokens, num_heads · head_dim]
    const float* key = nullptr;         // [tokens, num_kv_heads · head_dim]
    const float* value = nullptr;       // [tokens, num_kv_heads · head_dim]
    const float* query_norm = nullptr;  // [head_dim], or null: no norm
    const float* key_norm = nullptr;    // [head_dim], or null: no norm
    const float* inv_freq = nullptr;    // [rotary_dim / 2]
    const int64_t* position_ids = nullptr;
    const int32_t* query_start = nullptr;
    const int32_t* context_length = nullptr;
    const int32_t* block_table = nullptr;  // [sequences, block_table_width], anything where no new token sees a key of the page
    void* cache = nullptr;                 // [pages] as above, read and written
    CacheType cache_type = CacheType::kFloat32;
    float* output = nullptr;  // [tokens, num_heads · head_dim]
};

size_t PagedAttentionWorkspace(const PagedAttentionArguments& arguments);

// kInvalidArgument: sizes, heads that do not divide, query_start (first 0, never falling, last tokens). kOutOfRange: a context shorter
// than its new tokens or longer than its row of block_table, a page outside 0..pages-1 among those that are seen, a page that is written and
// appears there twice (only pages wholly before the new tokens may be shared), a position other than context_length - new tokens + index.
// What sparse has wrong: values, and kInvalidArgument beside a window or a streaming pattern.
// On an error neither the cache nor the output has been touched.
Status PagedAttention(CpuPath path, const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
