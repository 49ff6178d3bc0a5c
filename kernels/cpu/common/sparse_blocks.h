// Which blocks the sparse rows of a sequence see, and the block table without the others: longcat/sparse_blocks.h.
#pragma once

#include "longcat/sparse_blocks.h"
#include "longcat/status.h"
#include "numbers.h"
#include "paged_step.h"

namespace longcat {

// After CheckStep. `limited`: the attention does not see the whole context anyway, and has no means.
Status CheckSparseBlocks(const SparseBlocks& sparse, const PagedStep& step, int64_t heads, bool limited);

// One sequence's positions in blocks; all of them are candidates that are neither always seen nor behind `last`.
struct BlockRanges {
    int64_t sinks;  // the first blocks, up to here
    int64_t local;  // the latest, from here on
    int64_t end;    // after the block of the last new token

    int64_t Candidates() const { return local - sinks; }
    bool Kept(int64_t block) const { return block < sinks || block >= local; }
};
BlockRanges RangesOf(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence);

// Writes the sets of a sequence, [heads, words]: those with the highest of scores [heads, candidates].
void SelectBlocks(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads, const float* scores);
// The same from the sets that were given.
void TakeBlocks(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads);
// All sets of a step without tokens.
void TakeNone(const SparseBlocks& sparse, int64_t sets);
// Of a sequence whose rows are not sparse, or see everything.
void TakeAllOrNone(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads);

// The pages of a set's blocks, page · heads + head of each, one behind the other; returns how many positions that is up to the last new
// token.
int64_t CompactTable(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads, int64_t head, int32_t* table);

namespace {

// Whether a sequence's rows see a part of the context. The step may not be checked yet.
template <class Arguments>
bool IsSparse(const Arguments& p, int64_t sequence) {
    const SparseBlocks& sparse = p.sparse;
    int64_t first = p.query_start[sequence], count = int64_t{p.query_start[sequence + 1]} - first;
    return sparse.means != nullptr && sparse.rows != nullptr && sparse.block_size > 0 && count > 0 && first >= 0 && first < p.tokens &&
           sparse.rows[first] == 1 && p.context_length[sequence] - count + 1 > sparse.dense_tokens;
}

template <class Arguments>
int64_t SparseSequences(const Arguments& p) {
    int64_t result = 0;
    for (int64_t s = 0; p.sparse.means != nullptr && s < p.sequences; s++) {
        result += IsSparse(p, s) ? 1 : 0;
    }
    return result;
}

inline bool Sees(const int32_t* set, int64_t block) { return (static_cast<uint32_t>(set[block / 32]) >> (block % 32) & 1u) != 0; }

}  // namespace
}  // namespace longcat
