// Which positions streaming attention sees; full attention is the pattern without sinks whose local run begins at 0. Internal linkage for
// the same reason as in parallel.h.
#pragma once

#include "longcat/streaming.h"
#include "numbers.h"

namespace longcat {
namespace {

// The end of the run of sinks; a query sees those of them that are not behind it.
inline int64_t SinkEnd(const StreamingPattern& pattern) { return int64_t{pattern.sink_blocks} * pattern.block_size; }

// Where the second run of a query's keys begins: at or behind SinkEnd. It ends with the query itself, and is empty where that is a sink.
inline int64_t LocalBegin(const StreamingPattern& pattern, int64_t position) {
    if (pattern.block_size == 0) {
        return 0;
    }
    return Larger(SinkEnd(pattern), (position / pattern.block_size - pattern.local_blocks + 1) * pattern.block_size);
}

// How many keys a query sees.
inline int64_t VisibleKeys(const StreamingPattern& pattern, int64_t position) {
    return Smaller(SinkEnd(pattern), position + 1) + Larger(0, position + 1 - LocalBegin(pattern, position));
}

// The most that any query up to this position sees.
inline int64_t MostVisibleKeys(const StreamingPattern& pattern, int64_t position) {
    return pattern.block_size == 0 ? position + 1
                                   : Smaller(position + 1, SinkEnd(pattern) + int64_t{pattern.local_blocks} * pattern.block_size);
}

}  // namespace
}  // namespace longcat
