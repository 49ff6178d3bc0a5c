// Random steps of the kernels with 8-bit activations (fuzz.cc).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "fuzz_adapters.h"
#include "fuzz_sparse.h"
#include "longcat/expert_mixture.h"
#include "longcat/int8_embedding.h"
#include "longcat/quantize_rows.h"
#include "longcat/w4a8_matmul.h"
#include "longcat/w8a8_matmul.h"

namespace longcat::test {

// ---- ExpertMixture with W4A8 experts

struct PackedMixtureCase {
    ExpertMixtureArguments p;
    W4A8Experts experts;
    DrawnSkipping skipping;
    std::vector<float> x, router, bias, y, scales[3];
    std::vector<uint8_t> packed[3];
};

// Gates are so large that silu(gate) is the gate: the inner activations are then rounded to the same integers on every path.
inline void Make(Random& random, PackedMixtureCase* c, Step* step) {
    ExpertMixtureArguments& p = c->p;
    p.tokens = Size(random, random.Below(5) == 0 ? 250 : 20), p.hidden = random.Between(1, 200), p.intermediate = random.Between(1, 200);
    p.experts = static_cast<int>(random.Between(1, 6)), p.zero_experts = static_cast<int>(random.Below(4));
    int all = p.experts + p.zero_experts;
    p.top_k = static_cast<int>(random.Between(1, all)), p.routed_scaling_factor = 1.5f, p.normalize = random.Below(2) == 0;
    p.w4a8 = &c->experts;
    c->experts.group_scale_bytes = static_cast<int>(random.Below(3));
    c->experts.group = c->experts.group_scale_bytes == 0 ? 0 : 8 * random.Below(20);
    c->x = random.Floats(p.tokens * p.hidden), c->router = random.Floats(all * p.hidden, 1.0f / static_cast<float>(p.hidden));
    for (float& x : c->x) {
        x += 3;
    }
    c->bias = random.Floats(all, 0.05f);
    p.x = c->x.data(), p.router = c->router.data(), p.correction_bias = random.Below(2) == 0 ? c->bias.data() : nullptr;
    for (int which = 0; which < 3; which++) {
        W4A8Layout layout = which == 2 ? DownLayout(p) : GateLayout(p);
        int64_t bytes = W4A8PackedBytes(layout), groups = (layout.k + layout.group - 1) / layout.group;
        std::vector<int8_t> q(static_cast<size_t>(layout.n * layout.k));
        std::vector<int16_t> group_scales(static_cast<size_t>(layout.n * groups), 1);
        c->packed[which].resize(static_cast<size_t>(p.experts * bytes));  // not a byte more: a sanitizer sees what goes beyond
        for (int e = 0; e < p.experts; e++) {
            for (int8_t& value : q) {
                value = static_cast<int8_t>(which == 0 ? random.Between(1, 7) : random.Between(-8, 7));
            }
            for (int16_t& value : group_scales) {
                value = static_cast<int16_t>(c->experts.group_scale_bytes == 0 ? 1 : random.Between(1, 127));
            }
            W4A8Pack(layout, q.data(), c->experts.group_scale_bytes == 0 ? nullptr : group_scales.data(),
                     c->packed[which].data() + e * bytes);
        }
        float scale = which == 0 ? 21.0f / static_cast<float>(layout.k) : 0.1f / static_cast<float>(layout.k);
        c->scales[which].assign(static_cast<size_t>(p.experts * layout.n), scale);
    }
    c->experts.gate = c->packed[0].data(), c->experts.up = c->packed[1].data(), c->experts.down = c->packed[2].data();
    c->experts.gate_scale = c->scales[0].data(), c->experts.up_scale = c->scales[1].data(), c->experts.down_scale = c->scales[2].data();
    if (random.Below(2) == 0) {
        c->skipping.Draw(random, &p);
    }
    step->what =
        Text("ExpertMixture %d tokens of %d, %d + %d packed experts of %d, group %d, %d bytes, top %d", (int)p.tokens, (int)p.hidden,
             p.experts, p.zero_experts, (int)p.intermediate, (int)c->experts.group, c->experts.group_scale_bytes, p.top_k);
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(ExpertMixtureWorkspace(c->p));
        return ExpertMixture(path, c->p, workspace.get(), parallel);
    };
    step->reset = [=] { c->y.assign(c->x.size(), 0), c->p.y = c->y.data(); };
    step->output = [=] { return c->y; };
    step->spoilings = {[=] { c->p.tokens = -1; },
                       [=] { c->p.hidden = 0; },
                       [=] { c->p.top_k = 0; },
                       [=] { c->experts.group = 12; },
                       [=] { c->experts.group = -8; },
                       [=] { c->experts.group_scale_bytes = 3; },
                       [=] { c->experts.gate = nullptr; },
                       [=] { c->experts.down_scale = nullptr; }};
    if (p.skipping != nullptr) {
        c->skipping.Spoil(p, step);
    }
}

