#include "../common/highest.h"
#include "paths.h"

namespace longcat {

void Select(const AttentionIndexerArguments& p, int64_t token, const float* scores) {
    int64_t position = p.position_ids[token], count = 0;
    int32_t* selected = p.selected + token * p.top_k;
    auto all = [&](int64_t from, int64_t to) {
        for (int64_t j = from; j < to; j++) {
            selected[count++] = static_cast<int32_t>(j);
        }
    };
    if (position < p.top_k) {
        all(0, position + 1);
        for (; count < p.top_k; count++) {
            selected[count] = -1;
        }
        return;
    }
    all(0, p.init_tokens);
    IndexRange range = ScoredKeys(p, position);
    if (range.from < range.to) {
        Lowest lowest = FindLowest(scores, range.from, range.to, p.top_k - p.init_tokens - p.local_tokens);
        for (int64_t j = range.from; j < range.to; j++) {
            if (lowest.Takes(scores[j])) {
                selected[count++] = static_cast<int32_t>(j);
            }
        }
    }
    all(position + 1 - p.local_tokens, position + 1);
}

}  // namespace longcat
