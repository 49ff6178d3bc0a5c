// PagedAttention on a GPU: what longcat/paged_attention.h defines, with all pointers to memory of the device and a bfloat16 cache.
//
// Cache: [pages, page_size, 2 · num_kv_heads · head_dim] as everywhere; inside a page the layout is this operator's own and not that of the CPU:
//
//   per kv head   | keys [page_size, head_dim] | values [page_size, head_dim] |
//
// Stages:
//   (1) prepare  a block a token: cosines and sines once, norm and rotation of queries (times softmax_scale · log2 e, as bfloat16 into scratch memory)
//                and of keys; new keys and values into their page;
//   (2) attend   a block a tile of 16 or 64 rows (a row is a query head of a token; the rows of a sequence that share a kv head follow each other), a kv
//                head and a part of the keys. Keys and values come 64 positions at a time through three stages of shared memory; scores and weighted
//                sums are m16n8k16 products of bfloat16 with float32 sums, softmax in base 2 with a running maximum. In tiles of 16 rows, for decoding,
//                each of the four warps takes 16 of the 64 positions, and they are merged at the end; in tiles of 64 each takes 16 rows;
//   (3) merge    where the keys were split: parts in ascending order.
// With a window or a streaming pattern only the blocks of 64 positions are visited that some row of the tile sees, and within them only visible keys
// are read: other entries of the block table may be anything.
//
// Precision: queries, keys, values and softmax weights are bfloat16 (8 bits) where the CPU has float32 queries and weights; sums are float32. The parts
// depend on the shapes alone (tokens, sequences, heads, the block table's width): the same shapes give the same bits, other shapes may round
// otherwise.
//
// The values of query_start, context_length and block_table are the device's and not checked by the host. A page outside 0..pages-1 is neither read nor
// written (a key there counts as zeros), and `fault` says so. query_start, context_length and positions must be as longcat/paged_attention.h says.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/paged_attention.h"

namespace longcat::cuda {

size_t PagedAttentionWorkspace(const Device& device, const PagedAttentionArguments& arguments);

// fault: an int32 of the device, set to 1 where a page is outside the cache, else left alone; may be null.
// kInvalidArgument: sizes, heads that do not divide, missing or unaligned pointers (cache: 16 bytes). kUnsupported: a cache that is not bfloat16, sparse rows, a head_dim
// above 256 or no multiple of 8. kDeviceFailure: a launch failed.
Status PagedAttention(const Execution& execution, const PagedAttentionArguments& arguments, void* workspace, int32_t* fault);

}  // namespace longcat::cuda
