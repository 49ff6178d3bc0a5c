// The scratch memory of the vectorised paths and how the work is cut. Both depend on the arguments alone, never on threads.
#pragma once

#include <cstdint>

#include "longcat/latent_attention.h"

namespace longcat {

constexpr int64_t kKeyBlock = 64;  // keys between two updates of the running maximum; blocks begin at multiples of it

constexpr int64_t kLineChunk = 32;   // elements of a line of bfloat16 that are moved at once

constexpr int64_t kFewestHeads = 16;  // of one item, where a token has so many: they are the lanes of a vector

// Keys of one split of a token that sees `visible` keys: 512, and twice as many as often as there would be more than 64 splits. A function
// of the token's own position only, so that its result is too.
int64_t SplitLength(int64_t visible);

// A run of tokens of one sequence whose keys are split alike, counted from the chunk's first token, and the items that it is.
struct LatentTile {
    int64_t first, tokens, sequence;
    int64_t position;              // of the first; with selected keys the number of its last one
    int64_t group, groups, parts;  // heads of one item, groups of heads, parts of the keys
    int64_t first_item;
    int64_t partial;  // its first row of sums that wait, [token, head, part]; -1: an item walks over all parts
};

// The parts of the keys that a run of tokens sees between them: the splits that sinks lie in, then those of the other keys, [first, last].
// A split that holds both is two parts, so that what a part adds up is one run of neighbours.
struct LatentParts {
    int64_t length, sinks, first, last;

    int64_t Count() const { return sinks + last - first + 1; }
};

// What a thread works in.
struct LatentAttentionLane {
    size_t query;                 // [width, rows]; of pairs half as many words
    size_t sum, total;            // [rows, stride] each
    size_t state, total_state;    // [2, rows]: maxima, sums
    size_t scores, ratio, block;  // [kKeyBlock, rows], [rows], what a block holds: number_block.h, pair_block.h
    size_t bytes;
};

struct LatentAttentionPlan {
    int64_t chunk;         // tokens worked on at a time
    int64_t rows;          // the most of one item, token and head each: whole vectors of every path
    int64_t stride, line;  // rank and width rounded up to whole vectors
    int64_t partials;      // rows of sums that can wait to be merged
    int64_t lanes;         // the most items that run at once
    int64_t columns, candidates;  // of a compact block table, of a sequence's blocks with scores
    LatentAttentionLane lane;
    size_t rotation, query, latent, tiles, partial, partial_state, lanes_at;  // offsets into the scratch memory
    size_t removed, tables, scores, bytes;  // with sparse rows: [sequences], [sequences, columns], [sequences, candidates]; its size
};

LatentAttentionPlan PlanLatentAttention(const LatentAttentionArguments& arguments);

}  // namespace longcat
