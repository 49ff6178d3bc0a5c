// QuantizeRows of the device against the CPU's reference, bit for bit; the other two within what their headers say.
#include "longcat/cuda/quantize_rows.h"

#include <algorithm>

#include "../../tests/harness.h"
#include "device_memory.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;

namespace {

enum class Kind { kPlain, kNorm, kSilu };

struct Case {
    Kind kind;
    int64_t m, k, group;
    float static_scale = 0;
    bool sums = true, skip = false, values = false, in_place = false;
    std::vector<float> x, second, weight;
};

struct Result {
    std::vector<int8_t> a;
    std::vector<float> scale, value, sum;
    std::vector<int32_t> sums;
};

int64_t Groups(const Case& c) { return c.k == 0 ? 0 : (c.k + c.group - 1) / c.group; }

// The same arguments for both sides; Get gives an array's address.
template <class Bytes, class Floats, class Integers, class Call>
void WithArguments(const Case& c, Bytes& a, Floats& scale, Floats& value, Floats& sum, Integers& sums, Floats& x, Floats& second, Floats& weight, Call&& call) {
    QuantizedRows rows{c.m, c.k, c.group, c.static_scale, a, scale, c.sums ? sums : nullptr};
    RmsNormQuantizeArguments norm;
    norm.rows = rows, norm.epsilon = 1e-5f, norm.x = x, norm.skip = c.skip ? second : nullptr, norm.weight = weight;
    norm.normed = c.values ? value : nullptr, norm.sum = c.values ? (c.in_place ? x : sum) : nullptr;
    QuantizeRowsArguments plain;
    plain.rows = rows, plain.x = x;
    SiluMulQuantizeArguments silu;
    silu.rows = rows, silu.gate = x, silu.up = second, silu.value = c.values ? value : nullptr;
    call(plain, norm, silu);
}

Result Want(const Case& c) {
    Result r;
    size_t cells = static_cast<size_t>(c.m * c.k);
    r.a.assign(cells, 99), r.scale.assign(static_cast<size_t>(c.m), -1), r.value.assign(cells, -1), r.sum.assign(cells, -1);
    r.sums.assign(static_cast<size_t>(c.m * Groups(c)), -1);
    std::vector<float> x = c.x, second = c.second, weight = c.weight;
    int8_t* a = r.a.data();
    float *scale = r.scale.data(), *value = r.value.data(), *sum = r.sum.data(), *px = x.data(), *ps = second.data(), *pw = weight.data();
    int32_t* sums = r.sums.data();
    WithArguments(c, a, scale, value, sum, sums, px, ps, pw, [&](auto& plain, auto& norm, auto& silu) {
        Workspace workspace(QuantizeWorkspace(plain.rows));
        Status status = c.kind == Kind::kPlain  ? QuantizeRows(CpuPath::kReference, plain, {})
                        : c.kind == Kind::kNorm ? RmsNormQuantize(CpuPath::kReference, norm, workspace.get(), {})
                                                : SiluMulQuantize(CpuPath::kReference, silu, workspace.get(), {});
        EXPECT(status.ok(), "%s", status.message);
    });
    if (c.in_place) {
        r.sum = x;
    }
    return r;
}

Result Got(const Execution& execution, const Case& c) {
    size_t cells = static_cast<size_t>(c.m * c.k);
    Array<int8_t> da(cells);
    Array<float> dscale(static_cast<size_t>(c.m)), dvalue(cells), dsum(cells), dx(c.x), dsecond(c.second), dweight(c.weight);
    Array<int32_t> dsums(static_cast<size_t>(c.m * Groups(c)));
    int8_t* a = da.get();
    float *scale = dscale.get(), *value = dvalue.get(), *sum = dsum.get(), *x = dx.get(), *second = dsecond.get(), *weight = dweight.get();
    int32_t* sums = dsums.get();
    WithArguments(c, a, scale, value, sum, sums, x, second, weight, [&](auto& plain, auto& norm, auto& silu) {
        Status status = c.kind == Kind::kPlain  ? QuantizeRows(execution, plain)
                        : c.kind == Kind::kNorm ? RmsNormQuantize(execution, norm)
                                                : SiluMulQuantize(execution, silu);
        EXPECT(status.ok(), "%s", status.message);
    });
    return {da.Values(), dscale.Values(), dvalue.Values(), c.in_place ? dx.Values() : dsum.Values(), dsums.Values()};
}

bool Close(float got, float want, double tolerance) {
    return std::isnan(want) ? std::isnan(got) : got == want || std::fabs(static_cast<double>(got) - want) <= tolerance * (1e-30 + std::fabs(static_cast<double>(want)));
}

size_t compared = 0, off_by_one = 0;

void Compare(const Execution& execution, const Case& c, const std::string& what) {
    Result want = Want(c), got = Got(execution, c);
    // Rounding once in float32 and 2^x: a few units of the last place of 2^-24, of the sigmoid's argument up to 2^5 times as much.
    double tolerance = c.kind == Kind::kPlain ? 0 : c.kind == Kind::kNorm ? 1e-6 : 1e-5;
    for (size_t i = 0; i < want.scale.size(); i++) {
        EXPECT(Close(got.scale[i], want.scale[i], tolerance), "%s: scale[%zu] is %g, expected %g", what.c_str(), i, got.scale[i], want.scale[i]);
    }
    bool fine = true;
    for (size_t i = 0; i < want.a.size() && fine; i++) {
        int difference = std::abs(got.a[i] - want.a[i]);
        compared++, off_by_one += difference == 1;
        fine = difference <= (c.kind == Kind::kPlain ? 0 : 1);
        EXPECT(fine, "%s: a[%zu] is %d, expected %d", what.c_str(), i, got.a[i], want.a[i]);
        if (c.values && c.kind != Kind::kPlain) {
            fine = fine && Close(got.value[i], want.value[i], tolerance);
            EXPECT(fine, "%s: value[%zu] is %.9g, expected %.9g", what.c_str(), i, got.value[i], want.value[i]);
        }
        if (c.values && c.kind == Kind::kNorm) {
            fine = fine && Close(got.sum[i], want.sum[i], 0);
            EXPECT(fine, "%s: sum[%zu] is %.9g, expected %.9g", what.c_str(), i, got.sum[i], want.sum[i]);
        }
    }
    // The sums are those of the integers that came.
    for (int64_t row = 0; row < c.m && c.sums; row++) {
        for (int64_t g = 0; g < Groups(c); g++) {
            int32_t sum = 0;
            for (int64_t i = g * c.group; i < std::min(c.k, (g + 1) * c.group); i++) {
                sum += got.a[static_cast<size_t>(row * c.k + i)];
            }
            int32_t has = got.sums[static_cast<size_t>(row * Groups(c) + g)];
            EXPECT(has == sum, "%s: sums[%d, %d] is %d, expected %d", what.c_str(), (int)row, (int)g, has, sum);
        }
    }
}

void Cases(const Execution& execution) {
    Random random(71);
    for (Kind kind : {Kind::kPlain, Kind::kNorm, Kind::kSilu}) {
        for (auto [m, k, group] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 8}, {3, 128, 128}, {2, 333, 64}, {1, 4096, 128}, {2, 2049, 4096}, {1, 3000, 1000},
                                   {4, 4, 4}, {2, 72, 24}, {3, 264, 8}, {1, 5000, 256}, {2, 1024, 512}, {2, 0, 8}, {0, 64, 32}, {1, 2500, 32}}) {
            for (int variant = 0; variant < 4; variant++) {
                if (!Swept()) {
                    continue;
                }
                Case c{kind, m, k, group, variant == 1 ? 0.03f : 0, variant != 2, variant % 2 == 1, variant >= 1, variant == 3 && kind == Kind::kNorm, {}, {}, {}};
                c.x = random.Floats(m * k, 4), c.second = random.Floats(m * k, 2), c.weight = random.Floats(k);
                if (variant == 2 && m > 1 && k > 0) {
                    std::fill(c.x.begin(), c.x.begin() + k, 0.0f);
                    c.x[static_cast<size_t>(k)] = kind == Kind::kSilu ? __builtin_nanf("") : __builtin_inff();
                }
                Compare(execution, c, Text("kind %d, m %d, k %d, group %d, variant %d", (int)kind, (int)m, (int)k, (int)group, variant));
            }
        }
    }
    std::printf("quantized rows: %zu integers, %zu of them the other of two neighbours\n", compared, off_by_one);
    EXPECT(off_by_one * 1000 < compared, "%zu of %zu integers differ", off_by_one, compared);
}