// The same with adapters of gate, up and down, which read x and the inner activations as floats. Their sums differ between paths by
// rounding, so an inner activation that lies on the edge between two integers may become the other one: a step of 127 times a weight of
// down.
struct AdaptedPackedMixtureCase {
    PackedMixtureCase mixture;
    DrawnAdapters adapters;
    bool down_only = false;
};

// Adapters of down alone are behind the integers: nothing but their own sums can differ.
struct DownAdaptedPackedMixtureCase : AdaptedPackedMixtureCase {
    DownAdaptedPackedMixtureCase() { down_only = true; }
};

inline void Make(Random& random, AdaptedPackedMixtureCase* c, Step* step) {
    Make(random, &c->mixture, step);
    c->adapters.Draw(random, &c->mixture.p, c->down_only, 0.05f);
    step->what += Text(", %d adapters of %d, %d and %d ranks", (int)c->adapters.adapters.count, (int)c->adapters.adapters.gate.ranks,
                       (int)c->adapters.adapters.up.ranks, (int)c->adapters.adapters.down.ranks);
    c->adapters.Spoil(c->mixture.p.tokens, step);
    // Terms are large and cancel: what is compared is in units of the largest output.
    step->output = [=] {
        std::vector<float> y = c->mixture.y;
        float largest = 0;
        for (float value : y) {
            largest = std::max(largest, std::fabs(value));
        }
        for (float& value : y) {
            value = largest > 0 ? value / largest : value;
        }
        return y;
    };
}

// ---- rows of 8-bit activations

// One of the three that make such rows. Integers on the edge between two may differ by one between paths, so what is compared is what they
// stand for, in units of the largest: a step is 1/127 of it, and a scale's rounding is far less.
struct RowsCase {
    QuantizedRows rows;
    RmsNormQuantizeArguments norm;
    int kind = 0;
    std::vector<float> x, other, weight, scale, normed, sum;
    std::vector<int8_t> a;
    std::vector<int32_t> sums;
};

inline void Make(Random& random, RowsCase* c, Step* step) {
    QuantizedRows& p = c->rows;
    c->kind = static_cast<int>(random.Below(3));
    p.m = Size(random, random.Below(6) == 0 ? 150 : 12), p.k = Size(random, random.Below(6) == 0 ? 1100 : 90);
    p.group = random.Below(3) == 0 ? INT64_MAX : random.Between(1, 70);
    p.static_scale = random.Below(4) == 0 ? 0.02f : 0;
    c->x = random.Floats(p.m * p.k, 2), c->other = random.Floats(p.m * p.k, 2), c->weight = random.Floats(p.k);
    bool skip = random.Below(2) == 0, floats = random.Below(2) == 0, sums = random.Below(4) != 0;
    c->norm.epsilon = 1e-6f;
    step->what = Text("rows of kind %d, %d of %d, group %lld", c->kind, (int)p.m, (int)p.k, (long long)p.group);
    step->reset = [=] {
        size_t m = static_cast<size_t>(c->scale.empty() ? p.m : static_cast<int64_t>(c->scale.size())), all = c->x.size();
        c->a.assign(all, 0), c->scale.assign(m, 0), c->normed.assign(floats ? all : 0, 0), c->sum.assign(floats ? all : 0, 0);
        int64_t groups = c->rows.k <= 0 ? 0 : 1 + (c->rows.k - 1) / std::max<int64_t>(1, c->rows.group);
        c->sums.assign(sums ? m * static_cast<size_t>(groups) : 0, 0);
        c->rows.a = c->a.data(), c->rows.scale = c->scale.data(), c->rows.sums = sums ? c->sums.data() : nullptr;
    };
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(QuantizeWorkspace(c->rows));
        if (c->kind == 0) {
            return QuantizeRows(path, {c->rows, c->x.data()}, parallel);
        }
        if (c->kind == 1) {
            float* value = floats ? c->normed.data() : nullptr;
            return SiluMulQuantize(path, {c->rows, c->x.data(), c->other.data(), value}, workspace.get(), parallel);
        }
        RmsNormQuantizeArguments q = c->norm;
        q.rows = c->rows, q.x = c->x.data(), q.weight = c->weight.data(), q.skip = skip ? c->other.data() : nullptr;
        q.normed = floats ? c->normed.data() : nullptr, q.sum = floats ? c->sum.data() : nullptr;
        return RmsNormQuantize(path, q, workspace.get(), parallel);
    };
    step->output = [=] {
        std::vector<float> all = c->normed;
        all.insert(all.end(), c->sum.begin(), c->sum.end()), all.insert(all.end(), c->scale.begin(), c->scale.end());
        for (int8_t value : c->a) {
            all.push_back(static_cast<float>(value) / 127);
        }
        for (int32_t value : c->sums) {
            all.push_back(static_cast<float>(value) / 127);
        }
        return all;
    };
    step->spoilings = {[=] { c->rows.m = -1; },
                       [=] { c->rows.m = INT64_MAX; },
                       [=] { c->rows.k = -1; },
                       [=] { c->rows.k = INT64_MAX; },
                       [=] { c->rows.group = 0; },
                       [=] { c->rows.group = INT64_MIN; },
                       [=] { c->rows.static_scale = -0.5f; }};
    if (c->kind == 2) {
        step->spoilings.push_back([=] { c->norm.epsilon = __builtin_nanf(""); });
    }
}

