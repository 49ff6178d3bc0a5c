// The scratch memory of the vectorised paths and how a token's keys are split. Both depend on the arguments alone, never on threads.
#pragma once

#include <cstdint>

#include "longcat/latent_attention.h"

namespace longcat {

// Keys of one split of a token that sees `visible` keys: 512, and more where that would be above 64 splits. A function of the token's
// own position only, so that its result is too.
int64_t SplitLength(int64_t visible);

struct LatentAttentionPlan {
    int64_t chunk;                                              // tokens worked on at a time
    int64_t splits;                                             // the most splits of any token
    int64_t columns, candidates;                                // of a compact block table, of a sequence's blocks with scores
    size_t rotation, query, partial, state, first_task;         // offsets into the scratch memory
    size_t removed, tables, scores, bytes;                      // with sparse rows: [sequences], [sequences, columns], [sequences, candidates]; its size
};

LatentAttentionPlan PlanLatentAttention(const LatentAttentionArguments& arguments);

}  // namespace longcat
