#include "longcat/expert_mixture.h"

#include <algorithm>

#include "harness.h"

using namespace longcat;
using namespace longcat::test;

namespace {

// A stack [experts, outputs, k] as a tensor of either layout.
Tensor Stack(WeightType type, WeightLayout layout, const std::vector<float>& rows, int experts, int64_t outputs, int64_t k) {
    if (layout == WeightLayout::kRows) {
        return Tensor(type, rows);
    }
    std::vector<float> panels;
    for (int e = 0; e < experts; e++) {
        std::vector<float> one =
            InPanels(type, std::vector<float>(rows.begin() + e * outputs * k, rows.begin() + (e + 1) * outputs * k), outputs, k, 7e20f);
        panels.insert(panels.end(), one.begin(), one.end());
    }
    return Tensor(type, panels);
}

struct Case {
    ExpertMixtureArguments p;
    WeightLayout layout;
    std::vector<float> x, router, bias;
    Tensor gate, up, down;

    Case(Random& random, int64_t tokens, int64_t hidden, int64_t intermediate, int experts, int zero, int top_k, WeightType type,
         WeightLayout as = WeightLayout::kRows)
        : layout(as),
          x(random.Floats(tokens * hidden)),
          router(random.Floats((experts + zero) * hidden)),
          bias(random.Floats(experts + zero, 0.05f)),
          gate(Stack(type, as, random.Floats(experts * intermediate * hidden, 2 / std::sqrt(static_cast<float>(hidden))), experts,
                     intermediate, hidden)),
          up(Stack(type, as, random.Floats(experts * intermediate * hidden, 2 / std::sqrt(static_cast<float>(hidden))), experts,
                   intermediate, hidden)),
          down(Stack(type, as, random.Floats(experts * intermediate * hidden, 2 / std::sqrt(static_cast<float>(intermediate))), experts,
                     hidden, intermediate)) {
        p.tokens = tokens, p.hidden = hidden, p.intermediate = intermediate, p.experts = experts, p.zero_experts = zero, p.top_k = top_k;
        p.routed_scaling_factor = 6;
        Bind();
    }
    Case(const Case&) = delete;
    void Bind() {
        p.x = x.data(), p.router = router.data(), p.correction_bias = bias.data();
        p.gate = gate.weights(layout), p.up = up.weights(layout), p.down = down.weights(layout);
    }
};

Status Run(CpuPath path, ExpertMixtureArguments p, std::vector<float>* y, const ParallelFor& parallel = {}) {
    y->assign(static_cast<size_t>(p.tokens * p.hidden), 777);
    p.y = y->data();
    Workspace workspace(ExpertMixtureWorkspace(p));
    return ExpertMixture(path, p, workspace.get(), parallel);
}

std::vector<float> Run(CpuPath path, const ExpertMixtureArguments& p, const ParallelFor& parallel = {}) {
    std::vector<float> y;
    Status status = Run(path, p, &y, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return y;
}

void Parity(CpuPath path, WeightType type, WeightLayout layout) {
    Comparison comparison(Text("ExpertMixture %s %s %s", Name(path), Name(type), Name(layout)).c_str(), 3e-5,
                          "two float32 products in a row, times a factor of 6");
    Random random(41);
    struct {
        int64_t tokens, hidden, intermediate;
        int experts, zero, top_k;
    } shapes[] = {{0, 8, 8, 2, 1, 1},     {1, 16, 8, 4, 2, 2},    {3, 33, 17, 5, 0, 3},   {5, 40, 50, 8, 4, 4},    {70, 48, 100, 6, 3, 5},
                  {150, 30, 20, 2, 2, 2}, {7, 100, 9, 37, 3, 12}, {2, 1100, 30, 3, 1, 2}, {130, 145, 150, 1, 1, 1}};
    for (auto& s : shapes) {
        for (bool normalize : {false, true}) {
            for (bool identity : {false, true}) {
                // Two generators in step: the same numbers in both layouts, and the specification reads them row by row.
                Random again = random;
                Case c(random, s.tokens, s.hidden, s.intermediate, s.experts, s.zero, s.top_k, type, layout);
                Case rows(again, s.tokens, s.hidden, s.intermediate, s.experts, s.zero, s.top_k, type);
                c.p.normalize = rows.p.normalize = normalize, c.p.identity = rows.p.identity = identity;
                if (identity == normalize) {
                    c.p.correction_bias = rows.p.correction_bias = nullptr;
                }
                EXPECT(SameBits(Run(CpuPath::kReference, c.p), Run(CpuPath::kReference, rows.p)), "the layouts hold one model");
                comparison.Add(Run(path, c.p), Run(CpuPath::kReference, rows.p),
                               Text("%d tokens, hidden %d", (int)s.tokens, (int)s.hidden));
            }
        }
    }
}

void Invariance(CpuPath path, WeightType type, WeightLayout layout) {
    Random random(42);
    Case c(random, 90, 70, 60, 7, 3, 4, type, layout);
    std::vector<float> whole = Run(path, c.p);
    for (int threads : {2, 5}) {
        Threads pool(threads);
        EXPECT(SameBits(whole, Run(path, c.p, pool.parallel())), "%s: %d threads", Name(path), threads);
    }
    for (int64_t step : {int64_t{1}, int64_t{3}, int64_t{4}, int64_t{65}}) {
        for (int64_t from = 0; from < c.p.tokens; from += step) {
            ExpertMixtureArguments part = c.p;
            part.tokens = std::min(step, c.p.tokens - from);
            part.x += from * c.p.hidden;
            std::vector<float> want(whole.begin() + from * c.p.hidden, whole.begin() + (from + part.tokens) * c.p.hidden);
            EXPECT(SameBits(want, Run(path, part)), "%s %s: %d tokens from %d", Name(path), Name(type), (int)part.tokens, (int)from);
        }
    }
}

// The optional outputs: what was chosen, and what each chosen expert made inside, against sums of its own in double.
void Choices(CpuPath path, WeightLayout layout) {
    Comparison comparison(Text("ExpertMixture %s %s, inner", Name(path), Name(layout)).c_str(), 1e-5, "a float32 product");
    Random random(46);
    for (auto [tokens, top_k] : {std::pair<int64_t, int>{1, 3}, {70, 4}, {9, 9}}) {
        Random again = random;
        Case c(random, tokens, 30, 21, 6, 3, top_k, WeightType::kFloat32, layout);
        Case rows(again, tokens, 30, 21, 6, 3, top_k, WeightType::kFloat32);
        std::vector<float> without = Run(path, c.p), inner(static_cast<size_t>(tokens * top_k * 21), 777), want;
        std::vector<int32_t> selected(static_cast<size_t>(tokens * top_k), -7), choice;
        c.p.selected = selected.data(), c.p.inner = inner.data();
        Threads pool(3);
        EXPECT(SameBits(without, Run(path, c.p, pool.parallel())), "%s: y depends on the optional outputs", Name(path));
        auto product = [&](const Tensor& stack, int e, const float* x, int64_t row) {
            const float* w = static_cast<const float*>(stack.weights().data) + (e * 21 + row) * 30;
            double sum = 0;
            for (int i = 0; i < 30; i++) {
                sum += static_cast<double>(w[i]) * x[i];
            }
            return sum;
        };
        for (int64_t t = 0; t < tokens; t++) {
            const float* x = c.x.data() + t * 30;
            std::vector<double> p(9);
            double total = 0;
            for (int e = 0; e < 9; e++) {
                double logit = 0;
                for (int i = 0; i < 30; i++) {
                    logit += static_cast<double>(c.router[static_cast<size_t>(e * 30 + i)]) * x[i];
                }
                total += p[static_cast<size_t>(e)] = std::exp(logit);
            }
            std::vector<int> order;
            for (int e = 0; e < 9; e++) {
                order.push_back(e);
            }
            std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
                return p[static_cast<size_t>(a)] / total + c.bias[static_cast<size_t>(a)] >
                       p[static_cast<size_t>(b)] / total + c.bias[static_cast<size_t>(b)];
            });
            std::sort(order.begin(), order.begin() + top_k);
            for (int i = 0; i < top_k; i++) {
                int e = order[static_cast<size_t>(i)];
                choice.push_back(e);
                for (int64_t j = 0; j < 21; j++) {
                    double gate = e < 6 ? product(rows.gate, e, x, j) : 0;
                    want.push_back(e < 6 ? static_cast<float>(gate / (1 + std::exp(-gate)) * product(rows.up, e, x, j)) : 0);
                }
            }
        }
        EXPECT(selected == choice, "%s: chosen experts, top %d", Name(path), top_k);
        comparison.Add(inner, want, Text("top %d", top_k));
    }
}

