// Skipped experts of sparse verification (longcat/expert_mixture.h) against a plain version in double, and what must not change.
#include <algorithm>

#include "harness.h"
#include "longcat/expert_mixture.h"

using namespace longcat;
using namespace longcat::test;

namespace {

struct Case {
    ExpertMixtureArguments p;
    ExpertSkipping skipping;
    std::vector<float> x, router, bias, betas, gate, up, down;
    std::vector<uint8_t> rows;
    Tensor gates, ups, downs;

    Case(Random& random, int64_t tokens, int64_t hidden, int64_t intermediate, int experts, int zero, int top_k, WeightLayout layout)
        : x(random.Floats(tokens * hidden)),
          router(random.Floats((experts + zero) * hidden)),
          bias(random.Floats(experts + zero, 0.05f)),
          betas(random.Floats(top_k - 1)),
          gate(random.Floats(experts * intermediate * hidden)),
          up(random.Floats(experts * intermediate * hidden)),
          down(random.Floats(experts * intermediate * hidden)),
          gates(WeightType::kFloat32, Stack(gate, experts, intermediate, hidden, layout)),
          ups(WeightType::kFloat32, Stack(up, experts, intermediate, hidden, layout)),
          downs(WeightType::kFloat32, Stack(down, experts, hidden, intermediate, layout)) {
        for (int64_t t = 0; t < tokens; t++) {
            rows.push_back(static_cast<uint8_t>(random.Below(3)));  // whatever is not 0 is a mark
        }
        for (float& beta : betas) {
            beta = std::fabs(beta);
        }
        p.tokens = tokens, p.hidden = hidden, p.intermediate = intermediate, p.experts = experts, p.zero_experts = zero, p.top_k = top_k;
        p.routed_scaling_factor = 3;
        p.x = x.data(), p.router = router.data(), p.correction_bias = bias.data();
        p.gate = gates.weights(layout), p.up = ups.weights(layout), p.down = downs.weights(layout);
        skipping.rows = rows.data(), skipping.betas = betas.data(), skipping.most = top_k - 1;
        p.skipping = &skipping;
    }
    Case(const Case&) = delete;

  private:
    static std::vector<float> Stack(const std::vector<float>& rows, int experts, int64_t outputs, int64_t k, WeightLayout layout) {
        if (layout == WeightLayout::kRows) {
            return rows;
        }
        std::vector<float> panels;
        for (int e = 0; e < experts; e++) {
            std::vector<float> one = InPanels(
                WeightType::kFloat32, std::vector<float>(rows.begin() + e * outputs * k, rows.begin() + (e + 1) * outputs * k), outputs, k);
            panels.insert(panels.end(), one.begin(), one.end());
        }
        return panels;
    }
};

struct Result {
    std::vector<float> y, shares;
    std::vector<int32_t> selected;
    Status status;
};

Result Run(CpuPath path, ExpertMixtureArguments p, const ParallelFor& parallel = {}) {
    Result result;
    result.y.assign(static_cast<size_t>(p.tokens * p.hidden), 777);
    result.shares.assign(static_cast<size_t>(p.tokens * p.top_k), 777);
    result.selected.assign(result.shares.size(), 777);
    p.y = result.y.data(), p.shares = result.shares.data(), p.selected = result.selected.data();
    Workspace workspace(ExpertMixtureWorkspace(p));
    result.status = ExpertMixture(path, p, workspace.get(), parallel);
    return result;
}

// What one token gives, in double from the router on; `doubt` where a share is too near to its beta to say.
struct Plain {
    std::vector<double> y;
    std::vector<double> shares;  // of each of `selected`
    std::vector<int> selected;
    int skipped = 0;
    bool doubt = false;

