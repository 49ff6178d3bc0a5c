// Stage (1) of longcat/expert_mixture.h, and the lists of stage (2). Include after avx2.h or avx512.h.
#pragma once

#include "../common/numbers.h"
#include "../common/parallel.h"
#include "routing.h"

namespace longcat {
namespace {

constexpr int kRouterLanes = 16, kRouterVectors = kRouterLanes / Simd::kLanes, kRouterTask = 36;

// logits[t, e] = x_t · router_e in float32: lane i adds the products of k = i, i + 16, … fused and in ascending order, then the lanes are
// added (Simd::SumOf16). Every path does just that, whatever its vectors are, so that all of them have the same bits.
// Norms: squares[e] = router_e · router_e in the same way.
template <int T, int E, bool Norms>
void RouterTile(const float* x, const float* router, int64_t hidden, float* logits, int64_t stride, float* squares) {
    using Vector = Simd::Vector;
    Vector sum[T][E][kRouterVectors], square[Norms ? E : 1][kRouterVectors];
#pragma GCC unroll 8
    for (int e = 0; e < E; e++) {
#pragma GCC unroll 2
        for (int v = 0; v < kRouterVectors; v++) {
#pragma GCC unroll 4
            for (int t = 0; t < T; t++) {
                sum[t][e][v] = Simd::Zero();
            }
            if constexpr (Norms) {
                square[e][v] = Simd::Zero();
            }
        }
    }
    auto step = [&](auto load) __attribute__((always_inline)) {
#pragma GCC unroll 2
        for (int v = 0; v < kRouterVectors; v++) {
            Vector a[T];
#pragma GCC unroll 4
            for (int t = 0; t < T; t++) {
                a[t] = load(x + t * hidden, v);
            }
#pragma GCC unroll 8
            for (int e = 0; e < E; e++) {
                Vector b = load(router + e * hidden, v);
#pragma GCC unroll 4
                for (int t = 0; t < T; t++) {
                    sum[t][e][v] = Simd::MultiplyAdd(a[t], b, sum[t][e][v]);
                }
                if constexpr (Norms) {
                    square[e][v] = Simd::MultiplyAdd(b, b, square[e][v]);
                }
            }
        }
    };
    int64_t k = 0;
    for (; k + kRouterLanes <= hidden; k += kRouterLanes) {
        step([&](const float* row, int v) __attribute__((always_inline)) { return Simd::Load(row + k + v * Simd::kLanes); });
    }
    if (k < hidden) {
        step([&](const float* row, int v) __attribute__((always_inline)) {
            int64_t left = hidden - k - v * Simd::kLanes;
            const float* from = row + k + v * Simd::kLanes;
            return left >= Simd::kLanes ? Simd::Load(from) : left > 0 ? Simd::Load(from, left) : Simd::Zero();
        });
    }
#pragma GCC unroll 8
    for (int e = 0; e < E; e++) {
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            logits[t * stride + e] = Simd::SumOf16(sum[t][e]);
        }
        if constexpr (Norms) {
            squares[e] = Simd::SumOf16(square[e]);
        }
    }
}

// T tokens by the experts [expert, last).
template <int T, bool Norms>
void RouterRows(const ExpertMixtureArguments& p, const Routing& r, int64_t token, int64_t expert, int64_t last) {
    int64_t all = p.experts + p.zero_experts;
    const float* x = p.x + token * p.hidden;
    float* logits = r.scores + token * all;
    for (; expert + Simd::kRouterExperts <= last; expert += Simd::kRouterExperts) {
        RouterTile<T, Simd::kRouterExperts, Norms>(x, p.router + expert * p.hidden, p.hidden, logits + expert, all, r.squares + expert);
    }
    for (; expert < last; expert++) {
        RouterTile<T, 1, Norms>(x, p.router + expert * p.hidden, p.hidden, logits + expert, all, r.squares + expert);
    }
}

inline void RouterLogits(const ExpertMixtureArguments& p, const Routing& r, const ParallelFor& parallel) {
    constexpr int kTokens = Simd::kRouterTokens;
    int64_t all = p.experts + p.zero_experts;
    int64_t token_blocks = CeilDivide(p.tokens, kTokens), expert_blocks = CeilDivide(all, kRouterTask);
    For(Unless(p.tokens * all * p.hidden < kInlineWork, parallel), static_cast<size_t>(token_blocks * expert_blocks), [&](size_t index) {
        int64_t token = static_cast<int64_t>(index) % token_blocks * kTokens, last_token = Smaller(token + kTokens, p.tokens);
        int64_t expert = static_cast<int64_t>(index) / token_blocks * kRouterTask, last_expert = Smaller(expert + kRouterTask, all);
        if (last_token - token == kTokens) {
            return token == 0 ? RouterRows<kTokens, true>(p, r, token, expert, last_expert)
                              : RouterRows<kTokens, false>(p, r, token, expert, last_expert);
        }
        for (int64_t t = token; t < last_token; t++) {
            t == 0 ? RouterRows<1, true>(p, r, t, expert, last_expert) : RouterRows<1, false>(p, r, t, expert, last_expert);
        }
    });
}

// One token's logits in double: products of two float32 are exact there, so the order of the sums hardly ever shows.
inline void DoubleLogits(const ExpertMixtureArguments& p, const float* x, float* logits) {
    for (int e = 0; e < p.experts + p.zero_experts; e++) {
        const float* router = p.router + e * p.hidden;
        Simd::Doubles sum[2] = {Simd::ZeroDoubles(), Simd::ZeroDoubles()};
        int64_t k = 0;
        for (; k + 2 * Simd::kDoubleLanes <= p.hidden; k += 2 * Simd::kDoubleLanes) {
            int64_t next = k + Simd::kDoubleLanes;
            sum[0] = Simd::MultiplyAdd(Simd::LoadDoubles(x + k), Simd::LoadDoubles(router + k), sum[0]);
            sum[1] = Simd::MultiplyAdd(Simd::LoadDoubles(x + next), Simd::LoadDoubles(router + next), sum[1]);
        }
        double rest = 0;
        for (; k < p.hidden; k++) {
            rest += static_cast<double>(x[k]) * router[k];
        }
        logits[e] = static_cast<float>(Simd::Sum(sum[0]) + Simd::Sum(sum[1]) + rest);
    }
}

// Logits, selection, lists of pairs. Where the rounding of float32 could decide between two experts, the sums in double do.
inline void Route(const ExpertMixtureArguments& p, const Routing& r, const ParallelFor& parallel) {
    int64_t all = p.experts + p.zero_experts;
    RouterLogits(p, r, parallel);
    float most = 0;
    for (int64_t e = 0; e < all; e++) {
        most = most >= r.squares[e] || most != most ? most : r.squares[e];  // NaN stays
    }
    For(Unless(p.tokens * all < kInlineWork / 100, parallel), static_cast<size_t>(p.tokens), [&](size_t index) {
        int64_t t = static_cast<int64_t>(index);
        const float* x = p.x + t * p.hidden;
        float* scores = r.scores + t * all;
        int32_t* chosen = r.chosen + t * p.top_k;
        float unused, square;
        RouterTile<1, 1, true>(x, x, p.hidden, &unused, 1, &square);
        SelectExperts(p, scores, chosen);
        if (InDoubt(p, scores, chosen, LogitError(p.hidden, square, most))) {
            DoubleLogits(p, x, scores);
            SelectExperts(p, scores, chosen);
        }
    });
    GroupByExpert(p, r);
}

}  // namespace
}  // namespace longcat
