// A step over a paged cache: which tokens come, where they lie, and the checks that every operator with such a cache makes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/status.h"
#include "longcat/streaming.h"

namespace longcat {

struct PagedStep {
    int64_t tokens, sequences, pages, page_size, block_table_width;
    const int64_t* position_ids;    // [tokens]
    const int32_t* query_start;     // [sequences + 1]
    const int32_t* context_length;  // [sequences]
    const int32_t* block_table;     // [sequences, block_table_width]
    StreamingPattern streaming;
};

template <class Arguments>
PagedStep StepOf(const Arguments& p) {
    return {p.tokens,       p.sequences,   p.pages,          p.page_size,  p.block_table_width,
            p.position_ids, p.query_start, p.context_length, p.block_table, p.streaming};
}

// What a workspace's size is computed from, the pattern included. A dimension beside one of size 0 costs no memory, so each is bounded here (2^31 - 1): nothing
// that is computed from them can overflow.
Status CheckStepSizes(const PagedStep& step);

// query_start, contexts, pages and positions; the sizes have been checked. Of the pages only those that hold a key which a new token sees:
// with a streaming pattern the cost does not grow with the context, and other entries of the block table are never read.
Status CheckStep(const PagedStep& step);

// Memory for CheckWrittenPages: a table of the pages that are written.
size_t PageMarkBytes(const PagedStep& step);

// A page that this step writes must appear once among the pages in use: another sequence would read or overwrite its lines, and which
// of two writers came last would be chance. Pages that are only read may be shared. The step has been checked.
Status CheckWrittenPages(const PagedStep& step, void* marks);

}  // namespace longcat
