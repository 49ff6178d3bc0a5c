// A step over a paged cache: which tokens come, where they lie, and the checks that every operator with such a cache makes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/status.h"

namespace longcat {

struct PagedStep {
    int64_t tokens, sequences, pages, page_size, block_table_width;
    const int64_t* position_ids;    // [tokens]
    const int32_t* query_start;     // [sequences + 1]
    const int32_t* context_length;  // [sequences]
    const int32_t* block_table;     // [sequences, block_table_width]
};

template <class Arguments>
PagedStep StepOf(const Arguments& p) {
    return {p.tokens,       p.sequences,   p.pages,          p.page_size,  p.block_table_width,
            p.position_ids, p.query_start, p.context_length, p.block_table};
}

// What a workspace's size is computed from. A dimension beside one of size 0 costs no memory, so each is bounded here (2^31 - 1): nothing
// that is computed from them can overflow.
Status CheckStepSizes(const PagedStep& step);

// query_start, contexts, pages and positions; the sizes have been checked.
Status CheckStep(const PagedStep& step);

// Memory for CheckWrittenPages: one bit per page of the cache.
size_t PageMarkBytes(const PagedStep& step);

// A page that this step writes must appear once among the pages in use: another sequence would read or overwrite its lines, and which
// of two writers came last would be chance. Pages that are only read may be shared. The step has been checked.
Status CheckWrittenPages(const PagedStep& step, void* marks);

}  // namespace longcat