// Mixtral and Qwen: no bias, no zero experts, the chosen weights add up to 1.
void Normalized(CpuPath path) {
    Random random(45);
    Case c(random, 9, 20, 6, 8, 0, 2, WeightType::kFloat32);
    c.p.routed_scaling_factor = 1;
    std::fill(c.bias.begin(), c.bias.end(), 0.0f);
    std::vector<float> zero_bias = Run(path, c.p);
    c.p.correction_bias = nullptr;
    EXPECT(SameBits(zero_bias, Run(path, c.p)), "%s: no bias is a bias of zeros", Name(path));
    // All experts alike: whichever are chosen, y is what one expert with weight 1 gives.
    c.p.normalize = true;
    ExpertMixtureArguments one = c.p;
    one.experts = one.top_k = 1;
    std::vector<float> gate = random.Floats(6 * 20), up = random.Floats(6 * 20), down = random.Floats(20 * 6), gates, ups, downs;
    for (int e = 0; e < 8; e++) {
        gates.insert(gates.end(), gate.begin(), gate.end());
        ups.insert(ups.end(), up.begin(), up.end());
        downs.insert(downs.end(), down.begin(), down.end());
    }
    one.gate.data = c.p.gate.data = gates.data(), one.up.data = c.p.up.data = ups.data(), one.down.data = c.p.down.data = downs.data();
    Comparison comparison(Text("ExpertMixture %s, normalized", Name(path)).c_str(), 1e-6, "two weights that add up to 1, three roundings");
    comparison.Add(Run(path, c.p), Run(path, one), "equal experts");
}

