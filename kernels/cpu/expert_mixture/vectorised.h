// Stages (1) to (4) of longcat/expert_mixture.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/exp.h"
#include "../simd/panels.h"
#include "../simd/tiles.h"
#include "routing.h"

namespace longcat {
namespace {

constexpr int kRouterTokens = 4, kRouterExperts = 4, kRouterTask = 32;
constexpr int kGateColumns = 48;                         // rows of gate and of up per task
constexpr int kDownColumns = 24, kManyDownColumns = 96;  // rows of down per task; many where activations are read again for each
constexpr int64_t kManyTokens = 64;
// The same of weights in panels: a tile of one token takes up to eight at once.
constexpr int kGatePanelColumns = 128, kDownPanelColumns = 64, kManyDownPanelColumns = 128;
constexpr int kMostPairs = kMostRows > kProductRows ? kMostRows : kProductRows;  // of one expert at once, of either layout

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

// up[i] = silu(gate[i]) · up[i]
inline void Activate(const float* gate, const float* up, int count, float* result) {
    auto silu = [](Vector g, Vector u) __attribute__((always_inline)) {
        Vector one = Simd::All(1);
        return Simd::Multiply(Simd::Divide(g, Simd::Add(one, Exp(Simd::Subtract(Simd::Zero(), g)))), u);
    };
    int i = 0;
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        Simd::Store(result + i, silu(Simd::Load(gate + i), Simd::Load(up + i)));
    }
    if (i < count) {
        Simd::Store(result + i, silu(Simd::Load(gate + i, count - i), Simd::Load(up + i, count - i)), count - i);
    }
}

// c[i, j] = a_i · (output `column + j` of an expert's matrix [outputs, k]), for j < columns; in panels columns are filled up to whole
// panels.
inline void ExpertProduct(const float* const* a, int count, const Weights& weights, int64_t expert, int64_t outputs, int64_t column,
                          int columns, int64_t k, float* c, int64_t stride) {
    if (weights.layout == WeightLayout::kPanels) {
        int64_t first = expert * CeilDivide(outputs, kPanelOutputs) + column / kPanelOutputs;
        PanelProduct(a, count, weights, first, static_cast<int>(CeilDivide(columns, kPanelOutputs)), k, c, stride);
    } else {
        Product(a, count, weights, expert * outputs + column, columns, k, c, stride);
    }
}

inline void ExpertMixtureVectorised(const ExpertMixtureArguments& p, const Routing& r, float* activation, const ParallelFor& parallel) {
    int64_t all = p.experts + p.zero_experts;
    RouterLogits(p, r.scores, parallel);
    For(Unless(p.tokens * all < kInlineWork / 100, parallel), static_cast<size_t>(p.tokens),
        [&](size_t t) { SelectExperts(p, r.scores + static_cast<int64_t>(t) * all, r.chosen + static_cast<int64_t>(t) * p.top_k); });
    GroupByExpert(p, r);

    int32_t* active = r.cursor;  // its work is done; now the experts that have tokens
    int64_t actives = 0;
    for (int e = 0; e < p.experts; e++) {
        if (r.first[e] < r.first[e + 1]) {
            active[actives++] = e;
        }
    }
    bool small = r.first[p.experts] * p.hidden * p.intermediate < kInlineWork;

    bool panels = p.gate.layout == WeightLayout::kPanels;
    int most = panels ? kMostRows : kProductRows, gate_columns = panels ? kGatePanelColumns : kGateColumns;
    int64_t blocks = CeilDivide(p.intermediate, gate_columns);
    For(Unless(small, parallel), static_cast<size_t>(actives * blocks), [&](size_t index) {
        int64_t expert = active[static_cast<int64_t>(index) / blocks], column = static_cast<int64_t>(index) % blocks * gate_columns;
        int columns = static_cast<int>(Smaller(gate_columns, p.intermediate - column));
        float gate[kMostPairs * kGatePanelColumns], up[kMostPairs * kGatePanelColumns];
        for (int32_t pair = r.first[expert]; pair < r.first[expert + 1]; pair += most) {
            int count = Least(most, r.first[expert + 1] - pair);
            const float* a[kMostPairs];
            for (int i = 0; i < count; i++) {
                a[i] = p.x + r.token[pair + i] * p.hidden;
            }
            ExpertProduct(a, count, p.gate, expert, p.intermediate, column, columns, p.hidden, gate, gate_columns);
            ExpertProduct(a, count, p.up, expert, p.intermediate, column, columns, p.hidden, up, gate_columns);
            for (int i = 0; i < count; i++) {
                Activate(gate + i * gate_columns, up + i * gate_columns, columns, activation + (pair + i) * p.intermediate + column);
            }
        }
    });

    bool many = p.tokens >= kManyTokens;
    int64_t width = panels ? (many ? kManyDownPanelColumns : kDownPanelColumns) : (many ? kManyDownColumns : kDownColumns);
    For(Unless(small, parallel), static_cast<size_t>(CeilDivide(p.hidden, width)), [&](size_t index) {
        int64_t column = static_cast<int64_t>(index) * width;
        int columns = static_cast<int>(Smaller(width, p.hidden - column));
        for (int64_t t = 0; t < p.tokens; t++) {
            for (int x = 0; x < columns; x++) {
                p.y[t * p.hidden + column + x] = 0;
            }
        }
        float down[kMostPairs * kManyDownPanelColumns];
        for (int64_t i = 0; i < actives; i++) {
            int64_t expert = active[i];
            for (int32_t pair = r.first[expert]; pair < r.first[expert + 1]; pair += most) {
                int count = Least(most, r.first[expert + 1] - pair);
                const float* a[kMostPairs];
                for (int j = 0; j < count; j++) {
                    a[j] = activation + (pair + j) * p.intermediate;
                }
                ExpertProduct(a, count, p.down, expert, p.hidden, column, columns, p.intermediate, down, width);
                for (int j = 0; j < count; j++) {
                    float* y = p.y + r.token[pair + j] * p.hidden + column;
                    float weight = r.weight[pair + j];
                    for (int x = 0; x < columns; x++) {
                        y[x] += weight * down[j * width + x];
                    }
                }
            }
        }
        for (int64_t t = 0; t < p.tokens; t++) {
            for (int x = 0; x < columns; x++) {
                p.y[t * p.hidden + column + x] += r.identity[t] * p.x[t * p.hidden + column + x];
            }
        }
    });
}

}  // namespace
}  // namespace longcat
