// The inputs and outputs for sparse rows, which both attentions have behind their others.
#pragma once

#include "../ort/kernel.h"
#include "longcat/sparse_blocks.h"

namespace longcat::ops {

// What an attention is to sparse rows. Inputs from `input` on: sparse_rows uint8 [T], sparse_attention int32 [5], sparse_anchors uint8
// [attentions], block_means float [pages, width], blocks int32 [S, heads, words] (optional: the first attention has none before it);
// outputs from `output` on: block_means_out, blocks_out.
struct SparsePorts {
    size_t input, output;
    int64_t attention;  // the attribute: its place in sparse_anchors; -1 where the node has none
    int64_t tokens, sequences, pages, page_size, block_table_width;
    int64_t heads, width;
};

// All empty where the node has no such inputs; a Failure names what is missing or does not fit.
SparseBlocks ReadSparseBlocks(const Context& context, const SparsePorts& ports);

}  // namespace longcat::ops
