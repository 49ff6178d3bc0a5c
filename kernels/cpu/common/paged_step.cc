#include "paged_step.h"

#include <cstring>

#include "numbers.h"
#include "packed_batch.h"
#include "streaming.h"

namespace longcat {
namespace {

// Calls use(column) for the columns of a sequence's block table whose pages hold a key that one of its new tokens sees, ascending; `use`
// returns whether to go on. All written pages are among them: a token sees itself.
template <class Use>
void UsedColumns(const PagedStep& p, int64_t context, int64_t count, Use&& use) {
    int64_t sinks = CeilDivide(Smaller(SinkEnd(p.streaming), context), p.page_size), end = CeilDivide(context, p.page_size);
    for (int64_t b = 0; b < sinks; b++) {
        if (!use(b)) {
            return;
        }
    }
    for (int64_t b = Larger(sinks, LocalBegin(p.streaming, context - count) / p.page_size); b < end; b++) {
        if (!use(b)) {
            return;
        }
    }
}

// Slots of the table of written pages: a power of two, at least twice as many as pages that a step can write (a sequence begins and ends
// within pages).
int64_t MarkSlots(const PagedStep& p) {
    int64_t most = Smaller(p.tokens, p.tokens / p.page_size + 2 * Smaller(p.sequences, p.tokens)), slots = 16;
    while (slots < 2 * most) {
        slots *= 2;
    }
    return slots;
}

}  // namespace

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
    const StreamingPattern& s = p.streaming;
    if (s.block_size < 0 || (s.block_size > 0 && (s.sink_blocks < 0 || s.local_blocks < 1)) ||
        (s.block_size == 0 && (s.sink_blocks != 0 || s.local_blocks != 0))) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "block_size is %d, sink_blocks %d, local_blocks %d: expected 1, 0 and 1 or more, or 0 of each for full attention",
                             s.block_size, s.sink_blocks, s.local_blocks);
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
        Status pages;
        UsedColumns(p, context, count, [&](int64_t b) {
            int32_t page = p.block_table[s * p.block_table_width + b];
            if (page < 0 || page >= p.pages) {
                pages = Status::Error(StatusCode::kOutOfRange,
                                      "block_table[%lld, %lld] is page %d, expected 0..%lld (the cache has %lld pages)", L{s}, L{b}, page,
                                      L{p.pages - 1}, L{p.pages});
            }
            return pages.ok();
        });
        if (!pages.ok()) {
            return pages;
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

size_t PageMarkBytes(const PagedStep& p) { return static_cast<size_t>(MarkSlots(p)) * sizeof(int32_t); }

Status CheckWrittenPages(const PagedStep& p, void* memory) {
    int32_t* marks = static_cast<int32_t*>(memory);  // open addressing, -1: free
    int64_t slots = MarkSlots(p);
    std::memset(marks, 0xff, PageMarkBytes(p));
    // The page's slot, or the free one where it would lie.
    auto find = [&](int32_t page) {
        int64_t slot = static_cast<int64_t>(static_cast<uint32_t>(page) * 0x9E3779B1u >> 7) & (slots - 1);
        while (marks[slot] != page && marks[slot] != -1) {
            slot = (slot + 1) & (slots - 1);
        }
        return slot;
    };
    // First the pages that are written, then those that are read.
    for (int pass = 0; pass < 2; pass++) {
        bool written = pass == 0;
        for (int64_t s = 0; s < p.sequences; s++) {
            int64_t count = p.query_start[s + 1] - p.query_start[s], context = p.context_length[s];
            int64_t first = (context - count) / p.page_size;
            Status status;
            auto check = [&](int64_t b) {
                int32_t page = p.block_table[s * p.block_table_width + b];
                int64_t slot = find(page);
                if (marks[slot] == page) {
                    using L = long long;
                    status = Status::Error(StatusCode::kOutOfRange,
                                           "block_table[%lld, %lld] is page %d, which this step writes for other tokens too; only pages that "
                                           "lie wholly before the new tokens may be shared",
                                           L{s}, L{b}, page);
                } else if (written) {
                    marks[slot] = page;
                }
                return status.ok();
            };
            if (count > 0 && written) {
                for (int64_t b = first, end = CeilDivide(context, p.page_size); b < end && check(b); b++) {
                }
            } else if (count > 0) {
                UsedColumns(p, context, count, [&](int64_t b) { return b < first && check(b); });
            }
            if (!status.ok()) {
                return status;
            }
        }
    }
    return {};
}

}  // namespace longcat
