#include <cmath>
#include <vector>

#include "../common/numbers.h"
#include "../common/parallel.h"
#include "paths.h"
#include "reference_adapters.h"

namespace longcat {
namespace {

double Dot(const float* x, const Weights& weights, int64_t row, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += static_cast<double>(x[i]) * WeightOf(weights, row, i, count);
    }
    return sum;
}

// One expert's matrix [outputs, count] of a stack.
Weights OfExpert(const Weights& stack, int64_t expert, int64_t outputs, int64_t count) {
    int64_t elements =
        stack.layout == WeightLayout::kRows ? outputs * count : CeilDivide(outputs, kPanelOutputs) * PanelElements(stack.type, count);
    return {Offset(stack, expert * elements), stack.type, stack.layout};
}

// Of the router, in the order that every path keeps: lane i adds the products of k = i, i + 16, …, each rounded once with its addition,
// then the lanes are added in halves.
float LaneDot(const float* a, const float* b, int64_t count) {
    float lanes[16] = {};
    for (int64_t k = 0; k < count; k++) {
        lanes[k % 16] = FusedMultiplyAdd(a[k], b[k], lanes[k % 16]);
    }
    for (int width = 8; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) {
            lanes[i] += lanes[i + width];
        }
    }
    return lanes[0];
}

}  // namespace

void ReferenceRouting(const ExpertMixtureArguments& p, const Routing& r, const ParallelFor& parallel) {
    int all = p.experts + p.zero_experts;
    float most = 0;
    for (int e = 0; e < all; e++) {
        float square = LaneDot(p.router + e * p.hidden, p.router + e * p.hidden, p.hidden);
        most = most >= square || most != most ? most : square;  // NaN stays
    }
    For(parallel, static_cast<size_t>(p.tokens), [&](size_t t) {
        const float* x = p.x + t * p.hidden;
        float* scores = r.scores + t * all;
        int32_t* chosen = r.chosen + t * p.top_k;
        for (int e = 0; e < all; e++) {
            scores[e] = LaneDot(x, p.router + e * p.hidden, p.hidden);
        }
        SelectExperts(p, scores, chosen);
        if (InDoubt(p, scores, chosen, LogitError(p.hidden, LaneDot(x, x, p.hidden), most))) {
            for (int e = 0; e < all; e++) {
                scores[e] = static_cast<float>(Dot(x, {p.router, WeightType::kFloat32}, e, p.hidden));
            }
            SelectExperts(p, scores, chosen);
        }
    });
    GroupByExpert(p, r);
}

void ExpertMixtureReference(const ExpertMixtureArguments& p, const Routing& r, float* activation, const ParallelFor& parallel) {
    ReferenceRouting(p, r, parallel);
    const ExpertAdapters none;
    const ExpertAdapters& adapters = p.adapters == nullptr ? none : *p.adapters;
    std::vector<double> down_ranks(static_cast<size_t>(r.first[p.experts] * adapters.down.ranks));
    For(parallel, static_cast<size_t>(p.experts), [&](size_t e) {
        int64_t expert = static_cast<int64_t>(e);
        Weights gates = OfExpert(p.gate, expert, p.intermediate, p.hidden), ups = OfExpert(p.up, expert, p.intermediate, p.hidden);
        for (int32_t pair = r.first[e]; pair < r.first[e + 1]; pair++) {
            const float* x = p.x + r.token[pair] * p.hidden;
            int64_t adapter = AdapterOf(p, r.token[pair]);
            std::vector<double> gate_ranks(static_cast<size_t>(adapters.gate.ranks)), up_ranks(static_cast<size_t>(adapters.up.ranks));
            if (adapter >= 0) {
                ReferenceRanks(adapters.gate, expert, adapter, x, p.hidden, gate_ranks.data());
                ReferenceRanks(adapters.up, expert, adapter, x, p.hidden, up_ranks.data());
            }
            for (int64_t i = 0; i < p.intermediate; i++) {
                double gate = Dot(x, gates, i, p.hidden);
                double up = Dot(x, ups, i, p.hidden);
                if (adapter >= 0) {
                    gate = ReferenceAdapted(p, adapters.gate, p.intermediate, expert, adapter, gate_ranks.data(), i, gate);
                    up = ReferenceAdapted(p, adapters.up, p.intermediate, expert, adapter, up_ranks.data(), i, up);
                }
                activation[pair * p.intermediate + i] = static_cast<float>(gate / (1 + std::exp(-gate)) * up);
            }
            if (adapter >= 0) {
                ReferenceRanks(adapters.down, expert, adapter, activation + pair * p.intermediate, p.intermediate,
                               down_ranks.data() + pair * adapters.down.ranks);
            }
        }
    });

    For(parallel, static_cast<size_t>(p.hidden), [&](size_t index) {
        int64_t h = static_cast<int64_t>(index);
        for (int64_t t = 0; t < p.tokens; t++) {
            p.y[t * p.hidden + h] = 0;
        }
        for (int e = 0; e < p.experts; e++) {
            Weights downs = OfExpert(p.down, e, p.hidden, p.intermediate);
            for (int32_t pair = r.first[e]; pair < r.first[e + 1]; pair++) {
                double down = Dot(activation + pair * p.intermediate, downs, h, p.intermediate);
                if (int64_t adapter = AdapterOf(p, r.token[pair]); adapter >= 0) {
                    down = ReferenceAdapted(p, adapters.down, p.hidden, e, adapter, down_ranks.data() + pair * adapters.down.ranks, h, down);
                }
                p.y[r.token[pair] * p.hidden + h] += r.weight[pair] * static_cast<float>(down);
            }
        }
        for (int64_t t = 0; t < p.tokens; t++) {
            p.y[t * p.hidden + h] += r.identity[t] * p.x[t * p.hidden + h];
        }
    });
}

}  // namespace longcat