// ---- products of 8-bit activations, and the rows of their tables

struct PackedProductCase {
    W4A8MatMulArguments four;
    W8A8MatMulArguments eight;
    std::vector<float> x, scale, x_scale, bias, residual, y;
    std::vector<int8_t> xq;
    std::vector<int32_t> x_sums;
    std::vector<uint8_t> packed;
};

// Rows that were quantized before, for a product whose groups are `group` long.
inline void QuantizeBefore(PackedProductCase* c, int64_t m, int64_t k, int64_t group) {
    c->xq.resize(c->x.size()), c->x_scale.resize(static_cast<size_t>(m)),
        c->x_sums.resize(static_cast<size_t>(m * ((k + group - 1) / group)));
    QuantizeRowsArguments rows;
    rows.rows.m = m, rows.rows.k = k, rows.rows.group = group, rows.x = c->x.data();
    rows.rows.a = c->xq.data(), rows.rows.scale = c->x_scale.data(), rows.rows.sums = c->x_sums.data();
    Status status = QuantizeRows(CpuPath::kReference, rows, {});
    EXPECT(status.ok(), "%s", status.message);
}

inline void Make(Random& random, PackedProductCase* c, Step* step) {
    int64_t m = Size(random, random.Below(6) == 0 ? 120 : 18), n = random.Between(1, 150),
            k = random.Between(1, random.Below(6) == 0 ? 1100 : 150);
    bool before = random.Below(2) == 0, bias = random.Below(2) == 0, residual = random.Below(2) == 0,
         sixteen = !before && random.Below(2) == 0;
    c->x = random.Floats(m * k, 3), c->scale = random.Floats(n), c->bias = random.Floats(n), c->residual = random.Floats(m * n);
    bool four_bits = random.Below(2) == 0;
    W4A8Layout layout{n, k, random.Below(3) == 0 ? (k + 7) / 8 * 8 : 8 * random.Between(1, 9), 0};
    layout.group_scale_bytes = static_cast<int>(layout.group < k ? random.Between(1, 2) : random.Below(3));
    c->packed.resize(static_cast<size_t>(four_bits ? W4A8PackedBytes(layout) : W8A8PackedBytes(n, k)));
    for (uint8_t& byte : c->packed) {
        byte = static_cast<uint8_t>(random.Next());  // what lies beyond n and k too: it must not be seen
    }
    if (before) {
        QuantizeBefore(c, m, k, four_bits ? layout.group : k);
    }
    step->reset = [=] {
        c->y.assign(static_cast<size_t>(m * n), 0);
        c->four.y = c->eight.y = c->y.data();
    };
    step->output = [=] { return c->y; };
    if (four_bits) {
        W4A8MatMulArguments& p = c->four;
        p.m = m, p.layout = layout, p.weights = c->packed.data(), p.scale = c->scale.data();
        p.x = before ? nullptr : c->x.data(), p.xq = before ? c->xq.data() : nullptr, p.x_scale = c->x_scale.data(),
        p.x_sums = c->x_sums.data();
        p.static_scale = before || random.Below(3) > 0 ? 0 : 0.03f;
        p.bias = bias ? c->bias.data() : nullptr, p.residual = residual ? c->residual.data() : nullptr;
        step->what = Text("W4A8MatMul m %d, n %d, k %d, group %d, %d bytes%s", (int)m, (int)n, (int)k, (int)layout.group,
                          layout.group_scale_bytes, before ? ", quantized before" : "");
        step->run = [=](CpuPath path, const ParallelFor& parallel) {
            Workspace workspace(W4A8MatMulWorkspace(c->four));
            return W4A8MatMul(path, c->four, workspace.get(), parallel);
        };
        step->spoilings = {[=] { c->four.m = -1; }, [=] { c->four.layout.k = INT64_MAX; }, [=] { c->four.layout.group = 12; },
                           [=] { c->four.layout.group_scale_bytes = 3; }, [=] { c->four.static_scale = __builtin_inff(); }};
        return;
    }
    W8A8MatMulArguments& p = c->eight;
    p.m = m, p.n = n, p.k = k, p.activation_bits = sixteen ? 16 : 8, p.weights = c->packed.data(), p.scale = c->scale.data();
    p.x = before ? nullptr : c->x.data(), p.xq = before ? c->xq.data() : nullptr, p.x_scale = c->x_scale.data(),
    p.x_sums = c->x_sums.data();
    p.bias = bias ? c->bias.data() : nullptr;
    step->what =
        Text("W8A8MatMul m %d, n %d, k %d, %d bits%s", (int)m, (int)n, (int)k, p.activation_bits, before ? ", quantized before" : "");
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(W8A8MatMulWorkspace(c->eight));
        return W8A8MatMul(path, c->eight, workspace.get(), parallel);
    };
    step->spoilings = {[=] { c->eight.m = -1; }, [=] { c->eight.k = INT64_MAX; }, [=] { c->eight.activation_bits = 12; }};
}

