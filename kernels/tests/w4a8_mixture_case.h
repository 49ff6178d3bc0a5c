// A mixture of packed 4-bit experts over random numbers, and what its outputs must be.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "harness.h"
#include "longcat/expert_mixture.h"

namespace longcat::test {

struct MixtureSizes {
    int64_t tokens, hidden, intermediate;
    int experts, zero, top_k;
    int64_t group;
    int scale_bytes;
};

// A stack [experts, n, k] as it is packed. With `positive` every weight is 1..7.
struct W4A8Stack {
    std::vector<uint8_t> packed;
    std::vector<float> scale;

    W4A8Stack(Random& random, int experts, W4A8Layout layout, bool positive) {
        int64_t bytes = W4A8PackedBytes(layout), groups = (layout.k + layout.group - 1) / layout.group;
        packed.resize(static_cast<size_t>(experts * bytes));
        for (int e = 0; e < experts; e++) {
            std::vector<int8_t> q(static_cast<size_t>(layout.n * layout.k));
            std::vector<int16_t> group_scales(static_cast<size_t>(layout.n * groups), 1);
            for (int8_t& value : q) {
                value = static_cast<int8_t>(positive ? random.Between(1, 7) : random.Between(-8, 7));
            }
            for (int16_t& value : group_scales) {
                int64_t magnitude = layout.group_scale_bytes == 0 ? 1 : random.Between(1, layout.group_scale_bytes == 1 ? 127 : 900);
                bool mirrored = layout.group_scale_bytes > 0 && !positive && random.Between(0, 1) == 1;
                value = static_cast<int16_t>(mirrored ? -magnitude : magnitude);
            }
            W4A8Pack(layout, q.data(), layout.group_scale_bytes == 0 ? nullptr : group_scales.data(), packed.data() + e * bytes);
            for (int64_t n = 0; n < layout.n; n++) {
                double sum = 0;
                for (int64_t k = 0; k < layout.k; k++) {
                    sum += std::abs(int{group_scales[static_cast<size_t>(n * groups + k / layout.group)]});
                }
                // Positive: every product with activations of 1 and more is 40 and more. Otherwise around 1.
                scale.push_back(static_cast<float>(positive ? 41 / sum : std::sqrt(static_cast<double>(layout.k)) / (4 * sum)));
            }
        }
    }
};

struct W4A8MixtureCase {
    ExpertMixtureArguments p;
    W4A8Experts experts;
    std::vector<float> x, router, bias;
    std::vector<W4A8Stack> stacks;

