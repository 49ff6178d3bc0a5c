// What sparse verification leaves out, as the fuzzer draws it (fuzz.cc): marked rows, skipped experts, closed channels.
#pragma once

#include <algorithm>

#include "fuzz_step.h"
#include "longcat/expert_mixture.h"
#include "longcat/sparse_gated_mlp.h"

namespace longcat::test {

inline std::vector<uint8_t> Marks(Random& random, int64_t rows) {
    std::vector<uint8_t> marks(static_cast<size_t>(rows), static_cast<uint8_t>(random.Below(2)));
    bool mixed = random.Below(2) == 0;
    for (uint8_t& mark : marks) {
        mark = mixed ? static_cast<uint8_t>(random.Below(3)) : mark;
    }
    return marks;
}

struct DrawnSkipping {
    ExpertSkipping skipping;
    std::vector<uint8_t> rows;
    std::vector<float> betas;

    void Draw(Random& random, ExpertMixtureArguments* p) {
        rows = Marks(random, p->tokens);
        betas = random.Floats(p->top_k - 1);
        for (float& beta : betas) {
            beta = std::fabs(beta);
        }
        skipping.rows = rows.data(), skipping.betas = betas.data(), skipping.most = static_cast<int>(random.Below(p->top_k));
        p->skipping = &skipping;
    }

    void Spoil(const ExpertMixtureArguments& p, Step* step) {
        int top_k = p.top_k;
        step->spoilings.insert(step->spoilings.end(), {[=, this] { skipping.most = -1; }, [=, this] { skipping.most = top_k; }});
        if (!betas.empty()) {
            step->spoilings.insert(step->spoilings.end(), {[=, this] { betas.back() = NAN; }, [=, this] { betas[0] = -1e-20f; },
                                                           [=, this] { skipping.betas = nullptr; }});
        }
    }
};

struct GatedMlpCase {
    SparseGatedMlpArguments p;
    std::vector<float> x, activation, up_bias, down_bias, residual, y;
    std::vector<uint8_t> marks;
    std::vector<Tensor> owned;
};

inline void Make(Random& random, GatedMlpCase* c, Step* step) {
    SparseGatedMlpArguments& p = c->p;
    p.m = Size(random, random.Below(6) == 0 ? 150 : 12), p.hidden = Size(random, random.Below(6) == 0 ? 700 : 90);
    p.inner = Size(random, random.Below(4) == 0 ? 900 : 120), p.tau = random.Below(5) == 0 ? 0 : 0.05f;
    WeightType type = Type(random);
    c->x = random.Floats(p.m * p.hidden), c->activation = random.Floats(p.m * p.inner, random.Below(3) == 0 ? 1.0f : 0.055f);
    c->up_bias = random.Floats(p.inner), c->down_bias = random.Floats(p.hidden), c->residual = random.Floats(p.m * p.hidden);
    c->marks = Marks(random, p.m);
    std::vector<float> up = random.Floats(p.inner * p.hidden), down = random.Floats(p.hidden * p.inner);
    std::vector<float> ups(static_cast<size_t>(p.inner * ChannelStride(p.hidden))), downs(ups.size());
    for (int64_t i = 0; i < p.inner; i++) {
        for (int64_t k = 0; k < p.hidden; k++) {
            ups[static_cast<size_t>(i * ChannelStride(p.hidden) + k)] = up[static_cast<size_t>(i * p.hidden + k)];
            downs[static_cast<size_t>(i * ChannelStride(p.hidden) + k)] = down[static_cast<size_t>(k * p.inner + i)];
        }
    }
    c->owned.reserve(4);
    c->owned.emplace_back(type, InPanels(type, up, p.inner, p.hidden));
    c->owned.emplace_back(type, InPanels(type, down, p.hidden, p.inner));
    c->owned.emplace_back(type, ups);
    c->owned.emplace_back(type, downs);
    p.x = c->x.data(), p.activation = c->activation.data(), p.sparse_rows = c->marks.data();
    p.up = c->owned[0].weights(WeightLayout::kPanels), p.down = c->owned[1].weights(WeightLayout::kPanels);
    p.up_channels = c->owned[2].weights(), p.down_channels = c->owned[3].weights();
    p.up_bias = random.Below(2) == 0 ? c->up_bias.data() : nullptr, p.down_bias = random.Below(2) == 0 ? c->down_bias.data() : nullptr;
    p.residual = random.Below(2) == 0 ? c->residual.data() : nullptr;
    step->what = Text("SparseGatedMlp m %d, hidden %d, inner %d, %s, tau %g", (int)p.m, (int)p.hidden, (int)p.inner, Name(type),
                      static_cast<double>(p.tau));
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(SparseGatedMlpWorkspace(c->p));
        return SparseGatedMlp(path, c->p, workspace.get(), parallel);
    };
    step->reset = [=] { c->y.assign(c->x.size(), 0), c->p.y = c->y.data(); };
    step->output = [=] { return c->y; };
    step->spoilings = {[=] { c->p.m = -1; },
                       [=] { c->p.hidden = INT64_MAX; },
                       [=] { c->p.inner = INT64_MIN; },
                       [=] { c->p.tau = NAN; },
                       [=] { c->p.tau = -1e-9f; },
                       [=] { c->p.down.layout = WeightLayout::kRows; },
                       [=] { c->p.up.type = c->p.up.type == WeightType::kFloat32 ? WeightType::kBFloat16 : WeightType::kFloat32; }};
}

}  // namespace longcat::test
