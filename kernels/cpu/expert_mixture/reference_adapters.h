// Adapters as the specification applies them: in double, rounded with the product.
#pragma once

#include "adapters.h"

namespace longcat {

// u [rank] = x [k] · A of the adapter in the expert.
inline void ReferenceRanks(const ExpertLowRank& low, int64_t expert, int64_t adapter, const float* x, int64_t k, double* u) {
    AdapterRanks ranks = RanksOf(low, adapter);
    for (int64_t r = 0; r < ranks.rank; r++) {
        u[r] = 0;
        for (int64_t i = 0; i < k; i++) {
            u[r] += static_cast<double>(x[i]) * low.a[(expert * k + i) * low.ranks + ranks.start + r];
        }
    }
}

// Output j of n: gain ∘ (product + u · B).
inline double ReferenceAdapted(const ExpertMixtureArguments& p, const ExpertLowRank& low, int64_t n, int64_t expert, int64_t adapter,
                               const double* u, int64_t j, double product) {
    AdapterRanks ranks = RanksOf(low, adapter);
    for (int64_t r = 0; r < ranks.rank; r++) {
        product += u[r] * low.b[(expert * low.ranks + ranks.start + r) * n + j];
    }
    const float* gain = GainOf(p, low, n, expert, adapter);
    return gain == nullptr ? product : product * gain[j];
}

}  // namespace longcat