    Plain(const Case& c, int64_t t) : y(static_cast<size_t>(c.p.hidden)) {
        const ExpertMixtureArguments& a = c.p;
        int all = a.experts + a.zero_experts;
        const float* x = a.x + t * a.hidden;
        std::vector<double> p(static_cast<size_t>(all));
        double total = 0;
        for (int e = 0; e < all; e++) {
            double logit = 0;
            for (int64_t k = 0; k < a.hidden; k++) {
                logit += static_cast<double>(c.router[static_cast<size_t>(e * a.hidden + k)]) * x[k];
            }
            total += p[static_cast<size_t>(e)] = std::exp(logit);
        }
        std::vector<int> order;
        for (int e = 0; e < all; e++) {
            p[static_cast<size_t>(e)] /= total;
            order.push_back(e);
        }
        std::stable_sort(order.begin(), order.end(), [&](int l, int r) {
            return p[static_cast<size_t>(l)] + c.bias[static_cast<size_t>(l)] > p[static_cast<size_t>(r)] + c.bias[static_cast<size_t>(r)];
        });
        selected.assign(order.begin(), order.begin() + a.top_k);
        std::sort(selected.begin(), selected.end());
        std::vector<int> real;
        double sum = 0;
        for (int e : selected) {
            if (e < a.experts) {
                real.push_back(e);
                sum += p[static_cast<size_t>(e)];
            }
        }
        std::sort(real.begin(), real.end(), [&](int l, int r) { return p[static_cast<size_t>(l)] < p[static_cast<size_t>(r)]; });
        if (c.rows[static_cast<size_t>(t)] != 0) {
            double tail = 0;
            for (int j = 1; j <= std::min(c.skipping.most, static_cast<int>(real.size()) - 1); j++) {
                tail += p[static_cast<size_t>(real[static_cast<size_t>(j - 1)])];
                double beta = static_cast<double>(c.betas[static_cast<size_t>(j - 1)]);
                doubt = doubt || std::fabs(tail / sum - beta) < 1e-4;
                skipped = tail / sum < beta ? j : skipped;
            }
        }
        auto left_out = [&](int e) { return std::find(real.begin(), real.begin() + skipped, e) != real.begin() + skipped; };
        double divisor = 1;
        if (a.normalize) {
            divisor = 0;
            for (int e : selected) {
                divisor += left_out(e) ? 0 : p[static_cast<size_t>(e)];
            }
        }
        for (int e : selected) {
            double weight = p[static_cast<size_t>(e)] / divisor * a.routed_scaling_factor;
            shares.push_back(e >= a.experts || left_out(e) ? 0 : weight);
            if (e >= a.experts) {
                for (int64_t k = 0; k < a.hidden; k++) {
                    y[static_cast<size_t>(k)] += a.identity ? weight * x[k] : 0;
                }
            } else if (!left_out(e)) {
                Add(c, e, x, weight);
            }
        }
    }

