// LatentAttention: multi-head latent attention (LongCat-Flash, arXiv 2509.01322, section 2; DeepSeek-V2) over a paged latent cache.
//
//   c_t   = latent_scale · RMSNorm(latent[t, :rank]; latent_norm, epsilon)        r_t = rope(latent[t, rank:])
//   q_th  = query_scale · query[t, h] = [q_nope | q_rope]                          q_rope = rope(q_rope)
//   kv_b  = per head [W_k (nope rows) ; W_v (v rows)], each row of length rank
//   s_thj = softmax_scale · (q_nope · (W_k c_j) + q_rope · r_j),   j = 0..position(t), or those of longcat/streaming.h, or those of selected[t]
//   output[t, h] = W_v Σ_j softmax_j(s_thj) c_j
//
// Rotation: pairs (x0,x1), (x2,x3)… in place, angle (float)position · inv_freq[i], cosine and sine multiplied by rope_multiplier.
//
// Cache: [pages, page_size, rank + rope], one line per token: [ c (normed, scaled) | r (rotated) ]. The token at position p of
// sequence s lies in page block_table[s, p / page_size], slot p % page_size. The kernel writes the new tokens' lines, then attends.
// int8 (longcat/cache.h): c and r are rows of their own, a line is bytes: | c int8 [rank] | r int8 [rope] | scale of c | scale of r |, the two
// scales float32, wherever that falls. An integer times its scale is the number that attends, as if a float cache held it.
//
//   tokens packed:  | sequence 0 | sequence 1 |…      query_start [S+1];  context_length [S] counts the cache after this step
//
// Stages of the vectorised paths (absorbed form: keys are never expanded, a line of the cache serves all heads):
//   (1) norm, rotate and store the new lines;
//   (2) fold the query: q'_th = [W_kᵀ q_nope | q_rope], per head over blocks of tokens;
//   (3) per tile of rows (tokens of one sequence x heads, at most 96) and split of the keys, in blocks of 64 keys: the block's lines widened once
//       for all rows, scores in register tiles whose lanes are rows, softmax with a running maximum, weighted sums of the lines, while the next
//       block is fetched. Splits depend on the token's own position only. With selected keys a tile is one token, whose keys are counted as entries;
//   (4) merge the splits in ascending order, divide, multiply by W_v.
// A sequence with few new tokens spreads its splits over tasks, one with many takes a task per tile. With a streaming pattern the sinks are parts
// of their own, before the others: a part is always one run of neighbours.
// Sparse rows (longcat/sparse_blocks.h): between (2) and (3) the folded queries of the first sparse row of a sequence score the blocks; its rows
// then see a block table without the pages of the others, and count their keys without those.
// A sequence with an adapter takes that one's matrix in the place of kv_b; its cache lines are what its own adapted projections made.
// On CpuPath::kAvx512Bf16 a bfloat16 cache is multiplied by dot products of pairs, whatever the number of rows: folded queries are rounded to
// bfloat16 once, the weights of a block too (2^-9 of each at most); maxima, exponentials, sums of weights and of values stay float32. Scores take
// neighbouring elements of a line as it lies, sums take keys 2i and 2i + 1 of a block; of a pair of which a row sees one key the other has no value.
// Invariance: blocks begin at multiples of 64 positions and a row's sums run over its own visible keys in ascending order, each in a lane of its
// own, in whatever tile or task. So the output of a token is the same bit for bit whatever else is in the batch, however its sequence was cut into steps
// and however many threads ran. That is why the form is not chosen by cost: the expanded form would take two to three times fewer
// multiply-adds in a prefill by steps of 512 to 2048 tokens, and cost that property (kernels/lab/README.md).
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

struct LatentAttentionArguments {
    int64_t tokens = 0, sequences = 0, pages = 0, page_size = 0, block_table_width = 0;
    int num_heads = 0, nope = 0, rope = 0, v = 0, rank = 0;
    float epsilon = 0, query_scale = 1, latent_scale = 1, softmax_scale = 1, rope_multiplier = 1;
    StreamingPattern streaming;          // default: full attention
    SparseBlocks sparse;                 // one head, means [pages, rank + rope]; default: no sparse rows
    const float* query = nullptr;        // [tokens, num_heads · (nope + rope)]
    const float* latent = nullptr;       // [tokens, rank + rope]
    const float* latent_norm = nullptr;  // [rank]
    Weights kv_b;                        // [num_heads · (nope + v), rank]
    int64_t adapters = 0;
    const float* kv_b_adapted = nullptr;   // [adapters, num_heads · (nope + v), rank]: kv_b with an adapter merged into it
    const int32_t* row_adapter = nullptr;  // [tokens], -1: kv_b; the same for all tokens of a sequence; may be null: all -1
    const int32_t* selected = nullptr;  // [tokens, selected_width]: ascending positions that the token sees, -1 behind them; null: all
    int64_t selected_width = 0;
    const float* inv_freq = nullptr;     // [rope / 2]
    const int64_t* position_ids = nullptr;
    const int32_t* query_start = nullptr;
    const int32_t* context_length = nullptr;
    const int32_t* block_table = nullptr;  // [sequences, block_table_width], anything where no new token sees a key of the page
    void* cache = nullptr;                 // [pages, page_size] lines, read and written
    CacheType cache_type = CacheType::kFloat32;
    float* output = nullptr;  // [tokens, num_heads · v]
};

size_t LatentAttentionWorkspace(const LatentAttentionArguments& arguments);

// kInvalidArgument: sizes, query_start (first 0, never falling, last tokens). kOutOfRange: a context shorter than its new tokens or longer
// than its row of block_table, a page outside 0..pages-1 among those that are seen, a page that is written and appears there twice (only pages wholly
// before the new tokens may be shared), a position other than context_length - new tokens + index, a row_adapter outside -1..adapters-1 or
// other than that of its sequence's first token, a row of selected that is empty, does not ascend or goes beyond the token's position.
// What sparse has wrong: values, and kInvalidArgument beside selected keys or a streaming pattern.
// On an error neither the cache nor the output has been touched.
Status LatentAttention(CpuPath path, const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
