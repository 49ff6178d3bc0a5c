#include "sparse_blocks.h"

#include <cstring>

#include "highest.h"

namespace longcat {
namespace {

int32_t* SetOf(const SparseBlocks& sparse, int64_t sequence, int64_t heads, int64_t head) {
    return sparse.blocks + (sequence * heads + head) * sparse.words;
}

void Add(int32_t* set, int64_t block) {
    set[block / 32] = static_cast<int32_t>(static_cast<uint32_t>(set[block / 32]) | 1u << (block % 32));
}

void Clear(const SparseBlocks& sparse, int64_t sequence, int64_t heads) {
    std::memset(SetOf(sparse, sequence, heads, 0), 0, static_cast<size_t>(heads * sparse.words) * sizeof(int32_t));
}

// Clears a set and adds what is always seen.
void Begin(const SparseBlocks& sparse, const BlockRanges& ranges, int64_t sequence, int64_t heads) {
    Clear(sparse, sequence, heads);
    for (int64_t head = 0; head < heads; head++) {
        int32_t* set = SetOf(sparse, sequence, heads, head);
        for (int64_t b = 0; b < ranges.sinks; b++) {
            Add(set, b);
        }
        for (int64_t b = ranges.local; b < ranges.end; b++) {
            Add(set, b);
        }
    }
}

}  // namespace

Status CheckSparseBlocks(const SparseBlocks& sparse, const PagedStep& step, int64_t heads, bool limited) {
    using L = long long;
    if (sparse.means == nullptr) {
        return {};
    }
    bool missing = (step.tokens > 0 && sparse.rows == nullptr) ||
                   (step.sequences > 0 && (sparse.blocks == nullptr || (!sparse.choose && sparse.given == nullptr)));
    if (limited || missing) {
        return Status::Error(
            StatusCode::kInvalidArgument,
            "block_means: expected an attention that sees the whole context, sparse_rows, blocks and a set to take where none is chosen");
    }
    if (heads * step.pages > INT32_MAX) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "cache has %lld pages of %lld heads, expected at most %d of both together with block_means", L{step.pages},
                             L{heads}, INT32_MAX);
    }
    bool any = false;
    for (int64_t s = 0; s < step.sequences; s++) {
        for (int64_t first = step.query_start[s], t = first; t < step.query_start[s + 1]; t++) {
            if (sparse.rows[t] > 1 || sparse.rows[t] != sparse.rows[first]) {
                return Status::Error(
                    StatusCode::kOutOfRange,
                    "sparse_rows[%lld] is %d and sparse_rows[%lld], the first of sequence %lld, is %d: expected 0 or 1, the same "
                    "for all rows of a sequence",
                    L{t}, sparse.rows[t], L{first}, L{s}, sparse.rows[first]);
            }
            any = any || sparse.rows[t] == 1;
        }
    }
    if (any && (sparse.block_size < 1 || sparse.block_size % step.page_size != 0 || sparse.dense_tokens < 0 || sparse.rho < 0 ||
                sparse.rho > 1000 || sparse.sink_blocks < 0 || sparse.local_blocks < 1)) {
        return Status::Error(
            StatusCode::kOutOfRange,
            "sparse_attention is block size %d, dense length %d, rho %d, sink blocks %d, local blocks %d: expected a multiple of the "
            "page size (%lld), 0 or more, 0..1000, 0 or more, 1 or more",
            sparse.block_size, sparse.dense_tokens, sparse.rho, sparse.sink_blocks, sparse.local_blocks, L{step.page_size});
    }
    int64_t words = SparseWords(step.block_table_width, step.page_size, sparse.block_size);
    if (sparse.words != words) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "blocks has %lld words a set, expected %lld (%lld columns of pages of %lld in blocks of %d)", L{sparse.words},
                             L{words}, L{step.block_table_width}, L{step.page_size}, sparse.block_size);
    }
    return {};
}

BlockRanges RangesOf(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence) {
    int64_t context = step.context_length[sequence], first = context - (step.query_start[sequence + 1] - step.query_start[sequence]);
    int64_t own = first / sparse.block_size, local = Larger(0, own - sparse.local_blocks + 1);
    return {Smaller(sparse.sink_blocks, local), local, CeilDivide(context, sparse.block_size)};
}

void SelectBlocks(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads, const float* scores) {
    BlockRanges ranges = RangesOf(sparse, step, sequence);
    Begin(sparse, ranges, sequence, heads);
    int64_t seen = step.context_length[sequence] - (step.query_start[sequence + 1] - step.query_start[sequence]) + 1;
    int64_t budget = (seen - sparse.dense_tokens) * sparse.rho / 1000 + sparse.dense_tokens;
    int64_t kept = ranges.sinks + CeilDivide(seen, sparse.block_size) - ranges.local;
    int64_t candidates = heads * ranges.Candidates(), count = Smaller(heads * (CeilDivide(budget, sparse.block_size) - kept), candidates);
    if (count <= 0) {
        return;
    }
    Lowest lowest = FindLowest(scores, 0, candidates, count);
    for (int64_t i = 0; i < candidates; i++) {
        if (lowest.Takes(scores[i])) {
            Add(SetOf(sparse, sequence, heads, i / ranges.Candidates()), ranges.sinks + i % ranges.Candidates());
        }
    }
}

void TakeBlocks(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads) {
    BlockRanges ranges = RangesOf(sparse, step, sequence);
    Begin(sparse, ranges, sequence, heads);
    for (int64_t head = 0; head < heads; head++) {
        const int32_t* given = sparse.given + (sequence * heads + head) * sparse.words;
        for (int64_t b = ranges.sinks; b < ranges.local; b++) {
            if (Sees(given, b)) {
                Add(SetOf(sparse, sequence, heads, head), b);
            }
        }
    }
}

void TakeNone(const SparseBlocks& sparse, int64_t sets) {
    if (sparse.means != nullptr && sets > 0) {
        std::memset(sparse.blocks, 0, static_cast<size_t>(sets * sparse.words) * sizeof(int32_t));
    }
}

void TakeAllOrNone(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads) {
    int64_t first = step.query_start[sequence];
    bool all = sparse.block_size > 0 && first < step.query_start[sequence + 1] && sparse.rows[first] == 1;
    Clear(sparse, sequence, heads);
    for (int64_t head = 0; all && head < heads; head++) {
        for (int64_t b = 0; b < CeilDivide(step.context_length[sequence], sparse.block_size); b++) {
            Add(SetOf(sparse, sequence, heads, head), b);
        }
    }
}

int64_t CompactTable(const SparseBlocks& sparse, const PagedStep& step, int64_t sequence, int64_t heads, int64_t head, int32_t* table) {
    const int32_t *set = SetOf(sparse, sequence, heads, head), *row = step.block_table + sequence * step.block_table_width;
    int64_t context = step.context_length[sequence], together = sparse.block_size / step.page_size, length = 0;
    for (int64_t b = 0; b < CeilDivide(context, sparse.block_size); b++) {
        if (Sees(set, b)) {
            int64_t end = Smaller((b + 1) * sparse.block_size, context);
            for (int64_t column = b * together; column < CeilDivide(end, step.page_size); column++) {
                *table++ = static_cast<int32_t>(row[column] * heads + head);
            }
            length += end - b * sparse.block_size;
        }
    }
    return length;
}

}  // namespace longcat