struct EmbeddingCase {
    Int8EmbeddingArguments p;
    std::vector<int64_t> ids;
    std::vector<uint8_t> packed;
    std::vector<float> scale, y;
};

inline void Make(Random& random, EmbeddingCase* c, Step* step) {
    Int8EmbeddingArguments& p = c->p;
    p.tokens = Size(random, 40), p.vocabulary = random.Between(1, 150), p.hidden = random.Between(1, 300);
    for (int64_t t = 0; t < p.tokens; t++) {
        c->ids.push_back(random.Below(p.vocabulary));
    }
    c->ids.shrink_to_fit();
    c->packed.resize(static_cast<size_t>(W8A8PackedBytes(p.vocabulary, p.hidden)));
    for (uint8_t& byte : c->packed) {
        byte = static_cast<uint8_t>(random.Between(1, 255));
    }
    c->scale = random.Floats(p.vocabulary);
    p.ids = c->ids.data(), p.weights = c->packed.data(), p.scale = c->scale.data();
    step->what = Text("Int8Embedding %d tokens, %d rows of %d", (int)p.tokens, (int)p.vocabulary, (int)p.hidden);
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        if (path != CpuPath::kReference) {
            return Int8Embedding(c->p, parallel);
        }
        // There is one implementation; what it must give is written out here.
        for (int64_t t = 0; t < c->p.tokens; t++) {
            for (int64_t k = 0; k < c->p.hidden; k++) {
                int64_t id = c->ids[static_cast<size_t>(t)];
                c->y[static_cast<size_t>(t * c->p.hidden + k)] =
                    static_cast<float>(W8A8Weight(c->p.hidden, c->packed.data(), id, k)) * c->scale[static_cast<size_t>(id)];
            }
        }
        return Status{};
    };
    step->reset = [=] { c->y.assign(c->ids.size() * static_cast<size_t>(std::max<int64_t>(0, c->p.hidden)), 0), c->p.y = c->y.data(); };
    step->output = [=] { return c->y; };
    step->spoilings = {[=] { c->p.tokens = -1; }, [=] { c->p.vocabulary = INT64_MAX; }};
    if (p.tokens > 0) {
        for (int64_t id : {int64_t{-1}, p.vocabulary, INT64_MAX, INT64_MIN}) {
            step->spoilings.push_back([=] { c->ids.back() = id; });
        }
    }
}

}  // namespace longcat::test
