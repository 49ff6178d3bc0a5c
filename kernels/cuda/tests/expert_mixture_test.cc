// ExpertMixture of the device against the CPU's reference.
#include "longcat/cuda/expert_mixture.h"

#include "../../tests/w4a8_mixture_case.h"
#include "device_memory.h"
#include "relative_error.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;
using longcat::cuda::test::RelativeError;

namespace {

struct Result {
    std::vector<float> y, inner, shares;
    std::vector<int32_t> selected;
};

bool Same(const Result& a, const Result& b) { return SameBits(a.y, b.y) && SameBits(a.inner, b.inner) && SameBits(a.shares, b.shares) && a.selected == b.selected; }

// Tokens `from` and the `count` after it.
Result Rows(const Result& whole, const ExpertMixtureArguments& p, int64_t from, int64_t count) {
    auto part = [&](const auto& values, int64_t width) {
        return std::remove_cvref_t<decltype(values)>(values.begin() + from * width, values.begin() + (from + count) * width);
    };
    return {part(whole.y, p.hidden), part(whole.inner, p.top_k * p.intermediate), part(whole.shares, p.top_k), part(whole.selected, p.top_k)};
}

// Places for the outputs; a pointer that the arguments leave out is not asked for.
void Want(ExpertMixtureArguments p, Result* result) {
    const size_t slots = static_cast<size_t>(p.tokens * p.top_k);
    result->y.assign(static_cast<size_t>(p.tokens * p.hidden), 777), result->shares.assign(slots, 777), result->selected.assign(slots, -7);
    result->inner.assign(slots * static_cast<size_t>(p.intermediate), 777);
    p.y = result->y.data(), p.inner = result->inner.data(), p.shares = result->shares.data(), p.selected = result->selected.data();
    Workspace workspace(ExpertMixtureWorkspace(p));
    Status status = ExpertMixture(CpuPath::kReference, p, workspace.get(), {});
    EXPECT(status.ok(), "%s", status.message);
}
Result Want(const ExpertMixtureArguments& p) {
    Result result;
    Want(p, &result);
    return result;
}

// A copy of host memory on the device, or nothing.
template <class T>
struct Copy {
    Array<T> array;
    bool there;
    Copy(const T* from, int64_t count)
        : array(from == nullptr ? std::vector<T>{} : std::vector<T>(from, from + count)), there(from != nullptr) {}
    T* get() { return there ? array.get() : nullptr; }
};

int64_t StackBytes(const ExpertMixtureArguments& p, bool down) {
    return p.w4a8 != nullptr ? p.experts * W4A8PackedBytes(down ? DownLayout(p) : GateLayout(p)) : p.experts * p.hidden * p.intermediate * 2;
}

Result Got(const Execution& execution, ExpertMixtureArguments p, bool choices = true) {
    const int64_t all = p.experts + p.zero_experts, slots = p.tokens * p.top_k;
    auto bytes = [](const void* from) { return static_cast<const uint8_t*>(from); };
    const void* stacks[] = {p.gate.data, p.up.data, p.down.data};
    W4A8Experts experts;
    if (p.w4a8 != nullptr) {
        experts = *p.w4a8, stacks[0] = experts.gate, stacks[1] = experts.up, stacks[2] = experts.down;
    }
    Copy<float> x(p.x, p.tokens * p.hidden), router(p.router, all * p.hidden), bias(p.correction_bias, all);
    Copy<uint8_t> gate(bytes(stacks[0]), StackBytes(p, false)), up(bytes(stacks[1]), StackBytes(p, false)), down(bytes(stacks[2]), StackBytes(p, true));
    Copy<float> gate_scale(experts.gate_scale, p.experts * p.intermediate), up_scale(experts.up_scale, p.experts * p.intermediate),
        down_scale(experts.down_scale, p.experts * p.hidden);
    ExpertSkipping skipping;
    if (p.skipping != nullptr) {
        skipping = *p.skipping;
    }
    Copy<uint8_t> marks(skipping.rows, p.tokens);
    Copy<float> betas(skipping.betas, p.top_k - 1);
    Array<float> y(static_cast<size_t>(p.tokens * p.hidden)), inner(static_cast<size_t>(slots * p.intermediate)), shares(static_cast<size_t>(slots));
    Array<int32_t> selected(static_cast<size_t>(slots));
    p.x = x.get(), p.router = router.get(), p.correction_bias = bias.get(), p.y = y.get();
    p.gate.data = gate.get(), p.up.data = up.get(), p.down.data = down.get();
    if (p.w4a8 != nullptr) {
        experts.gate = gate.get(), experts.up = up.get(), experts.down = down.get();
        experts.gate_scale = gate_scale.get(), experts.up_scale = up_scale.get(), experts.down_scale = down_scale.get(), p.w4a8 = &experts;
    }
    if (p.skipping != nullptr) {
        skipping.rows = marks.get(), skipping.betas = betas.get(), p.skipping = &skipping;
    }
    if (choices) {
        p.inner = inner.get(), p.shares = shares.get(), p.selected = selected.get();
    }
    Array<uint8_t> workspace(cuda::ExpertMixtureWorkspace(execution.device, p));
    Status status = cuda::ExpertMixture(execution, p, workspace.get());
    EXPECT(status.ok(), "%s", status.message);
    return {y.Values(), inner.Values(), shares.Values(), selected.Values()};
}

// Experts of bfloat16.
struct FloatCase {
    ExpertMixtureArguments p;
    std::vector<float> x, router, bias;
    Tensor gate, up, down;