// Equal scores: the lower index wins, also where the bias makes them equal.
void Ties(CpuPath path) {
    Random random(43);
    Case c(random, 1, 4, 3, 3, 1, 2, WeightType::kFloat32);
    std::fill(c.router.begin(), c.router.end(), 0.0f);
    std::fill(c.bias.begin(), c.bias.end(), 0.0f);
    std::vector<float> y = Run(path, c.p);
    // The same with experts 0 and 1 forced by a bias.
    c.bias[0] = c.bias[1] = 1;
    EXPECT(SameBits(y, Run(path, c.p)), "%s: a tie goes to the lower index", Name(path));
    // Only the zero expert: y = p · factor · x, p = 1/4.
    c.p.top_k = 1;
    c.bias = {0, 0, 0, 1};
    c.Bind();
    y = Run(path, c.p);
    for (size_t i = 0; i < y.size(); i++) {
        EXPECT(y[i] == 1.5f * c.x[i], "%s: %g, expected %g", Name(path), y[i], 1.5f * c.x[i]);
    }
    c.p.identity = false;
    EXPECT(Run(path, c.p) == std::vector<float>(4, 0.0f), "%s: a dropped expert adds nothing", Name(path));
    // Weights of experts that no token chose are never read.
    c.p.gate.data = c.p.up.data = c.p.down.data = nullptr;
    EXPECT(Run(path, c.p) == std::vector<float>(4, 0.0f), "%s: reads nothing", Name(path));
    // Logits of ±1e4 and NaN neither crash nor leave the choice empty.
    c.p.top_k = 2;
    c.Bind();
    for (float extreme : {1e4f, -1e4f, NAN}) {
        c.router[0] = extreme;
        Run(path, c.p);
    }
}

std::vector<int32_t> Selected(CpuPath path, ExpertMixtureArguments p) {
    std::vector<int32_t> selected(static_cast<size_t>(p.tokens * p.top_k), -7);
    p.selected = selected.data();
    Run(path, p);
    return selected;
}