void Orders(const Execution& execution) {
    Random random(72);
    Case c{Kind::kNorm, 2, 2500, 1000, 0, true, true, true, true, {}, {}, {}};
    c.x = random.Floats(5000, 4), c.second = random.Floats(5000, 2), c.weight = random.Floats(2500);
    Result first = Got(execution, c);
    cuda::test::InEveryOrder([&](int order) {
        Result again = Got(execution, c);
        EXPECT(first.a == again.a && first.sums == again.sums && SameBits(first.value, again.value) && SameBits(first.sum, again.sum), "order %d", order);
    });
}

void Errors(const Execution& execution) {
    static float number[16] = {};
    static int8_t byte[16] = {};
    auto expect = [&](auto&& change, const char* part) {
        RmsNormQuantizeArguments p;
        p.rows = {1, 16, 8, 0, byte, number, nullptr}, p.x = number, p.weight = number;
        change(p);
        EXPECT_ERROR(RmsNormQuantize(execution, p), part);
    };
    expect([](auto& p) { p.rows.group = 12; }, "group is 12, expected a multiple of 8");
    expect([](auto& p) { p.rows.m = -1; }, "-1 rows");
    expect([](auto& p) { p.rows.static_scale = -2; }, "static scale is -2");
    expect([](auto& p) { p.epsilon = -1; }, "epsilon is -1");
    expect([](auto& p) { p.weight = nullptr; }, "must not be null");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Cases(execution);
    Orders(execution);
    return Report();
}
