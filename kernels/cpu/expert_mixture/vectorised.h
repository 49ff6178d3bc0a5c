// Stages (1) to (4) of longcat/expert_mixture.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/panels.h"
#include "../simd/tiles.h"
#include "activate.h"
#include "low_rank.h"
#include "router.h"

namespace longcat {
namespace {

constexpr int kGateColumns = 48;                         // rows of gate and of up per task
constexpr int kDownColumns = 24, kManyDownColumns = 96;  // rows of down per task; many where activations are read again for each
constexpr int64_t kManyTokens = 64;
// The same of weights in panels: a tile of one token takes up to eight at once.
constexpr int kGatePanelColumns = 128, kDownPanelColumns = 64, kManyDownPanelColumns = 128;
constexpr int kMostPairs = kMostRows > kProductRows ? kMostRows : kProductRows;  // of one expert at once, of either layout

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
    Route(p, r, parallel);
    int32_t* active = r.cursor;  // its work is done; now the experts that have tokens
    int64_t actives = 0;
    for (int e = 0; e < p.experts; e++) {
        if (r.first[e] < r.first[e + 1]) {
            active[actives++] = e;
        }
    }
    bool small = r.first[p.experts] * p.hidden * p.intermediate < kInlineWork;

    const ExpertAdapters* adapters = p.adapters;
    auto token_of = [&](int64_t pair) { return p.x + r.token[pair] * p.hidden; };
    if (adapters != nullptr) {
        MakeRanks(p, r, adapters->gate, p.hidden, token_of, r.gate_ranks, parallel);
        MakeRanks(p, r, adapters->up, p.hidden, token_of, r.up_ranks, parallel);
    }

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
            for (int i = 0; adapters != nullptr && i < count; i++) {
                AddRanks(p, r, adapters->gate, p.intermediate, expert, pair + i, r.gate_ranks, column, columns, gate + i * gate_columns);
                AddRanks(p, r, adapters->up, p.intermediate, expert, pair + i, r.up_ranks, column, columns, up + i * gate_columns);
            }
            for (int i = 0; i < count; i++) {
                Activate(gate + i * gate_columns, up + i * gate_columns, columns, activation + (pair + i) * p.intermediate + column);
            }
        }
    });

    if (adapters != nullptr) {
        auto inner_of = [&](int64_t pair) { return activation + pair * p.intermediate; };
        MakeRanks(p, r, adapters->down, p.intermediate, inner_of, r.gate_ranks, parallel);
    }
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
                for (int j = 0; adapters != nullptr && j < count; j++) {
                    AddRanks(p, r, adapters->down, p.hidden, expert, pair + j, r.gate_ranks, column, columns, down + j * width);
                }
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