// Experts so near to each other that float32 sums would order them by their rounding: the choice is that of sums in double.
void NearTies(CpuPath path) {
    Random random(45);
    int changed = 0;
    for (int64_t hidden : {16, 100, 1111, 3072}) {
        Case c(random, 40, hidden, 1, 0, 48, 5, WeightType::kFloat32);
        c.p.correction_bias = nullptr;
        for (int e = 8; e < 48; e++) {  // eight rows, and others that differ from them in two or three last places
            for (int64_t k = 0; k < hidden; k++) {
                c.router[static_cast<size_t>(e * hidden + k)] = c.router[static_cast<size_t>(e % 8 * hidden + k)];
            }
            for (int i = 0; i < 3; i++) {
                float& weight = c.router[static_cast<size_t>(e * hidden + random.Below(hidden))];
                weight = std::nextafter(weight, random.Below(2) == 0 ? 2.0f : -2.0f);
            }
        }
        for (float scale : {0.1f, 10.0f}) {
            for (float& x : c.x) {
                x *= scale;
            }
            std::vector<int32_t> want, rounded;
            for (int64_t t = 0; t < 40; t++) {
                std::vector<float> exact, sums;
                for (int e = 0; e < 48; e++) {
                    double logit = 0;
                    float sum = 0;
                    for (int64_t k = 0; k < hidden; k++) {
                        float x = c.x[static_cast<size_t>(t * hidden + k)], weight = c.router[static_cast<size_t>(e * hidden + k)];
                        logit += static_cast<double>(x) * weight;
                        sum = std::fma(x, weight, sum);
                    }
                    exact.push_back(static_cast<float>(logit)), sums.push_back(sum);
                }
                for (auto [logits, chosen] : {std::pair{&exact, &want}, std::pair{&sums, &rounded}}) {
                    float largest = *std::max_element(logits->begin(), logits->end()), total = 0;
                    for (float& logit : *logits) {
                        total += logit = std::exp(logit - largest);
                    }
                    std::vector<int32_t> order;
                    for (int e = 0; e < 48; e++) {
                        order.push_back(e), (*logits)[static_cast<size_t>(e)] /= total;
                    }
                    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
                        return (*logits)[static_cast<size_t>(a)] > (*logits)[static_cast<size_t>(b)];
                    });
                    std::sort(order.begin(), order.begin() + 5);
                    chosen->insert(chosen->end(), order.begin(), order.begin() + 5);
                }
                changed += !std::equal(want.end() - 5, want.end(), rounded.end() - 5);
            }
            EXPECT(Selected(path, c.p) == want, "%s: choices with hidden %d", Name(path), (int)hidden);
        }
    }
    EXPECT(changed > 20, "float32 sums choose otherwise for %d tokens only", changed);
}

// The weights of zero experts, and with them y, have the reference's bits: the same order of additions everywhere.
void RouterBits(CpuPath path) {
    Random random(46);
    for (int64_t hidden : {1, 15, 16, 37, 500, 3072}) {
        Case c(random, 11, hidden, 1, 0, 29, 3, WeightType::kFloat32);
        EXPECT(SameBits(Run(path, c.p), Run(CpuPath::kReference, c.p)), "%s: hidden %d", Name(path), (int)hidden);
    }
}

// Adapters of all three projections, some without ranks, one with gains; tokens are dealt out over them and "none".
struct Adapted {
    ExpertAdapters adapters;
    std::vector<int32_t> rows, starts[3];
    std::vector<float> a[3], b[3], gain[3];

    Adapted(Random& random, const ExpertMixtureArguments& p, const std::vector<int>& ranks, bool gains) {
        adapters.count = static_cast<int64_t>(ranks.size());
        ExpertLowRank* all[] = {&adapters.gate, &adapters.up, &adapters.down};
        for (int i = 0; i < 3; i++) {
            int64_t k = i < 2 ? p.hidden : p.intermediate, n = i < 2 ? p.intermediate : p.hidden;
            starts[i] = {0};
            for (size_t x = 0; x < ranks.size(); x++) {
                starts[i].push_back(starts[i].back() + ranks[(x + static_cast<size_t>(i)) % ranks.size()]);
            }
            int64_t total = all[i]->ranks = starts[i].back();
            a[i] = random.Floats(p.experts * k * total, 1 / std::sqrt(static_cast<float>(k)));
            b[i] = random.Floats(p.experts * total * n, 0.5f);
            gain[i] = random.Floats(p.experts * adapters.count * n);
            all[i]->a = a[i].data(), all[i]->b = b[i].data(), all[i]->start = starts[i].data();
            all[i]->gain = gains && i != 1 ? gain[i].data() : nullptr;
        }
        for (int64_t t = 0; t < p.tokens; t++) {
            rows.push_back(static_cast<int32_t>(random.Between(-1, adapters.count - 1)));
        }
        adapters.row_adapter = rows.data();
    }
    Adapted(const Adapted&) = delete;
};

const std::vector<std::vector<int>> kAdapters = {{3}, {16, 0, 5}, {70, 1}, {0}};

