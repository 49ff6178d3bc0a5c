#include <vector>

#include "../common/parallel.h"
#include "paths.h"

namespace longcat {
namespace {

void SelectFor(const AttentionIndexerArguments& p, int64_t sequence, int64_t token) {
    IndexRange range = ScoredKeys(p, p.position_ids[token]);
    std::vector<float> query(static_cast<size_t>(p.num_heads) * static_cast<size_t>(p.head_dim)), scores(static_cast<size_t>(range.to));
    RotateIndexQueries(p, token, query.data());
    Weights cache{p.cache, p.cache_type};
    for (int64_t j = range.from; j < range.to; j++) {
        IndexSlot slot = IndexSlotOf(p, sequence, j);
        float score = 0;
        for (int h = 0; h < p.num_heads; h++) {
            float product = 0;
            for (int i = 0; i < p.head_dim; i++) {
                product = FusedMultiplyAdd(query[static_cast<size_t>(h * p.head_dim + i)], WeightAt(cache, slot.first + i * slot.stride),
                                           product);
            }
            score = FusedMultiplyAdd(p.weights[token * p.num_heads + h], product > 0 ? product : 0, score);
        }
        scores[static_cast<size_t>(j)] = score;
    }
    Select(p, token, scores.data());
}

}  // namespace

void AttentionIndexerReference(const AttentionIndexerArguments& p, const ParallelFor& parallel) {
    for (int64_t s = 0; s < p.sequences; s++) {
        for (int64_t t = p.query_start[s]; t < p.query_start[s + 1]; t++) {
            StoreIndexKey(p, s, t);
        }
    }
    for (int64_t s = 0; s < p.sequences; s++) {
        int64_t first = p.query_start[s];
        For(parallel, static_cast<size_t>(p.query_start[s + 1] - first),
            [&](size_t index) { SelectFor(p, s, first + static_cast<int64_t>(index)); });
    }
}

}  // namespace longcat
