// LatentAttention on a GPU: what longcat/latent_attention.h defines, with all pointers to memory of the device, a bfloat16 cache and bfloat16 kv_b in
// rows. A line of the cache is the CPU's: | c (normed, scaled) | r (rotated) |.
//
// Stages, the absorbed form:
//   (1) prepare  a block a token: norms, rotates and stores its line; rotates its heads' rope parts, times query_scale · softmax_scale · log2 e
//   (2) fold     per head, tokens x kv_lora_rank: q_nope · W_k, times the same factor: together with the rope part the query that multiplies a line
//   (3) attend   a block a tile of 64 rows (a row is a head of a token; all rows of a sequence see the same lines) and a part of the keys. Lines come 32 at a
//                time through two stages of shared memory and are keys (all of a line) and values (its latent part) at once. Warps take 16 rows x 16
//                lines of the scores; the weights go through shared memory, and each warp then takes all rows and an eighth of the latent's width
//   (4) merge    the parts in ascending order, divided by their totals
//   (5) unfold   per head, tokens x v: W_v times the weighted mean of the latents
// With selected keys a tile is of one token, and the keys are its entries: the lines that they name are gathered, nothing else differs. A token without any sets
// `fault` and gives no numbers; that a row ascends is not checked.
// Products are m16n8k16 of bfloat16 with float32 sums. Where a block has too little shared memory for 64 rows, a tile is 16 rows.
//
// Precision: queries (before and after folding), softmax weights and weighted means are rounded to bfloat16. The parts depend on the shapes alone, as in
// longcat/cuda/paged_attention.h, and so does what is said there of values on the device and of `fault`.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/latent_attention.h"

namespace longcat::cuda {

size_t LatentAttentionWorkspace(const Device& device, const LatentAttentionArguments& arguments);

// kInvalidArgument: sizes, missing or unaligned pointers (kv_b and cache: 16 bytes). kUnsupported: another type than bfloat16, adapters, sparse rows,
// kv_lora_rank above 512, a rope part above 64, widths that are no multiples of 8. kDeviceFailure: a launch failed.
Status LatentAttention(const Execution& execution, const LatentAttentionArguments& arguments, void* workspace, int32_t* fault);

}  // namespace longcat::cuda
