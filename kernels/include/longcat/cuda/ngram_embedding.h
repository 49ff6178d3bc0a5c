// NGramEmbedding on a GPU: what longcat/ngram_embedding.h defines. Tables, projections and word are memory that the device can read: its own, or pinned memory of
// the host that is mapped into its address space (cudaHostAlloc, cudaHostRegister), so that tables larger than the device stay outside; only the rows
// that are needed cross the bus, each once and whole. The array `tables` itself is the host's.
//
// Stages:
//   (1) gather   a warp a token and table: the id (64-bit integers, as everywhere), then its row, 16 bytes a thread, as bfloat16 into scratch memory. A row of 8-bit
//                integers becomes bfloat16 without loss; its scale goes beside it
//   (2) project  a block 64 tokens x 64 outputs and some of the tables: m16n8k16 products of bfloat16 with float32 sums, per table; a table's sum is multiplied by its
//                row's scale and added to the tables before it
//   (3) finish   where tables were split over blocks: parts in ascending order; the word's row; divided by 1 + n
// Nothing is rounded but sums: the result differs from the CPU's by the order of float32 additions. Few tokens: bound by the bytes of the projections.
//
// Token ids are the device's and not checked by the host: one outside 0..vocabulary-1 (-1 in ngram_context) counts as token 0, and `fault` says so.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/ngram_embedding.h"

namespace longcat::cuda {

inline constexpr int kMostNGramTables = 64;

size_t NGramEmbeddingWorkspace(const Device& device, const NGramEmbeddingArguments& arguments);

// fault: an int32 of the device, set to 1 where a token id is out of range, else left alone; may be null.
// kInvalidArgument: sizes, moduli, missing or unaligned pointers (tables and projections: 16 bytes). kUnsupported: more than 64 tables, projections or tables that
// are not bfloat16 (tables: or 8-bit rows), projections in panels, a table_width that is no multiple of 8. kDeviceFailure: a launch failed.
Status NGramEmbedding(const Execution& execution, const NGramEmbeddingArguments& arguments, void* workspace, int32_t* fault);

}  // namespace longcat::cuda