    W4A8MixtureCase(Random& random, const MixtureSizes& s, bool positive = false)
        : x(random.Floats(s.tokens * s.hidden)),
          router(random.Floats((s.experts + s.zero) * s.hidden)),
          bias(random.Floats(s.experts + s.zero, 0.05f)) {
        // Few bits each: logits are exact in double whatever the order, so every path sees the same choices and weights.
        for (float& value : x) {
            value = std::round(value * 64) / 32 + (positive ? 3.0f : 0.0f);
        }
        for (float& value : router) {
            value = std::round(value * 64 / std::sqrt(static_cast<float>(s.hidden))) / 64;
        }
        p.tokens = s.tokens, p.hidden = s.hidden, p.intermediate = s.intermediate, p.experts = s.experts, p.zero_experts = s.zero;
        p.top_k = s.top_k, p.routed_scaling_factor = 1.5f, p.w4a8 = &experts;
        experts.group = s.group, experts.group_scale_bytes = s.scale_bytes;
        stacks.emplace_back(random, s.experts, GateLayout(p), positive);
        stacks.emplace_back(random, s.experts, GateLayout(p), false);
        stacks.emplace_back(random, s.experts, DownLayout(p), false);
        p.x = x.data(), p.router = router.data(), p.correction_bias = bias.data();
        experts.gate = stacks[0].packed.data(), experts.gate_scale = stacks[0].scale.data();
        experts.up = stacks[1].packed.data(), experts.up_scale = stacks[1].scale.data();
        experts.down = stacks[2].packed.data(), experts.down_scale = stacks[2].scale.data();
    }
    W4A8MixtureCase(const W4A8MixtureCase&) = delete;
};

inline std::string Describe(const MixtureSizes& s) {
    return Text("%d tokens, hidden %d, inner %d, %d + %d experts, top %d, group %d, %d bytes", (int)s.tokens, (int)s.hidden,
                (int)s.intermediate, s.experts, s.zero, s.top_k, (int)s.group, s.scale_bytes);
}

// 1 to 17 rows an expert and more, one and many parts, no multiple of anything, groups that end early, no group scales.
inline std::vector<MixtureSizes> W4A8MixtureShapes() {
    std::vector<MixtureSizes> shapes = {{1, 8, 8, 1, 0, 1, 8, 1},      {1, 64, 64, 4, 2, 3, 32, 1},    {3, 33, 17, 5, 0, 3, 0, 0},
                                 {5, 130, 70, 8, 4, 12, 32, 2}, {70, 48, 100, 6, 3, 5, 32, 1},  {250, 72, 66, 2, 1, 2, 0, 1},
                                 {7, 100, 9, 37, 3, 12, 64, 1}, {2, 1100, 30, 3, 1, 2, 128, 1}, {40, 333, 520, 3, 1, 2, 128, 1},
                                 {90, 16, 1, 2, 2, 1, 16, 2},   {130, 300, 260, 1, 1, 1, 0, 0}, {33, 256, 300, 16, 0, 4, 256, 1}};
    for (int64_t tokens = 1; tokens <= 17; tokens++) {
        shapes.push_back({tokens, 70 + tokens, 90 - tokens, 1, 0, 1, 32, 1});  // every token to one expert
    }
    return shapes;
}

// The specification's y out of the inner activations that a path itself wrote: the down products are exact, so the bits are the same.
// The router's weights are float32 arithmetic written once in the product; here once more.
inline std::vector<float> FromInner(const W4A8MixtureCase& c, const std::vector<float>& inner, const std::vector<int32_t>& selected) {
    const ExpertMixtureArguments& p = c.p;
    int all = p.experts + p.zero_experts;
    std::vector<float> y(static_cast<size_t>(p.tokens * p.hidden), 0), down(static_cast<size_t>(p.hidden));
    W4A8Layout layout = DownLayout(p);
    for (int64_t t = 0; t < p.tokens; t++) {
        std::vector<float> scores(static_cast<size_t>(all));
        for (int e = 0; e < all; e++) {
            double sum = 0;
            for (int64_t i = 0; i < p.hidden; i++) {
                sum += static_cast<double>(p.x[t * p.hidden + i]) * p.router[e * p.hidden + i];
            }
            scores[static_cast<size_t>(e)] = static_cast<float>(sum);
        }
        float largest = *std::max_element(scores.begin(), scores.end()), total = 0, identity = 0;
        for (float& score : scores) {
            total += score = std::exp(score - largest);
        }
        for (int i = 0; i < p.top_k; i++) {
            int64_t pair = t * p.top_k + i;
            int e = selected[static_cast<size_t>(pair)];
            float weight = scores[static_cast<size_t>(e)] / total * p.routed_scaling_factor;
            if (e >= p.experts) {
                identity += weight;
                continue;
            }
            W4A8MatMulArguments one;
            one.m = 1, one.layout = layout, one.x = inner.data() + pair * p.intermediate, one.y = down.data();
            one.weights = c.experts.down + e * W4A8PackedBytes(layout), one.scale = c.experts.down_scale + e * p.hidden;
            Workspace workspace(W4A8MatMulWorkspace(one));
            EXPECT(W4A8MatMul(CpuPath::kReference, one, workspace.get(), {}).ok(), "the specification's product");
            for (int64_t h = 0; h < p.hidden; h++) {
                y[static_cast<size_t>(t * p.hidden + h)] += weight * down[static_cast<size_t>(h)];
            }
        }
        for (int64_t h = 0; h < p.hidden; h++) {
            y[static_cast<size_t>(t * p.hidden + h)] += identity * p.x[t * p.hidden + h];
        }
    }
    return y;
}

}  // namespace longcat::test