  private:
    void Add(const Case& c, int64_t e, const float* x, double weight) {
        int64_t hidden = c.p.hidden, width = c.p.intermediate;
        for (int64_t i = 0; i < width; i++) {
            double gate = 0, up = 0;
            for (int64_t k = 0; k < hidden; k++) {
                gate += static_cast<double>(c.gate[static_cast<size_t>((e * width + i) * hidden + k)]) * x[k];
                up += static_cast<double>(c.up[static_cast<size_t>((e * width + i) * hidden + k)]) * x[k];
            }
            for (int64_t k = 0; k < hidden; k++) {
                y[static_cast<size_t>(k)] +=
                    weight * gate / (1 + std::exp(-gate)) * up * c.down[static_cast<size_t>((e * hidden + k) * width + i)];
            }
        }
    }
};

void Parity(CpuPath path, WeightLayout layout) {
    Comparison results(Text("skipped experts, %s %s", Name(path), Name(layout)).c_str(), 1e-4,
                       "float32 sums of 30 and 20 products, factor 3");
    Comparison weights(Text("shares, %s %s", Name(path), Name(layout)).c_str(), 1e-5, "a float32 softmax");
    Random random(61);
    int marked = 0, most = 0, doubts = 0;
    for (int i = 0; i < 24; i++) {
        int experts = static_cast<int>(random.Between(1, 9)), zero = static_cast<int>(random.Between(0, 4));
        int top_k = static_cast<int>(random.Between(1, experts + zero));
        Case c(random, random.Between(0, 12), random.Between(2, 30), random.Between(1, 20), experts, zero, top_k, layout);
        c.skipping.most = static_cast<int>(random.Between(0, top_k - 1));
        c.p.normalize = i % 2 == 0, c.p.identity = i % 3 != 0;
        if (i % 4 == 0) {
            std::fill(c.betas.begin(), c.betas.end(), 1.0f);
        }
        Result got = Run(path, c.p);
        EXPECT(got.status.ok(), "%s", got.status.message);
        for (int64_t t = 0; t < c.p.tokens; t++) {
            Plain want(c, t);
            if (want.doubt) {
                doubts++;
                continue;
            }
            auto part = [&](const auto& all, int64_t width) { return std::vector(all.begin() + t * width, all.begin() + (t + 1) * width); };
            EXPECT(part(got.selected, top_k) == std::vector<int32_t>(want.selected.begin(), want.selected.end()),
                   "the router's choice stays");
            results.Add(part(got.y, c.p.hidden), std::vector<float>(want.y.begin(), want.y.end()), Text("case %d, token %d", i, (int)t));
            weights.Add(part(got.shares, top_k), std::vector<float>(want.shares.begin(), want.shares.end()),
                        Text("case %d, token %d", i, (int)t));
            for (int k = 0; k < top_k; k++) {
                EXPECT((got.shares[static_cast<size_t>(t * top_k + k)] == 0) == (want.shares[static_cast<size_t>(k)] <= 0),
                       "who is skipped");
            }
            marked += want.skipped;
            most = std::max(most, want.skipped);
            EXPECT(c.betas.empty() || c.betas[0] != 1 || c.rows[static_cast<size_t>(t)] == 0 ||
                       want.skipped ==
                           std::max(0, std::min(c.skipping.most, static_cast<int>(std::count_if(want.selected.begin(), want.selected.end(),
                                                                                                [&](int e) { return e < experts; })) -
                                                                     1)),
                   "betas of 1 are the static rule");
        }
    }
    EXPECT(marked > 60 && most > 3 && doubts < 5, "%d skipped, at most %d, %d in doubt: this test would prove little", marked, most,
           doubts);
}

// A row of 0, or at most 0 skipped, gives the bits of a mixture that knows nothing of it; a row's bits depend on the row alone.
void Invariance(CpuPath path, WeightLayout layout) {
    Random random(62);
    Case c(random, 40, 40, 24, 7, 3, 5, layout);
    std::fill(c.betas.begin(), c.betas.end(), 0.6f);
    Result sparse = Run(path, c.p);
    ExpertMixtureArguments without = c.p;
    without.skipping = nullptr;
    Result exact = Run(path, without);
    auto row = [&](const Result& result, int64_t t) {
        return std::vector<float>(result.y.begin() + t * 40, result.y.begin() + (t + 1) * 40);
    };
    int changed = 0;
    for (int64_t t = 0; t < 40; t++) {
        bool same = SameBits(row(sparse, t), row(exact, t));
        EXPECT(same || c.rows[static_cast<size_t>(t)] != 0, "%s: row %d is exact", Name(path), (int)t);
        changed += !same;
        ExpertMixtureArguments alone = c.p;
        ExpertSkipping one = c.skipping;
        alone.tokens = 1, alone.x += t * 40, one.rows += t, alone.skipping = &one;
        EXPECT(SameBits(Run(path, alone).y, row(sparse, t)), "%s: row %d alone", Name(path), (int)t);
    }
    EXPECT(changed > 15, "%s: only %d rows changed", Name(path), changed);
    Threads pool(3);
    EXPECT(SameBits(Run(path, c.p, pool.parallel()).y, sparse.y), "%s: threads", Name(path));
    c.skipping.most = 0;
    EXPECT(SameBits(Run(path, c.p).y, exact.y), "%s: at most 0 are skipped", Name(path));
    c.skipping.most = 4;
    std::fill(c.betas.begin(), c.betas.end(), 0.0f);
    EXPECT(SameBits(Run(path, c.p).y, exact.y), "%s: betas of 0", Name(path));
}

// Experts that every token skips are not computed: their weights may be anything.
void NotComputed(CpuPath path) {
    Random random(63);
    Case c(random, 6, 8, 5, 3, 1, 3, WeightLayout::kRows);
    std::fill(c.rows.begin(), c.rows.end(), uint8_t{1});
    std::fill(c.betas.begin(), c.betas.end(), 1.0f);
    std::fill(c.bias.begin(), c.bias.end(), 0.0f);
    // Expert 0 is the strongest of all tokens, 1 and 2 are skipped.
    for (int64_t k = 0; k < 8; k++) {
        for (int64_t t = 0; t < 6; t++) {
            c.x[static_cast<size_t>(t * 8 + k)] = 1 + std::fabs(c.x[static_cast<size_t>(t * 8 + k)]);
        }
        c.router[static_cast<size_t>(k)] = 0.5f, c.router[static_cast<size_t>(8 + k)] = 0.2f, c.router[static_cast<size_t>(16 + k)] = 0.1f;
        c.router[static_cast<size_t>(24 + k)] = -5;
    }
    Result want = Run(path, c.p);
    std::vector<float> broken = c.gate;
    std::fill(broken.begin() + 40, broken.end(), NAN);
    c.p.gate.data = broken.data();
    Result got = Run(path, c.p);
    EXPECT(SameBits(want.y, got.y) && std::none_of(got.y.begin(), got.y.end(), [](float v) { return std::isnan(v); }),
           "%s: reads a skipped expert", Name(path));
    c.skipping.most = 1;
    EXPECT(std::isnan(Run(path, c.p).y[0]), "%s: the second is not skipped", Name(path));
    // Equal weights: the higher index goes first. NaN: nothing is skipped.
    std::fill(c.router.begin(), c.router.end(), 0.0f);
    c.bias = {1, 1, 1, 0};
    got = Run(path, c.p);
    EXPECT(got.shares[0] > 0 && got.shares[1] > 0 && got.shares[2] == 0, "%s: of equal experts the last is skipped", Name(path));
    c.x[0] = NAN;
    got = Run(path, c.p);
    EXPECT(std::isnan(got.shares[0]) && std::isnan(got.shares[2]), "%s: NaN stays", Name(path));
}

void Errors() {
    Random random(64);
    Case c(random, 2, 4, 3, 3, 1, 3, WeightLayout::kRows);
    auto expect = [&](auto&& change, const char* part) {
        ExpertSkipping skipping = c.skipping;
        change(skipping);
        ExpertMixtureArguments p = c.p;
        p.skipping = &skipping;
        Result result = Run(BestCpuPath(), p);
        EXPECT_ERROR(result.status, part);
        EXPECT(std::all_of(result.y.begin(), result.y.end(), [](float v) { return v == 777; }), "%s: an error must leave y alone", part);
    };
    std::vector<float> bad = {0.5f, NAN}, negative = {-0.5f, 1};
    expect([](ExpertSkipping& s) { s.most = 3; }, "at most 3 experts are to be skipped, expected 0..2 (top_k - 1)");
    expect([](ExpertSkipping& s) { s.most = -1; }, "at most -1 experts");
    expect([](ExpertSkipping& s) { s.rows = nullptr; }, "must not be null");
    expect([](ExpertSkipping& s) { s.betas = nullptr; }, "must not be null");
    expect([&](ExpertSkipping& s) { s.betas = bad.data(); }, "beta 2 is nan, expected a share");
    expect([&](ExpertSkipping& s) { s.betas = negative.data(); }, "beta 1 is -0.5");
}

}  // namespace

int main() {
    Errors();
    std::vector<CpuPath> paths = FastPaths();
    paths.push_back(CpuPath::kReference);
    for (CpuPath path : paths) {
        NotComputed(path);
        for (WeightLayout layout : {WeightLayout::kRows, WeightLayout::kPanels}) {
            Parity(path, layout);
            Invariance(path, layout);
        }
    }
    return Report();
}
