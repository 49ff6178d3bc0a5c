// The scratch memory of the vectorised paths and how the work is cut. Both depend on the arguments alone, never on threads.
#pragma once

#include <cstdint>

#include "longcat/paged_attention.h"

namespace longcat {

constexpr int64_t kSplit = 512;    // keys whose sums are kept apart until they are merged; splits begin at multiples of it
constexpr int64_t kBlock = 64;     // keys between two updates of the running maximum; blocks begin at multiples of it
constexpr int64_t kPairBlock = 128;  // … where bfloat16 is multiplied as such
constexpr int64_t kTileRows = 192;  // the most query rows of one tile
constexpr int64_t kTogether = 16;  // the most units that walk over the keys of a split together

// What a thread works in: the rows of a tile and one block of keys and values, widened where that pays.
struct PagedAttentionLane {
    size_t query, sum, total;       // [rows, stride] each
    size_t sum_state, total_state;  // [rows, 2]: maximum, sum
    size_t scores, ratio;           // [rows, kBlock or kPairBlock], [rows]
    size_t keys, values;            // [kBlock, head_dim], [kBlock, value_stride]: of pairs kPairBlock / 2
    size_t bytes;
};

struct PagedAttentionPlan {
    int64_t stride;         // head_dim rounded up to whole vectors
    int64_t value_stride;   // … and a line of the cache more: of values that many rows read
    int64_t chunk, chunks;  // heads of one tile, tiles that the heads of a kv head are cut into
    int64_t tile_tokens;    // tokens of one tile
    int64_t together;       // units (kv head and chunk of its heads) of one task of a sequence that spreads
    int64_t items, lanes;   // tasks, and the most that run at once
    int64_t partials;       // rows of sums that wait to be merged, and of the queries of sequences that spread
    PagedAttentionLane lane;
    size_t rotation, first_item, first_partial, next, partial, partial_state, lanes_at, bytes;  // offsets into the scratch memory, its size
};

// first_item [sequences + 1] and first_partial [sequences] are filled where given; first_partial is -1 for a sequence whose tiles walk
// over all splits, else its rows of sums are [token, head, split], with the query behind the last split.
// Sequences whose rows are sparse are left out.
PagedAttentionPlan PlanPagedAttention(const PagedAttentionArguments& arguments, int64_t* first_item, int64_t* first_partial);

// What the sparse rows of a step take beside the plan for the others.
struct SparsePlan {
    int64_t sequences, rows;  // those that are sparse, and their rows
    int64_t columns;          // of a compact block table
    int64_t candidates;       // blocks of one kv head that have scores: the most
    // Offsets: which sequences, [sequences]; for the step of one kv head each start, lengths, positions, table, queries, outputs; scores
    // [sequences, heads, candidates]; the scratch memory of that step.
    size_t which, start, lengths, positions, table, query, output, scores, scratch, bytes;
};
SparsePlan PlanSparse(const PagedAttentionArguments& arguments);

// The step of one kv head, without its numbers.
PagedAttentionArguments OneHead(const PagedAttentionArguments& arguments, const SparsePlan& plan);

// The parts of the keys that a run of tokens sees between them: the splits that sinks lie in, then those of the other keys, [first, last].
// A split that holds both is two parts, so that what a part adds up is one run of neighbours.
struct Splits {
    int64_t sinks, first, last;

    int64_t Count() const { return sinks + last - first + 1; }
    bool IsOfSinks(int64_t part) const { return part < sinks; }
    int64_t SplitOf(int64_t part) const { return part < sinks ? part : first + part - sinks; }
};
Splits SplitsOf(const PagedAttentionArguments& arguments, int64_t first_position, int64_t last_position);

}  // namespace longcat
