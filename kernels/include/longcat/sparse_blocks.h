// Block retrieval of sparse verification (Sparse Verification, arXiv 2512.21911, the attention axis): the rows that verify speculated
// tokens see a part of the context, chosen in blocks of keys, per key head, by the first of them.
//
//   page mean   m_pg = mean of the keys of head g in page p          kept beside the cache, written with the last slot of a page
//   score       s_gb = fold over the queries of head g of  q · Σ_{p of block b} m_pg
//               fold: the largest one (PagedAttention: the query heads of a kv head); Σ max(0, ·) (LatentAttention: all heads, one set)
//   position p of the sequence's first sparse row, L = p + 1, blocks of B positions, H heads:
//     L <= dense_tokens:  everything
//     else N = H · ceil(floor((L - dense_tokens) · rho / 1000 + dense_tokens) / B) pairs of head and block, of which are
//       always  the first sink_blocks, and everything from block p / B - local_blocks + 1 on
//       then    the others with the highest scores over all heads together; of equal scores the lower head, then the lower block. What is
//       no
//               number counts as the lowest.
//
// A row sees the keys of its heads' blocks that are not behind it. Only whole blocks of whole pages are ever chosen from, so no mean is
// asked for before it is there; a token that is overwritten changes the mean when the page's last slot is written again.
//
// A chosen block is B / page_size pages: what sparse rows attend to is the same paged cache through a block table without the other pages,
// in the order and by the code of exact rows. So everything chosen gives the bits of exact attention, and the cost is that of a context as
// long as the budget.
#pragma once

#include <cstdint>

namespace longcat {

struct SparseBlocks {
    float* means = nullptr;          // [pages, width of a key of all heads], read and written; null: no means, no sparse rows
    const uint8_t* rows = nullptr;   // [tokens], 1: sparse; the same for all tokens of a sequence
    int block_size = 0;              // positions, a multiple of the page size
    int dense_tokens = 0;            // 0 or more
    int rho = 0;                     // 0..1000
    int sink_blocks = 0;             // 0 or more
    int local_blocks = 0;            // 1 or more
    bool choose = true;              // or take what was given
    const int32_t* given = nullptr;  // [sequences, heads, words]: the sets of another attention
    int32_t* blocks = nullptr;  // [sequences, heads, words]: bit j of word w is block 32 · w + j; no bits for sequences that are not sparse
    int64_t words = 0;          // SparseWords
};

// Words of one head's set.
inline int64_t SparseWords(int64_t block_table_width, int64_t page_size, int64_t block_size) {
    int64_t blocks = block_size < 1 ? 0 : (block_table_width * page_size + block_size - 1) / block_size;
    return blocks <= 32 ? 1 : (blocks + 31) / 32;
}

}  // namespace longcat