    FloatCase(Random& random, const MixtureSizes& s)
        : x(random.Floats(s.tokens * s.hidden)),
          router(random.Floats((s.experts + s.zero) * s.hidden, 3 / std::sqrt(static_cast<float>(s.hidden)))),
          bias(random.Floats(s.experts + s.zero, 0.05f)),
          gate(WeightType::kBFloat16, random.Floats(s.experts * s.intermediate * s.hidden, 2 / std::sqrt(static_cast<float>(s.hidden)))),
          up(WeightType::kBFloat16, random.Floats(s.experts * s.intermediate * s.hidden, 2 / std::sqrt(static_cast<float>(s.hidden)))),
          down(WeightType::kBFloat16, random.Floats(s.experts * s.intermediate * s.hidden, 2 / std::sqrt(static_cast<float>(s.intermediate)))) {
        p.tokens = s.tokens, p.hidden = s.hidden, p.intermediate = s.intermediate, p.experts = s.experts, p.zero_experts = s.zero, p.top_k = s.top_k;
        p.routed_scaling_factor = 1.5f;
        p.x = x.data(), p.router = router.data(), p.correction_bias = bias.data();
        p.gate = gate.weights(), p.up = up.weights(), p.down = down.weights();
    }
    FloatCase(const FloatCase&) = delete;
};

void SameChoices(const Result& got, const Result& want, const std::string& what) {
    EXPECT(got.selected == want.selected, "%s: choices", what.c_str());
    for (size_t i = 0; i < want.shares.size(); i++) {
        double difference = std::fabs(static_cast<double>(got.shares[i]) - want.shares[i]);
        EXPECT(difference <= 1e-6 * std::fabs(static_cast<double>(want.shares[i])), "%s: share %d is %.9g, expected %.9g", what.c_str(), (int)i, got.shares[i],
               want.shares[i]);
    }
}

// 4 bits. Gate and up are exact but for e^x; y is what the reference makes of the device's own inner activations, whose integers are exact again. Against the
// reference's own y an inner activation may have been rounded to the integer beside.
void Integers(const Execution& execution) {
    Comparison inner("ExpertMixture W4A8, inner", 4e-6, "exact products; e^x to two units of the last place and of its argument");
    Comparison own("ExpertMixture W4A8, y of its inner", 2e-6, "exact products; weights of the mixture within an ulp or two");
    RelativeError whole("ExpertMixture W4A8, y", 2e-3, 3e-2, "inner activations on an edge differ by one step of 127");
    Random random(71);
    for (const MixtureSizes& s : W4A8MixtureShapes()) {
        if (!Swept()) {
            continue;
        }
        W4A8MixtureCase c(random, s);
        const std::string what = Describe(s);
        Result want = Want(c.p), got = Got(execution, c.p);
        SameChoices(got, want, what);
        inner.Add(got.inner, want.inner, what);
        own.Add(got.y, FromInner(c, got.inner, got.selected), what);
        whole.Add(got.y, want.y, what);
        EXPECT(SameBits(got.y, Got(execution, c.p, false).y), "%s: y depends on the optional outputs", what.c_str());
    }
}

const std::vector<MixtureSizes>& FloatShapes() {
    static const std::vector<MixtureSizes> shapes = {{1, 8, 8, 1, 0, 1, 0, 0},     {1, 64, 136, 4, 2, 3, 0, 0}, {3, 72, 40, 5, 0, 3, 0, 0},   {6, 136, 72, 8, 4, 12, 0, 0},
                                                     {70, 48, 104, 6, 3, 5, 0, 0}, {40, 264, 64, 1, 0, 1, 0, 0}, {7, 200, 16, 37, 3, 12, 0, 0}, {33, 16, 8, 2, 2, 1, 0, 0}};
    return shapes;
}

void BFloat16(const Execution& execution) {
    RelativeError inner("ExpertMixture bfloat16, inner", 4e-3, 0.1, "x rounded to 8 bits; a product of two sums is now and then ten times its usual size, and so is its error");
    RelativeError whole("ExpertMixture bfloat16, y", 6e-3, 5e-2, "x and inner activations rounded to 8 bits");
    Random random(72);
    for (const MixtureSizes& s : FloatShapes()) {
        for (bool normalize : {false, true}) {
            if (!Swept()) {
                continue;
            }
            FloatCase c(random, s);
            c.p.normalize = normalize, c.p.identity = !normalize;
            if (normalize) {
                c.p.correction_bias = nullptr;
            }
            Result want = Want(c.p), got = Got(execution, c.p);
            SameChoices(got, want, Describe(s));
            inner.Add(got.inner, want.inner, Describe(s)), whole.Add(got.y, want.y, Describe(s));
        }
    }
}

// A token alone, in small steps and in a large one, where other kernels run: the same bits. Blocks and threads in any order: the same bits.
template <class Case>
void Company(const Execution& execution, const MixtureSizes& s, std::initializer_list<int64_t> steps) {
    Random random(73);
    Case c(random, s);
    const Result whole = Got(execution, c.p);
    for (int64_t step : steps) {
        for (int64_t from = 0; from < s.tokens; from += step * 5) {  // some of them
            ExpertMixtureArguments part = c.p;
            part.tokens = std::min(step, s.tokens - from), part.x += from * s.hidden;
            EXPECT(Same(Rows(whole, c.p, from, part.tokens), Got(execution, part)), "%s: %d tokens from %d", Describe(s).c_str(), (int)part.tokens, (int)from);
        }
    }
    cuda::test::InEveryOrder([&](int order) { EXPECT(Same(whole, Got(execution, c.p)), "%s: order %d", Describe(s).c_str(), order); });
}

// Experts so near to each other that float32 sums would order them by their rounding: the choice is the reference's, of sums in double.
void NearTies(const Execution& execution) {
    Random random(74);
    int different = 0;
    for (int64_t hidden : {16, 100, 1111}) {
        W4A8Experts none;
        ExpertMixtureArguments p;
        p.tokens = 40, p.hidden = hidden, p.intermediate = 1, p.zero_experts = 48, p.top_k = 5, p.w4a8 = &none;
        std::vector<float> x = random.Floats(40 * hidden, 3), router = random.Floats(48 * hidden);
        for (int e = 8; e < 48; e++) {  // eight rows, and others that differ from them in two or three last places
            for (int64_t k = 0; k < hidden; k++) {
                router[static_cast<size_t>(e * hidden + k)] = router[static_cast<size_t>(e % 8 * hidden + k)];
            }
            for (int i = 0; i < 3; i++) {
                float& weight = router[static_cast<size_t>(e * hidden + random.Below(hidden))];
                weight = std::nextafter(weight, random.Below(2) == 0 ? 2.0f : -2.0f);
            }
        }
        p.x = x.data(), p.router = router.data();
        Result want = Want(p), got = Got(execution, p);
        EXPECT(got.selected == want.selected, "choices with hidden %d", (int)hidden);
        for (int64_t t = 0; t < 40; t++) {  // what float32 sums would choose
            std::vector<std::pair<float, int>> sums;
            for (int e = 0; e < 48; e++) {
                float sum = 0;
                for (int64_t k = 0; k < hidden; k++) {
                    sum = std::fma(x[static_cast<size_t>(t * hidden + k)], router[static_cast<size_t>(e * hidden + k)], sum);
                }
                sums.emplace_back(-sum, e);
            }
            std::sort(sums.begin(), sums.end());
            std::vector<int32_t> chosen;
            for (int i = 0; i < 5; i++) {
                chosen.push_back(sums[static_cast<size_t>(i)].second);
            }
            std::sort(chosen.begin(), chosen.end());
            different += !std::equal(chosen.begin(), chosen.end(), want.selected.begin() + t * 5);
        }
    }
    EXPECT(different > 10, "float32 sums choose otherwise for %d tokens only: this test would prove little", different);
}

// Marked tokens leave out what the reference leaves out; with a divisor of those that are left.
void Skipping(const Execution& execution) {
    RelativeError whole("ExpertMixture, skipped experts", 6e-3, 5e-2, "x and inner activations rounded to 8 bits");
    Random random(75);
    size_t skipped = 0;
    for (bool normalize : {false, true}) {
        FloatCase c(random, {50, 64, 24, 9, 3, 6, 0, 0});
        c.p.normalize = normalize;
        std::vector<uint8_t> marks;
        for (int t = 0; t < 50; t++) {
            marks.push_back(static_cast<uint8_t>(t % 3 != 0));
        }
        ExpertSkipping skipping;
        const std::vector<float> betas = {0.12f, 0.25f, 0.3f, 0.5f, 0.6f};
        skipping.rows = marks.data(), skipping.most = 4, skipping.betas = betas.data();
        c.p.skipping = &skipping;
        Result want = Want(c.p), got = Got(execution, c.p);
        SameChoices(got, want, "skipping");
        whole.Add(got.y, want.y, "skipping");
        for (size_t i = 0; i < want.shares.size(); i++) {
            skipped += want.shares[i] == 0 && want.selected[i] < 9;
            EXPECT((want.shares[i] == 0) == (got.shares[i] == 0), "share %d", (int)i);
        }
        // No mark: as without the inputs.
        std::vector<uint8_t> none(50, 0);
        skipping.rows = none.data();
        Result unmarked = Got(execution, c.p);
        c.p.skipping = nullptr;
        EXPECT(Same(unmarked, Got(execution, c.p)), "tokens without a mark");
    }
    EXPECT(skipped > 40, "%d experts skipped: this test would prove little", (int)skipped);
}

// What no token chose is not read: its weights are no numbers. A token that is no number leaves the others alone.
void Alone(const Execution& execution) {
    Random random(76);
    FloatCase c(random, {20, 64, 40, 5, 3, 2, 0, 0});
    for (int e : {0, 2}) {
        c.bias[static_cast<size_t>(e)] = -9;
    }
    const Result whole = Got(execution, c.p);
    std::vector<uint16_t> poisoned(static_cast<const uint16_t*>(c.p.gate.data), static_cast<const uint16_t*>(c.p.gate.data) + 5 * 64 * 40);
    for (int e : {0, 2}) {
        std::fill(poisoned.begin() + e * 64 * 40, poisoned.begin() + (e + 1) * 64 * 40, uint16_t{0x7fff});
    }
    c.p.gate.data = poisoned.data();
    EXPECT(Same(whole, Got(execution, c.p)), "experts that nobody chose");
    c.x[3 * 64 + 5] = NAN;
    Result with = Got(execution, c.p);
    for (int64_t t = 0; t < 20; t++) {
        const bool numbers = std::isfinite(with.y[static_cast<size_t>(t * 64)]);
        EXPECT(numbers == (t != 3), "token %d", (int)t);
        EXPECT(t == 3 || SameBits(Rows(whole, c.p, t, 1).y, Rows(with, c.p, t, 1).y), "token %d beside one that is no number", (int)t);
    }
    // All to the zero experts: weight times x, and no tile at all.
    W4A8MixtureCase zero(random, {40, 24, 16, 2, 2, 2, 8, 1});
    zero.bias = {-9, -9, 9, 9};
    Result want = Want(zero.p), got = Got(execution, zero.p);
    Comparison("ExpertMixture, zero experts alone", 1e-6, "weights of the mixture within an ulp or two").Add(got.y, want.y, "zero experts");
}

void Errors(const Execution& execution) {
    alignas(16) static uint8_t memory[16] = {};
    static float number[64] = {};
    auto expect = [&](auto&& change, const char* part) {
        ExpertMixtureArguments p;
        p.tokens = 2, p.hidden = 8, p.intermediate = 8, p.experts = 2, p.zero_experts = 1, p.top_k = 2;
        p.x = p.router = number, p.y = number;
        p.gate = p.up = p.down = {memory, WeightType::kBFloat16, WeightLayout::kRows};
        change(p);
        EXPECT_ERROR(cuda::ExpertMixture(execution, p, nullptr), part);
        EXPECT(std::strstr(part, "lies at") != nullptr || std::strstr(part, "null") != nullptr || cuda::ExpertMixtureWorkspace(execution.device, p) == 0,
               "a workspace for %s", part);
    };
    static W4A8Experts packed;
    static const ExpertAdapters adapters;
    static ExpertSkipping skipping;
    packed.group = 12, packed.group_scale_bytes = 1;
    skipping.most = 1;
    expect([](ExpertMixtureArguments& p) { p.top_k = 4; }, "top_k is 4, expected 1..3");
    expect([](ExpertMixtureArguments& p) { p.zero_experts = 4096; }, "2 experts and 4096 zero experts, expected at most 4096 together on a GPU");
    expect([](ExpertMixtureArguments& p) { p.hidden = 1 << 25; }, "hidden 33554432");
    expect([](ExpertMixtureArguments& p) { p.adapters = &adapters; }, "adapters of experts: not on a GPU");
    expect([](ExpertMixtureArguments& p) { p.w4a8 = &packed; }, "group_size is 12");
    expect([](ExpertMixtureArguments& p) { p.gate.type = p.up.type = p.down.type = WeightType::kFloat32; }, "the experts are float32 in rows, expected bfloat16 in rows, or 4 bits");
    expect([](ExpertMixtureArguments& p) { p.gate.layout = p.up.layout = p.down.layout = WeightLayout::kPanels; }, "bfloat16 in panels");
    expect([](ExpertMixtureArguments& p) { p.intermediate = 12; }, "intermediate 12: expected multiples of 8");
    expect([](ExpertMixtureArguments& p) { p.up.data = memory + 2; }, "up lies at");
    expect([](ExpertMixtureArguments& p) { p.down.data = nullptr; }, "down lies at");
    expect([](ExpertMixtureArguments& p) { p.router = nullptr; }, "x, router and y must not be null");
    expect([](ExpertMixtureArguments& p) { p.skipping = &skipping; }, "the marks of rows and the betas must not be null");
    ExpertMixtureArguments nothing;
    nothing.hidden = nothing.intermediate = 8, nothing.experts = nothing.top_k = 1;
    nothing.gate.type = nothing.up.type = nothing.down.type = WeightType::kBFloat16;
    EXPECT(cuda::ExpertMixture(execution, nothing, nullptr).ok(), "no tokens");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Integers(execution);
    BFloat16(execution);
    Company<W4A8MixtureCase>(execution, {150, 72, 80, 3, 1, 2, 64, 1}, {1, 7, 33, 100});
    Company<W4A8MixtureCase>(execution, {34, 40, 24, 3, 1, 2, 24, 2}, {1, 20});
    Company<FloatCase>(execution, {70, 72, 80, 3, 1, 2, 0, 0}, {1, 7, 40});
    NearTies(execution);
    Skipping(execution);
    Alone(execution);
    return Report();
}
