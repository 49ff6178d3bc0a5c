#include "routing.h"

#include <algorithm>
#include <cmath>

#include "../common/parallel.h"
#include "adapters.h"

namespace longcat {
namespace {

size_t RankBytes(const ExpertMixtureArguments& p) {
    return static_cast<size_t>(p.tokens) * static_cast<size_t>(p.top_k) * static_cast<size_t>(AdapterWidth(p)) * 4 * sizeof(float);
}

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

size_t RoutingBytes(const ExpertMixtureArguments& p) {
    size_t tokens = static_cast<size_t>(p.tokens), pairs = tokens * p.top_k, all = tokens * (p.experts + p.zero_experts);
    size_t experts = static_cast<size_t>(p.experts);
    return Aligned((experts + 1) * 4) + Aligned(pairs * 4) * 4 + Aligned(tokens * 4) + Aligned(all * 4) + Aligned(experts * 4) +
           Aligned((experts + static_cast<size_t>(p.zero_experts)) * 4) + Aligned(RankBytes(p)) * 2;
}

Routing PlaceRouting(const ExpertMixtureArguments& p, void* memory) {
    size_t tokens = static_cast<size_t>(p.tokens), pairs = tokens * p.top_k, all = tokens * (p.experts + p.zero_experts);
    size_t experts = static_cast<size_t>(p.experts);
    char* at = static_cast<char*>(memory);
    auto take = [&](size_t bytes) {
        void* result = at;
        at += Aligned(bytes);
        return result;
    };
    Routing r;
    r.first = static_cast<int32_t*>(take((experts + 1) * 4));
    r.token = static_cast<int32_t*>(take(pairs * 4));
    r.place = static_cast<int32_t*>(take(pairs * 4));
    r.weight = static_cast<float*>(take(pairs * 4));
    r.chosen = static_cast<int32_t*>(take(pairs * 4));
    r.identity = static_cast<float*>(take(tokens * 4));
    r.scores = static_cast<float*>(take(all * 4));
    r.cursor = static_cast<int32_t*>(take(experts * 4));
    r.squares = static_cast<float*>(take((experts + static_cast<size_t>(p.zero_experts)) * 4));
    r.width = AdapterWidth(p);
    r.gate_ranks = static_cast<float*>(take(RankBytes(p)));
    r.up_ranks = static_cast<float*>(take(RankBytes(p)));
    return r;
}

void SelectExperts(const ExpertMixtureArguments& p, float* scores, int32_t* chosen) {
    int all = p.experts + p.zero_experts;
    float largest = *std::max_element(scores, scores + all);
    float total = 0;
    for (int e = 0; e < all; e++) {
        scores[e] = std::exp(scores[e] - largest);
        total += scores[e];
    }
    for (int e = 0; e < all; e++) {
        scores[e] /= total;
    }

    auto value_of = [&](int e) { return p.correction_bias == nullptr ? scores[e] : scores[e] + p.correction_bias[e]; };
    // top_k is small: a sorted list of the best so far, in which a later (higher) index never displaces an equal value.
    int count = 0;
    for (int e = 0; e < all; e++) {
        float value = value_of(e);
        int place = count;
        while (place > 0 && value > value_of(chosen[place - 1])) {
            place--;
        }
        if (place == p.top_k) {
            continue;
        }
        count = std::min(count + 1, p.top_k);
        for (int i = count - 1; i > place; i--) {
            chosen[i] = chosen[i - 1];
        }
        chosen[place] = e;
    }
    std::sort(chosen, chosen + p.top_k);
}

float LogitError(int64_t hidden, float x, float router) {
    double additions = static_cast<double>(hidden) / 16 + 4,
           norms = std::sqrt(static_cast<double>(x)) * std::sqrt(static_cast<double>(router));
    return static_cast<float>(std::sqrt(additions) * 0x1p-24 * norms);
}

bool InDoubt(const ExpertMixtureArguments& p, const float* scores, const int32_t* chosen, float error) {
    if (!(error < 0.1f)) {  // NaN, infinities, and where e^error is no longer near 1 + error
        return true;
    }
    // A probability moves by twice the error (its own logit and the sum of all) and some roundings of float32; a value rounds once more.
    const float relative = 2 * error + 0x1p-20f;
    float least = INFINITY, most = -INFINITY;
    for (int e = 0, place = 0; e < p.experts + p.zero_experts; e++) {
        float value = p.correction_bias == nullptr ? scores[e] : scores[e] + p.correction_bias[e];
        float wrong = scores[e] * relative + std::fabs(value) * 0x1p-22f;
        if (place < p.top_k && chosen[place] == e) {
            least = std::min(least, value - wrong);
            place++;
        } else {
            most = std::max(most, value + wrong);
        }
    }
    return !(most < least);
}

void GroupByExpert(const ExpertMixtureArguments& p, const Routing& r) {
    int all = p.experts + p.zero_experts;
    std::fill(r.first, r.first + p.experts + 1, 0);
    for (int64_t t = 0; t < p.tokens; t++) {
        const int32_t* chosen = r.chosen + t * p.top_k;
        int32_t* place = r.place + t * p.top_k;
        for (int i = 0; i < p.top_k; i++) {
            place[i] = chosen[i] < p.experts ? 0 : -1;
        }
        if (p.skipping != nullptr && p.skipping->rows[t] != 0) {
            SkipExperts(p, r.scores + t * all, chosen, place);
        }
        for (int i = 0; i < p.top_k; i++) {
            if (place[i] >= 0) {
                r.first[chosen[i] + 1]++;
            }
        }
    }
    for (int e = 0; e < p.experts; e++) {
        r.first[e + 1] += r.first[e];
        r.cursor[e] = r.first[e];
    }
    for (int64_t t = 0; t < p.tokens; t++) {
        const float* scores = r.scores + t * all;
        const int32_t* chosen = r.chosen + t * p.top_k;
        float divisor = 1;
        if (p.normalize) {
            divisor = 0;
            for (int i = 0; i < p.top_k; i++) {
                if (chosen[i] >= p.experts || r.place[t * p.top_k + i] >= 0) {
                    divisor += scores[chosen[i]];
                }
            }
            divisor += 1e-20f;
        }
        float identity = 0;
        for (int i = 0; i < p.top_k; i++) {
            float weight = scores[chosen[i]] / divisor * p.routed_scaling_factor;
            if (chosen[i] >= p.experts) {
                identity += weight;
            } else if (r.place[t * p.top_k + i] >= 0) {
                int32_t place = r.cursor[chosen[i]]++;
                r.token[place] = static_cast<int32_t>(t);
                r.weight[place] = weight;
                r.place[t * p.top_k + i] = place;
            }
        }
        r.identity[t] = p.identity ? identity : 0;
    }
}

void WriteChoices(const ExpertMixtureArguments& p, const Routing& r, const float* activation, const ParallelFor& parallel) {
    if (p.selected != nullptr) {
        std::copy(r.chosen, r.chosen + p.tokens * p.top_k, p.selected);
    }
    for (int64_t i = 0; p.shares != nullptr && i < p.tokens * p.top_k; i++) {
        p.shares[i] = r.place[i] < 0 ? 0 : r.weight[r.place[i]];
    }
    if (p.inner == nullptr) {
        return;
    }
    For(parallel, static_cast<size_t>(p.tokens), [&](size_t t) {
        for (int64_t i = static_cast<int64_t>(t) * p.top_k, end = i + p.top_k; i < end; i++) {
            float* to = p.inner + i * p.intermediate;
            if (r.place[i] < 0) {
                std::fill(to, to + p.intermediate, 0.0f);
            } else {
                const float* from = activation + r.place[i] * p.intermediate;
                std::copy(from, from + p.intermediate, to);
            }
        }
    });
}

}  // namespace longcat
