// AttentionIndexer on a GPU: what longcat/attention_indexer.h defines, with all pointers to memory of the device and a bfloat16 cache.
//
// Cache: [pages, page_size, head_dim] as everywhere; inside a page the layout is this operator's own and not that of the CPU: plain rows.
//
// Stages:
//   (1) prepare  a block a token: norms and rotates its key into its page, rotates its queries (as bfloat16 into scratch memory)
//   (2) score    for some of the tokens at a time, so that the scores stay in bounds: a block 256 keys of one sequence and up to 16 tokens. A warp has the elements
//                of 32 keys in registers, as the B operands of m16n8k16 products, and keeps them while queries, 64 heads of a token at a time, pass through two
//                stages of shared memory; sixteen heads are the rows of a product. max(0, ·), the heads' weights and the sum over heads follow in registers
//   (3) select   a block a token: a radix search of the lowest score that is taken, three passes over 11 bits, then each warp counts and writes its part of the keys
//
// Precision: queries and keys are bfloat16 (8 bits) where the CPU has float32 queries; sums are float32. So a choice may differ from the CPU's where scores lie
// closer than that; equal scores, scores that are no numbers and everything else are the CPU's. A token's choice does not depend on its company.
//
// The values of position_ids, query_start and block_table are the device's and not checked by the host; context_length is not read. A page outside the cache is
// neither read nor written (a key there counts as zeros), and `fault` says so. A page that a step writes must appear once in its block table.
#pragma once

#include "longcat/attention_indexer.h"
#include "longcat/cuda/device.h"

namespace longcat::cuda {

// Queries as bfloat16, and the scores of as many tokens as fit 256 MiB (at least one).
size_t AttentionIndexerWorkspace(const Device& device, const AttentionIndexerArguments& arguments);

// fault: an int32 of the device, set to 1 where a page is outside the cache, else left alone; may be null.
// kInvalidArgument: as on the CPU as far as sizes go, missing or unaligned pointers (cache: 16 bytes). kUnsupported: a cache that is not bfloat16, a head_dim above 128
// or no multiple of 8. kDeviceFailure: a launch failed.
Status AttentionIndexer(const Execution& execution, const AttentionIndexerArguments& arguments, void* workspace, int32_t* fault);

}  // namespace longcat::cuda
