#include <cmath>
#include <vector>

#include "../common/parallel.h"
#include "../w4a8_matmul/paths.h"
#include "paths.h"
#include "reference_adapters.h"

namespace longcat {

// Every product is the specification's W4A8MatMul of one row; adapters read floats and are added in double.
void W4A8MixtureReference(const ExpertMixtureArguments& p, const Routing& r, float* activation, void* workspace,
                          const ParallelFor& parallel) {
    ReferenceRouting(p, r, parallel);
    const W4A8Experts& experts = *p.w4a8;
    const W4A8Layout layouts[] = {GateLayout(p), DownLayout(p)};
    int64_t longest = Larger(p.hidden, p.intermediate);
    For(parallel, static_cast<size_t>(p.tokens), [&](size_t index) {
        int64_t t = static_cast<int64_t>(index);
        float* product = static_cast<float*>(workspace) + t * longest;
        auto multiply = [&](const W4A8Layout& layout, const uint8_t* stack, const float* scales, int64_t e, const float* x, float* y) {
            W4A8MatMulArguments one;
            one.m = 1, one.layout = layout, one.x = x, one.y = y;
            one.weights = stack + e * W4A8PackedBytes(layout), one.scale = scales + e * layout.n;
            W4A8MatMulReference(one, {});
        };
        int64_t adapter = AdapterOf(p, t);
        auto adapt = [&](const ExpertLowRank& low, const W4A8Layout& layout, int64_t e, const float* x, float* y) {
            std::vector<double> u(static_cast<size_t>(low.ranks));
            ReferenceRanks(low, e, adapter, x, layout.k, u.data());
            for (int64_t j = 0; j < layout.n; j++) {
                y[j] = static_cast<float>(ReferenceAdapted(p, low, layout.n, e, adapter, u.data(), j, y[j]));
            }
        };
        const float* x = p.x + t * p.hidden;
        float* y = p.y + t * p.hidden;
        for (int64_t h = 0; h < p.hidden; h++) {
            y[h] = 0;
        }
        for (int64_t i = t * p.top_k; i < (t + 1) * p.top_k; i++) {
            if (r.place[i] < 0) {
                continue;
            }
            int64_t e = r.chosen[i], pair = r.place[i];
            float* inner = activation + pair * p.intermediate;
            multiply(layouts[0], experts.gate, experts.gate_scale, e, x, inner);
            multiply(layouts[0], experts.up, experts.up_scale, e, x, product);
            if (adapter >= 0) {
                adapt(p.adapters->gate, layouts[0], e, x, inner);
                adapt(p.adapters->up, layouts[0], e, x, product);
            }
            for (int64_t j = 0; j < p.intermediate; j++) {
                double gate = inner[j];
                inner[j] = static_cast<float>(gate / (1 + std::exp(-gate)) * product[j]);
            }
            multiply(layouts[1], experts.down, experts.down_scale, e, inner, product);
            if (adapter >= 0) {
                adapt(p.adapters->down, layouts[1], e, inner, product);
            }
            for (int64_t h = 0; h < p.hidden; h++) {
                y[h] += r.weight[pair] * product[h];
            }
        }
        for (int64_t h = 0; h < p.hidden; h++) {
            y[h] += r.identity[t] * x[h];
        }
    });
}

}  // namespace longcat
