// Stage (1) of longcat/expert_mixture.h, and the lists of stage (2). Include after avx2.h or avx512.h.
#pragma once

#include "../common/numbers.h"
#include "../common/parallel.h"
#include "routing.h"

namespace longcat {
namespace {

constexpr int kRouterTokens = 4, kRouterExperts = 4, kRouterTask = 32;

// logits[t, e] = x_t · router_e in double: products of two float32 are exact there, so which path or batch it was hardly ever shows.
template <int T, int E>
void RouterTile(const float* x, const float* router, int64_t hidden, float* logits, int64_t stride) {
    Simd::Doubles sum[T][E];
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
#pragma GCC unroll 4
        for (int e = 0; e < E; e++) {
            sum[t][e] = Simd::ZeroDoubles();
        }
    }
    auto step = [&](auto load) __attribute__((always_inline)) {
        Simd::Doubles a[T];
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            a[t] = load(x + t * hidden);
        }
#pragma GCC unroll 4
        for (int e = 0; e < E; e++) {
            Simd::Doubles b = load(router + e * hidden);
#pragma GCC unroll 4
            for (int t = 0; t < T; t++) {
                sum[t][e] = Simd::MultiplyAdd(a[t], b, sum[t][e]);
            }
        }
    };
    int64_t k = 0;
    for (; k + Simd::kDoubleLanes <= hidden; k += Simd::kDoubleLanes) {
        step([&](const float* row) __attribute__((always_inline)) { return Simd::LoadDoubles(row + k); });
    }
    if (k < hidden) {
        step([&](const float* row) __attribute__((always_inline)) { return Simd::LoadDoubles(row + k, hidden - k); });
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
#pragma GCC unroll 4
        for (int e = 0; e < E; e++) {
            logits[t * stride + e] = static_cast<float>(Simd::Sum(sum[t][e]));
        }
    }
}

inline void RouterLogits(const ExpertMixtureArguments& p, float* logits, const ParallelFor& parallel) {
    int64_t all = p.experts + p.zero_experts;
    int64_t token_blocks = CeilDivide(p.tokens, kRouterTokens), expert_blocks = CeilDivide(all, kRouterTask);
    For(Unless(p.tokens * all * p.hidden < kInlineWork, parallel), static_cast<size_t>(token_blocks * expert_blocks), [&](size_t index) {
        int64_t token = static_cast<int64_t>(index) % token_blocks * kRouterTokens, last_token = Smaller(token + kRouterTokens, p.tokens);
        int64_t expert = static_cast<int64_t>(index) / token_blocks * kRouterTask, last_expert = Smaller(expert + kRouterTask, all);
        bool full = last_token - token == kRouterTokens;
        for (; expert < last_expert; expert += kRouterExperts) {
            if (full && expert + kRouterExperts <= last_expert) {
                RouterTile<kRouterTokens, kRouterExperts>(p.x + token * p.hidden, p.router + expert * p.hidden, p.hidden,
                                                          logits + token * all + expert, all);
                continue;
            }
            for (int64_t t = token; t < last_token; t++) {
                if (expert + kRouterExperts <= last_expert) {
                    RouterTile<1, kRouterExperts>(p.x + t * p.hidden, p.router + expert * p.hidden, p.hidden, logits + t * all + expert,
                                                  all);
                } else {
                    for (int64_t e = expert; e < last_expert; e++) {
                        RouterTile<1, 1>(p.x + t * p.hidden, p.router + e * p.hidden, p.hidden, logits + t * all + e, all);
                    }
                }
            }
        }
    });
}

// Logits, selection, lists of pairs.
inline void Route(const ExpertMixtureArguments& p, const Routing& r, const ParallelFor& parallel) {
    int64_t all = p.experts + p.zero_experts;
    RouterLogits(p, r.scores, parallel);
    For(Unless(p.tokens * all < kInlineWork / 100, parallel), static_cast<size_t>(p.tokens),
        [&](size_t t) { SelectExperts(p, r.scores + static_cast<int64_t>(t) * all, r.chosen + static_cast<int64_t>(t) * p.top_k); });
    GroupByExpert(p, r);
}

}  // namespace
}  // namespace longcat
