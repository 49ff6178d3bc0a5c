#include <cmath>

#include "routing.h"

namespace longcat {

Status CheckSkippingSizes(const ExpertMixtureArguments& p) {
    if (p.skipping == nullptr) {
        return {};
    }
    const ExpertSkipping& s = *p.skipping;
    if (s.most < 0 || s.most >= p.top_k) {
        return Status::Error(StatusCode::kInvalidArgument, "at most %d experts are to be skipped, expected 0..%d (top_k - 1)", s.most,
                             p.top_k - 1);
    }
    if ((s.rows == nullptr && p.tokens > 0) || (s.betas == nullptr && p.top_k > 1)) {
        return Status::Error(StatusCode::kInvalidArgument, "the marks of rows and the betas must not be null");
    }
    return {};
}

Status CheckSkipping(const ExpertMixtureArguments& p) {
    if (Status status = CheckSkippingSizes(p); !status.ok() || p.skipping == nullptr) {
        return status;
    }
    const ExpertSkipping& s = *p.skipping;
    for (int j = 0; j + 1 < p.top_k; j++) {
        if (!(s.betas[j] >= 0 && std::isfinite(s.betas[j]))) {
            return Status::Error(StatusCode::kInvalidArgument, "beta %d is %g, expected a share: 0 (nothing is skipped) or more", j + 1,
                                 static_cast<double>(s.betas[j]));
        }
    }
    return {};
}

void SkipExperts(const ExpertMixtureArguments& p, const float* scores, const int32_t* chosen, int32_t* kept) {
    double all = 0;
    int count = 0;
    for (int i = 0; i < p.top_k; i++) {
        if (kept[i] == 0) {
            all += static_cast<double>(scores[chosen[i]]);
            count++;
        }
    }
    // The j-th smallest is marked with -1 - j, j from 1 on.
    int most = p.skipping->most < count - 1 ? p.skipping->most : count - 1, skipped = 0;
    double tail = 0;
    for (int j = 1; j <= most; j++) {
        int least = -1;
        for (int i = 0; i < p.top_k; i++) {
            if (kept[i] == 0 && (least < 0 || scores[chosen[i]] <= scores[chosen[least]])) {
                least = i;
            }
        }
        kept[least] = -1 - j;
        tail += static_cast<double>(scores[chosen[least]]);
        skipped = tail / all < static_cast<double>(p.skipping->betas[j - 1]) ? j : skipped;
    }
    for (int i = 0; i < p.top_k; i++) {
        if (kept[i] < -1) {
            kept[i] = -1 - kept[i] <= skipped ? -1 : 0;
        }
    }
}

}  // namespace longcat