// An expert with its adapters merged into its matrices gives the same; so the specification is tied to the one without adapters.
void MergedAdapters() {
    Comparison comparison("ExpertMixture reference, adapters against merged experts", 1e-5, "weights rounded to float32 after merging");
    Random random(48);
    for (bool gains : {false, true}) {
        Case c(random, 12, 20, 14, 5, 2, 3, WeightType::kFloat32);
        Adapted adapted(random, c.p, {4}, gains);
        std::fill(adapted.rows.begin(), adapted.rows.end(), 0);
        c.p.adapters = &adapted.adapters;
        std::vector<float> got = Run(CpuPath::kReference, c.p);
        c.p.adapters = nullptr;
        Weights* all[] = {&c.p.gate, &c.p.up, &c.p.down};
        std::vector<float> merged[3];
        for (int i = 0; i < 3; i++) {
            int64_t k = i < 2 ? 20 : 14, n = i < 2 ? 14 : 20;
            const float* w = static_cast<const float*>(all[i]->data);
            for (int64_t e = 0; e < 5; e++) {
                for (int64_t j = 0; j < n; j++) {
                    for (int64_t x = 0; x < k; x++) {
                        double sum = w[(e * n + j) * k + x];
                        for (int64_t r = 0; r < 4; r++) {
                            sum += static_cast<double>(adapted.a[i][static_cast<size_t>((e * k + x) * 4 + r)]) *
                                   adapted.b[i][static_cast<size_t>((e * 4 + r) * n + j)];
                        }
                        merged[i].push_back(static_cast<float>(gains && i != 1 ? sum * adapted.gain[i][static_cast<size_t>(e * n + j)] : sum));
                    }
                }
            }
            all[i]->data = merged[i].data();
        }
        comparison.Add(got, Run(CpuPath::kReference, c.p), gains ? "with gains" : "without gains");
    }
}

void AdaptersParity(CpuPath path, WeightLayout layout) {
    Comparison comparison(Text("ExpertMixture %s %s, adapters", Name(path), Name(layout)).c_str(), 5e-5, "four float32 products in a row, times a factor of 6");
    Random random(49);
    struct {
        int64_t tokens, hidden, intermediate;
        int experts, zero, top_k;
    } shapes[] = {{0, 8, 8, 2, 1, 1}, {1, 16, 8, 4, 2, 2}, {3, 33, 17, 5, 0, 3}, {70, 48, 150, 6, 3, 5}, {7, 130, 9, 37, 3, 12}, {130, 145, 70, 1, 1, 1}};
    for (auto& s : shapes) {
        for (const std::vector<int>& ranks : kAdapters) {
            for (bool gains : {false, true}) {
                Case c(random, s.tokens, s.hidden, s.intermediate, s.experts, s.zero, s.top_k, WeightType::kFloat32, layout);
                Adapted adapted(random, c.p, ranks, gains);
                c.p.adapters = &adapted.adapters;
                comparison.Add(Run(path, c.p), Run(CpuPath::kReference, c.p), Text("%d tokens, hidden %d", (int)s.tokens, (int)s.hidden));
            }
        }
    }
}

// Tokens without an adapter keep their bits; others have the same alone, in any batch and on any number of threads.
void AdaptersInvariance(CpuPath path, WeightLayout layout) {
    Random random(50);
    for (const std::vector<int>& ranks : kAdapters) {
        Case c(random, 90, 70, 60, 7, 3, 4, WeightType::kFloat32, layout);
        std::vector<float> plain = Run(path, c.p);
        Adapted adapted(random, c.p, ranks, false);
        c.p.adapters = &adapted.adapters;
        std::vector<float> whole = Run(path, c.p);
        for (int threads : {2, 5}) {
            Threads pool(threads);
            EXPECT(SameBits(whole, Run(path, c.p, pool.parallel())), "%s: %d threads", Name(path), threads);
        }
        int changed = 0;
        for (int64_t t = 0; t < 90; t++) {
            std::vector<float> got(whole.begin() + t * 70, whole.begin() + (t + 1) * 70), without(plain.begin() + t * 70, plain.begin() + (t + 1) * 70);
            bool same = SameBits(got, without);
            changed += !same;
            EXPECT(same || adapted.rows[static_cast<size_t>(t)] >= 0, "%s: token %d has no adapter", Name(path), (int)t);
        }
        EXPECT(ranks.size() == 1 && ranks[0] == 0 ? changed == 0 : changed > 20, "%s: adapters changed %d tokens", Name(path), changed);
        for (int64_t step : {1, 7, 65}) {
            for (int64_t from = 0; from < 90; from += step) {
                ExpertMixtureArguments part = c.p;
                ExpertAdapters some = adapted.adapters;
                part.tokens = std::min(step, 90 - from), part.x += from * 70, some.row_adapter += from, part.adapters = &some;
                std::vector<float> want(whole.begin() + from * 70, whole.begin() + (from + part.tokens) * 70);
                EXPECT(SameBits(want, Run(path, part)), "%s: %d tokens from %d", Name(path), (int)part.tokens, (int)from);
            }
        }
    }
}

