// Streaming sparse attention (LoZA of LongCat-Flash-ZigZag, arXiv 2512.23966): keys in blocks by absolute position; a query sees the first
// blocks ("sinks"), its own block and the ones before it, so many altogether:
//
//   query p sees key j  <=>  j <= p and (j / block_size < sink_blocks or j / block_size > p / block_size - local_blocks)
//
// with whole-number division. As two runs of positions, of which the second never begins before the end of the first:
//
//   [0, sink_blocks · block_size)   and   [max(that end, (p / block_size - local_blocks + 1) · block_size), p]
#pragma once

namespace longcat {

struct StreamingPattern {
    int block_size = 0;    // 0: full attention, a query sees all keys up to itself
    int sink_blocks = 0;   // 0 or more
    int local_blocks = 0;  // 1 or more
};

}  // namespace longcat
