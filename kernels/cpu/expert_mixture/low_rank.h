// Adapters in the tasks of the vectorised paths. Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "../lora_matmul/vectorised.h"
#include "adapters.h"
#include "routing.h"

namespace longcat {
namespace {

// u = x · A of every pair whose token has an adapter of the projection, in the order of longcat/lora_matmul.h; row_of(pair) is its x [k].
template <class RowOf>
void MakeRanks(const ExpertMixtureArguments& p, const Routing& r, const ExpertLowRank& low, int64_t k, RowOf&& row_of, float* u,
               const ParallelFor& parallel) {
    int64_t pairs = r.first[p.experts], stride = kLoraQuarters * r.width;
    if (low.ranks == 0 || pairs == 0) {
        return;
    }
    For(Unless(pairs * k * r.width < kInlineWork, parallel), static_cast<size_t>(CeilDivide(pairs, kLoraTileRows)), [&](size_t index) {
        int64_t pair = static_cast<int64_t>(index) * kLoraTileRows, end = Smaller(pair + kLoraTileRows, pairs), expert = 0;
        while (pair < end) {
            while (r.first[expert + 1] <= pair) {
                expert++;
            }
            // Neighbours of one expert and one adapter read A together.
            int64_t adapter = AdapterOf(p, r.token[pair]), until = Smaller(end, r.first[expert + 1]), last = pair + 1;
            while (last < until && AdapterOf(p, r.token[last]) == adapter) {
                last++;
            }
            if (adapter >= 0 && RanksOf(low, adapter).rank > 0) {
                AdapterRanks ranks = RanksOf(low, adapter);
                LoraMatMulArguments one;
                one.k = k, one.ranks = low.ranks, one.a = low.a + expert * k * low.ranks;
                const float* x[kLoraTileRows];
                for (int64_t i = pair; i < last; i++) {
                    x[i - pair] = row_of(i);
                }
                int rows = static_cast<int>(last - pair);
                for (int64_t quarter = 0; quarter < kLoraQuarters; quarter++) {
                    LoraDown(one, x, rows, ranks.start, ranks.rank, quarter, u + pair * stride + quarter * r.width, stride);
                }
                LoraJoin(u + pair * stride, rows, ranks.rank, r.width);
            }
            pair = last;
        }
    });
}

// What a pair's adapter does to the outputs [column, column + columns) of its product, in place: y = gain ∘ (y + u · B), ranks ascending.
__attribute__((noinline)) inline void AddRanks(const ExpertMixtureArguments& p, const Routing& r, const ExpertLowRank& low, int64_t n, int64_t expert, int64_t pair,
                     const float* u, int64_t column, int64_t columns, float* y) {
    int64_t adapter = AdapterOf(p, r.token[pair]);
    if (adapter < 0) {
        return;
    }
    AdapterRanks ranks = RanksOf(low, adapter);
    if (ranks.rank > 0) {
        const float* first = low.b + (expert * low.ranks + ranks.start) * n + column;
        for (int64_t at = 0; at < ranks.rank; at += kLoraList) {
            int count = static_cast<int>(Smaller(kLoraList, ranks.rank - at));
            const float* b[kLoraList];
            for (int i = 0; i < count; i++) {
                b[i] = first + (at + i) * n;
            }
            Sums(u + pair * kLoraQuarters * r.width + at, 0, 1, b, count, columns, y, 0);
        }
    }
    if (const float* gain = GainOf(p, low, n, expert, adapter); gain != nullptr) {
        for (int64_t j = 0; j < columns; j++) {
            y[j] *= gain[column + j];
        }
    }
}

}  // namespace
}  // namespace longcat