void AdapterErrors() {
    Random random(51);
    auto expect = [&](auto&& change, const char* part) {
        Case c(random, 4, 6, 5, 3, 1, 2, WeightType::kFloat32);
        Adapted adapted(random, c.p, {2, 3}, true);
        c.p.adapters = &adapted.adapters;
        change(adapted);
        std::vector<float> y;
        EXPECT_ERROR(Run(BestCpuPath(), c.p, &y), part);
        EXPECT(std::all_of(y.begin(), y.end(), [](float v) { return v == 777; }), "%s: an error must leave y alone", part);
    };
    expect([](Adapted& c) { c.adapters.count = -1; }, "-1 adapters, expected 0..1048576");
    expect([](Adapted& c) { c.adapters.up.ranks = -1; }, "the adapters of up have -1 ranks, expected 0..1048576");
    expect([](Adapted& c) { c.adapters.down.a = nullptr; }, "the adapters of down have 5 ranks, and A or B is null");
    expect([](Adapted& c) { c.adapters.gate.start = nullptr; }, "2 adapters of gate without the place");
    expect([](Adapted& c) { c.starts[2][0] = 1; }, "the start of down goes from 1 to 5, expected from 0 to 5");
    expect([](Adapted& c) { c.starts[1][1] = 6; }, "the start of up at 2 is 5, below 6 before it");
    expect([](Adapted& c) { c.adapters.row_adapter = nullptr; }, "2 adapters and no row_adapter");
    expect([](Adapted& c) { c.rows[3] = 2; }, "row_adapter[3] is 2, expected -1 (none)..1");
    expect([](Adapted& c) { c.rows[0] = INT32_MIN; }, "row_adapter[0] is -2147483648");
}

void Errors() {
    Random random(44);
    std::vector<float> y;
    Case c(random, 2, 4, 3, 3, 1, 5, WeightType::kFloat32);
    EXPECT_ERROR(Run(CpuPath::kReference, c.p, &y), "top_k is 5, expected 1..4");
    c.p.top_k = 2, c.p.up.layout = WeightLayout::kPanels;
    EXPECT_ERROR(Run(CpuPath::kReference, c.p, &y), "gate, up and down must have one layout");
    c.Bind();
    c.p.intermediate = 0;
    EXPECT_ERROR(Run(CpuPath::kReference, c.p, &y), "gate 3 experts of 0");
    // No memory stands behind the number of tokens when the width is 0.
    c.p.hidden = 0, c.p.tokens = INT64_MAX;
    EXPECT(ExpertMixtureWorkspace(c.p) == 0, "bad sizes need no workspace");
    EXPECT_ERROR(ExpertMixture(CpuPath::kReference, c.p, nullptr, {}), "x has 9223372036854775807 tokens of 0");
    c.p.hidden = 4, c.p.intermediate = 3;
    EXPECT_ERROR(ExpertMixture(CpuPath::kReference, c.p, nullptr, {}), "expected at most 1073741823 with top_k 2");
}

}  // namespace

int main() {
    Errors();
    Ties(CpuPath::kReference);
    Normalized(CpuPath::kReference);
    NearTies(CpuPath::kReference);
    Choices(CpuPath::kReference, WeightLayout::kRows);
    MergedAdapters();
    AdapterErrors();
    for (CpuPath path : FastPaths()) {
        Ties(path);
        Normalized(path);
        NearTies(path);
        RouterBits(path);
        Choices(path, WeightLayout::kRows);
        Choices(path, WeightLayout::kPanels);
        for (WeightLayout layout : {WeightLayout::kRows, WeightLayout::kPanels}) {
            AdaptersParity(path, layout);
            AdaptersInvariance(path, layout);
        }
        for (WeightType type : {WeightType::kFloat32, WeightType::kBFloat16}) {
            for (WeightLayout layout : {WeightLayout::kRows, WeightLayout::kPanels}) {
                Parity(path, type, layout);
                Invariance(path, type, layout);
            }
        }
    }
    return Report();
}
