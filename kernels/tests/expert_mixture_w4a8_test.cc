// ExpertMixture with packed 4-bit experts: the integers of every path against the specification.
#include "w4a8_mixture_case.h"

using namespace longcat;
using namespace longcat::test;

namespace {

using Sizes = MixtureSizes;
using Case = W4A8MixtureCase;

struct Result {
    std::vector<float> y, inner;
    std::vector<int32_t> selected;
};

Result Run(CpuPath path, ExpertMixtureArguments p, const ParallelFor& parallel = {}, bool choices = true) {
    Result result;
    size_t pairs = static_cast<size_t>(p.tokens * p.top_k);
    result.y.assign(static_cast<size_t>(p.tokens * p.hidden), 777);
    result.inner.assign(pairs * static_cast<size_t>(p.intermediate), 777), result.selected.assign(pairs, -7);
    p.y = result.y.data();
    if (choices) {
        p.inner = result.inner.data(), p.selected = result.selected.data();
    }
    Workspace workspace(ExpertMixtureWorkspace(p));
    Status status = ExpertMixture(path, p, workspace.get(), parallel);
    EXPECT(status.ok(), "%s", status.message);
    return result;
}

// Gate and up: the inner activations are the specification's but for the roundings of silu. Down: see FromInner.
void SameIntegers(CpuPath path) {
    Comparison comparison(Text("ExpertMixture W4A8 %s, inner", Name(path)).c_str(), 1e-6,
                          "exact products; e^x, a quotient and a product in float32");
    Random random(61);
    Threads pool(3);
    for (const Sizes& s : W4A8MixtureShapes()) {
        Case c(random, s);
        std::string what = Describe(s);
        Result want = Run(CpuPath::kReference, c.p), got = Run(path, c.p);
        EXPECT(want.selected == got.selected, "%s: choices", what.c_str());
        comparison.Add(got.inner, want.inner, what);
        EXPECT(SameBits(got.y, FromInner(c, got.inner, got.selected)), "%s: %s: y of its own inner activations", Name(path), what.c_str());
        EXPECT(SameBits(want.y, FromInner(c, want.inner, want.selected)), "%s: the specification", what.c_str());
        EXPECT(SameBits(got.y, Run(path, c.p, {}, false).y), "%s: %s: y depends on the optional outputs", Name(path), what.c_str());
        Result threads = Run(path, c.p, pool.parallel());
        EXPECT(SameBits(got.y, threads.y) && SameBits(got.inner, threads.inner), "%s: %s: three threads", Name(path), what.c_str());
    }
}

// Gates so large that silu(g) = g in float32: then nothing is left that a path could round in its own way, and all bits are the
// reference's.
void SameBitsWhereSiluIsExact(CpuPath path) {
    Random random(62);
    int cases = 0;
    for (const Sizes& s : W4A8MixtureShapes()) {
        Case c(random, s, true);
        Result want = Run(CpuPath::kReference, c.p), got = Run(path, c.p);
        EXPECT(SameBits(want.inner, got.inner), "%s: %s: inner", Name(path), Describe(s).c_str());
        EXPECT(SameBits(want.y, got.y), "%s: %s", Name(path), Describe(s).c_str());
        cases++;
    }
    std::printf("ExpertMixture W4A8 %s: %d cases with the reference's bits\n", Name(path), cases);
}

void Invariance(CpuPath path) {
    Random random(63);
    Case c(random, {230, 70, 140, 5, 2, 3, 32, 1});
    std::vector<float> whole = Run(path, c.p).y;
    for (int threads : {2, 5}) {
        Threads pool(threads);
        EXPECT(SameBits(whole, Run(path, c.p, pool.parallel()).y), "%s: %d threads", Name(path), threads);
    }
    for (int64_t step : {int64_t{1}, int64_t{3}, int64_t{17}, int64_t{113}}) {
        for (int64_t from = 0; from < c.p.tokens; from += step) {
            ExpertMixtureArguments part = c.p;
            part.tokens = std::min(step, c.p.tokens - from);
            part.x += from * c.p.hidden;
            std::vector<float> want(whole.begin() + from * c.p.hidden, whole.begin() + (from + part.tokens) * c.p.hidden);
            EXPECT(SameBits(want, Run(path, part).y), "%s: %d tokens from %d", Name(path), (int)part.tokens, (int)from);
        }
    }
}

// Where the biases force the choice: all tokens to one expert, all to the zero experts, which read no weight.
void Extremes(CpuPath path) {
    Random random(64);
    Sizes s{200, 40, 50, 4, 2, 1, 32, 1};
    Case c(random, s);
    std::fill(c.router.begin(), c.router.end(), 0.0f);
    c.bias = {0, 0, 1, 0, 0, 0};
    c.p.correction_bias = c.bias.data();
    Result got = Run(path, c.p);
    EXPECT(std::all_of(got.selected.begin(), got.selected.end(), [](int32_t e) { return e == 2; }), "%s: one expert", Name(path));
    EXPECT(SameBits(got.y, FromInner(c, got.inner, got.selected)), "%s: all tokens to one expert", Name(path));
    c.bias = {0, 0, 0, 0, 1, 0};
    c.p.correction_bias = c.bias.data();
    // Reading from here would end the process.
    c.experts.gate = c.experts.up = c.experts.down = reinterpret_cast<const uint8_t*>(64);
    c.experts.gate_scale = c.experts.up_scale = c.experts.down_scale = reinterpret_cast<const float*>(64);
    got = Run(path, c.p);
    for (size_t i = 0; i < got.y.size(); i++) {
        EXPECT(got.y[i] == 0.25f * c.x[i], "%s: %g, expected %g", Name(path), got.y[i], 0.25f * c.x[i]);
    }
    EXPECT(std::all_of(got.inner.begin(), got.inner.end(), [](float value) { return value == 0; }), "%s: zero experts make nothing",
           Name(path));
}

// NaN and infinities stay with their token; a token of zeros gives zeros.
void BadTokens(CpuPath path) {
    Random random(65);
    Case c(random, {40, 70, 80, 3, 0, 3, 32, 1});
    std::vector<float> clean = Run(path, c.p).y;
    c.x[5 * 70 + 69] = NAN, c.x[9 * 70] = INFINITY, c.x[39 * 70 + 3] = -INFINITY;
    std::fill(c.x.begin() + 20 * 70, c.x.begin() + 21 * 70, 0.0f);
    std::vector<float> got = Run(path, c.p).y;
    for (int64_t t = 0; t < 40; t++) {
        bool bad = t == 5 || t == 9 || t == 39;
        for (int64_t h = t * 70; h < (t + 1) * 70; h++) {
            float y = got[static_cast<size_t>(h)];
            bool right = bad ? std::isnan(y) : t == 20 ? y == 0 : y == clean[static_cast<size_t>(h)];
            EXPECT(right, "%s: token %d gives %g", Name(path), (int)t, y);
        }
    }
}

// Activations are integers: x within half a step of another gives the same y, which no float product would.
void ActivationsAreBytes(CpuPath path) {
    Random random(66);
    Case c(random, {6, 128, 64, 2, 0, 2, 128, 1});
    std::fill(c.router.begin(), c.router.end(), 0.0f);
    for (float& x : c.x) {
        x = static_cast<float>(random.Between(-126, 126));
    }
    for (size_t t = 0; t < 6; t++) {
        c.x[t * 128] = 127;
    }
    std::vector<float> whole = Run(path, c.p).y;
    for (size_t i = 0; i < c.x.size(); i++) {
        c.x[i] += i % 128 == 0 ? 0 : 0.45f * random.Unit();
    }
    EXPECT(SameBits(whole, Run(path, c.p).y), "%s: activations are not rounded to 8 bits", Name(path));
}

// Low-rank adapters: tokens without one keep their bits, the others are changed, the same alone as in a batch and on any number of threads.
// Against the specification an inner activation on the edge between two integers may be rounded to the other.
void Adapters(CpuPath path) {
    Comparison comparison(Text("ExpertMixture W4A8 %s, adapters", Name(path)).c_str(), 0.02, "inner activations on an edge differ by one step of 127");
    Random random(81);
    for (Sizes s : {Sizes{1, 64, 64, 4, 2, 3, 32, 1}, Sizes{3, 33, 17, 5, 0, 3, 0, 0}, Sizes{110, 130, 70, 3, 1, 2, 64, 1}}) {
        Case c(random, s);
        Result plain = Run(path, c.p);
        ExpertAdapters adapters;
        std::vector<int32_t> rows, start = {0, 5, 5, 25};
        std::vector<float> a[3], b[3];
        ExpertLowRank* all[] = {&adapters.gate, &adapters.up, &adapters.down};
        for (int i = 0; i < 3; i++) {
            int64_t k = i < 2 ? s.hidden : s.intermediate, n = i < 2 ? s.intermediate : s.hidden;
            a[i] = random.Floats(s.experts * k * 25, 1 / std::sqrt(static_cast<float>(k))), b[i] = random.Floats(s.experts * 25 * n, 0.2f);
            all[i]->ranks = 25, all[i]->a = a[i].data(), all[i]->b = b[i].data(), all[i]->start = start.data();
        }
        for (int64_t t = 0; t < s.tokens; t++) {
            rows.push_back(s.tokens == 1 ? 2 : static_cast<int32_t>(random.Between(-1, 2)));
        }
        adapters.count = 3, adapters.row_adapter = rows.data(), c.p.adapters = &adapters;
        Result whole = Run(path, c.p), want = Run(CpuPath::kReference, c.p);
        comparison.Add(whole.y, want.y, Describe(s));
        comparison.Add(whole.inner, want.inner, Describe(s));
        Threads pool(3);
        EXPECT(SameBits(whole.y, Run(path, c.p, pool.parallel()).y), "%s: threads", Name(path));
        for (int64_t t = 0; t < s.tokens; t++) {
            auto row = [&](const Result& of) { return std::vector<float>(of.y.begin() + t * s.hidden, of.y.begin() + (t + 1) * s.hidden); };
            bool none = rows[static_cast<size_t>(t)] < 0 || rows[static_cast<size_t>(t)] == 1;  // the second has no ranks
            EXPECT(!none || SameBits(row(whole), row(plain)), "%s: token %d has no adapter", Name(path), (int)t);
            ExpertMixtureArguments one = c.p;
            ExpertAdapters own = adapters;
            one.tokens = 1, one.x += t * s.hidden, own.row_adapter += t, one.adapters = &own;
            EXPECT(SameBits(row(whole), Run(path, one).y), "%s: token %d alone", Name(path), (int)t);
        }
        EXPECT(!SameBits(whole.y, plain.y), "%s: the adapters change nothing", Name(path));
    }
}

void Errors() {
    auto expect = [&](auto&& change, const char* part) {
        Random random(67);
        Case c(random, {2, 64, 40, 3, 1, 2, 32, 1});
        change(c.p, c.experts);
        EXPECT_ERROR(ExpertMixture(CpuPath::kReference, c.p, nullptr, {}), part);
        EXPECT(ExpertMixtureWorkspace(c.p) == 0, "bad sizes need no workspace");
    };
    expect([](ExpertMixtureArguments&, W4A8Experts& w) { w.group = 20; }, "group_size is 20, expected a multiple of 8");
    expect([](ExpertMixtureArguments&, W4A8Experts& w) { w.group = -8; }, "group_size is -8");
    expect([](ExpertMixtureArguments&, W4A8Experts& w) { w.group_scale_bytes = 3; }, "group_scale_bytes is 3");
    expect([](ExpertMixtureArguments&, W4A8Experts& w) { w.group_scale_bytes = 0; }, "group_size is 32 without group scales");
    expect([](ExpertMixtureArguments&, W4A8Experts& w) { w.down_scale = nullptr; }, "must not be null");
    expect([](ExpertMixtureArguments& p, W4A8Experts&) { p.hidden = int64_t{1} << 40; }, "hidden 1099511627776");
    expect([](ExpertMixtureArguments& p, W4A8Experts&) { p.top_k = 5; }, "top_k is 5, expected 1..4");
}

}  // namespace

int main() {
    Errors();
    Extremes(CpuPath::kReference);
    BadTokens(CpuPath::kReference);
    ActivationsAreBytes(CpuPath::kReference);
    for (CpuPath path : FastPaths()) {
        Adapters(path);
        SameIntegers(path);
        SameBitsWhereSiluIsExact(path);
        Invariance(path);
        Extremes(path);
        BadTokens(path);
        ActivationsAreBytes(path);
    }
    return Report();
}
