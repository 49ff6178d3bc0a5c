#include "paged_step.h"

#include <cstring>

#include "numbers.h"
#include "packed_batch.h"

namespace longcat {

Status CheckStepSizes(const PagedStep& p) {
    using L = long long;
    auto outside = [](int64_t value, int64_t least) { return value < least || value > INT32_MAX; };
    if (outside(p.tokens, 0) || outside(p.sequences, 0) || outside(p.pages, 0) || outside(p.page_size, 1) ||
        outside(p.block_table_width, 0)) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "query has %lld tokens, query_start %lld sequences, cache %lld pages of %lld, block_table %lld columns: "
                             "expected at most %d, and pages of 1 or more",
                             L{p.tokens}, L{p.sequences}, L{p.pages}, L{p.page_size}, L{p.block_table_width}, INT32_MAX);
    }
    return {};
}

Status CheckStep(const PagedStep& p) {
    using L = long long;
    if (Status status = CheckQueryStart(p.query_start, p.sequences, p.tokens); !status.ok()) {
        return status;
    }
    for (int64_t s = 0; s < p.sequences; s++) {
        int64_t first = p.query_start[s], count = p.query_start[s + 1] - first, context = p.context_length[s];
        if (count == 0) {
            continue;
        }
        if (context < count) {
            return Status::Error(StatusCode::kOutOfRange,
                                 "context_length[%lld] is %lld, below the sequence's %lld new tokens (it counts them)", L{s}, L{context},
                                 L{count});
        }
        int64_t used = CeilDivide(context, p.page_size);
        if (used > p.block_table_width) {
            return Status::Error(StatusCode::kOutOfRange,
                                 "context_length[%lld] is %lld: %lld pages of %lld, but block_table has %lld columns", L{s}, L{context},
                                 L{used}, L{p.page_size}, L{p.block_table_width});
        }
        for (int64_t b = 0; b < used; b++) {
            int32_t page = p.block_table[s * p.block_table_width + b];
            if (page < 0 || page >= p.pages) {
                return Status::Error(StatusCode::kOutOfRange,
                                     "block_table[%lld, %lld] is page %d, expected 0..%lld (the cache has %lld pages)", L{s}, L{b}, page,
                                     L{p.pages - 1}, L{p.pages});
            }
        }
        for (int64_t t = 0; t < count; t++) {
            int64_t expected = context - count + t;
            if (p.position_ids[first + t] != expected) {
                return Status::Error(StatusCode::kOutOfRange,
                                     "position_ids[%lld] is %lld, expected %lld (context_length[%lld] = %lld, token %lld of %lld new ones)",
                                     L{first + t}, L{p.position_ids[first + t]}, L{expected}, L{s}, L{context}, L{t}, L{count});
            }
        }
    }
    return {};
}

size_t PageMarkBytes(const PagedStep& p) { return static_cast<size_t>(CeilDivide(p.pages, 512) * 64); }

Status CheckWrittenPages(const PagedStep& p, void* memory) {
    uint64_t* marks = static_cast<uint64_t*>(memory);
    using L = long long;
    std::memset(marks, 0, PageMarkBytes(p));
    auto page = [&](int64_t s, int64_t b) { return p.block_table[s * p.block_table_width + b]; };
    auto marked = [&](int32_t at) { return (marks[at / 64] >> (at % 64) & 1) != 0; };
    // First the pages that are written, then those that are read.
    for (int pass = 0; pass < 2; pass++) {
        bool written = pass == 0;
        for (int64_t s = 0; s < p.sequences; s++) {
            int64_t count = p.query_start[s + 1] - p.query_start[s], context = p.context_length[s];
            int64_t first = (context - count) / p.page_size;
            for (int64_t b = written ? first : 0, end = written ? CeilDivide(context, p.page_size) : first; count > 0 && b < end; b++) {
                int32_t at = page(s, b);
                if (marked(at)) {
                    return Status::Error(StatusCode::kOutOfRange,
                                         "block_table[%lld, %lld] is page %d, which this step writes for other tokens too; only pages that "
                                         "lie wholly before the new tokens may be shared",
                                         L{s}, L{b}, at);
                }
                if (written) {
                    marks[at / 64] |= uint64_t{1} << (at % 64);
                }
            }
        }
    }
    return {};
}

}  // namespace longcat
