// Low-rank adapters of experts, what all paths share. See longcat/expert_mixture.h.
#pragma once

#include "../common/numbers.h"
#include "longcat/expert_mixture.h"

namespace longcat {

// Of one projection: the columns of A that an adapter owns.
struct AdapterRanks {
    int64_t start = 0, rank = 0;
};

// Floats for the ranks of one adapter, filled up to whole vectors; adapter sizes need not be checked yet.
int64_t AdapterWidth(const ExpertMixtureArguments& arguments);
Status CheckAdapters(const ExpertMixtureArguments& arguments);

namespace {  // internal linkage: compiled once per instruction set

inline int64_t AdapterOf(const ExpertMixtureArguments& p, int64_t token) {
    return p.adapters == nullptr ? -1 : p.adapters->row_adapter == nullptr ? 0 : p.adapters->row_adapter[token];
}

inline AdapterRanks RanksOf(const ExpertLowRank& low, int64_t adapter) {
    if (low.start == nullptr) {
        return {0, low.ranks};
    }
    return {low.start[adapter], int64_t{low.start[adapter + 1]} - low.start[adapter]};
}

// The gains [n] of an adapter in an expert, or null.
inline const float* GainOf(const ExpertMixtureArguments& p, const ExpertLowRank& low, int64_t n, int64_t expert, int64_t adapter) {
    return low.gain == nullptr ? nullptr : low.gain + (expert * p.adapters->count + adapter) * n;
}

}  // namespace
}  // namespace longcat
