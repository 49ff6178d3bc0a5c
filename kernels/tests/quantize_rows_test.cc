#include "longcat/quantize_rows.h"

#include <algorithm>
#include <new>

#include "harness.h"
#include "longcat/w4a8_matmul.h"

using namespace longcat;
using namespace longcat::test;

namespace {

// What was written, in memory of exactly the contract's size.
struct Result {
    std::vector<int8_t> a;
    std::vector<float> scale, normed, sum;
    std::vector<int32_t> sums;

    QuantizedRows Bind(QuantizedRows rows, bool with_sums = true) {
        a.assign(static_cast<size_t>(rows.m * rows.k), 99);
        scale.assign(static_cast<size_t>(rows.m), 99);
        sums.assign(static_cast<size_t>(rows.m * ((rows.k + rows.group - 1) / rows.group)), 99);
        rows.a = a.data(), rows.scale = scale.data(), rows.sums = with_sums ? sums.data() : nullptr;
        return rows;
    }
    bool Same(const Result& other) const {
        return a == other.a && SameBits(scale, other.scale) && sums == other.sums && SameBits(normed, other.normed) &&
               SameBits(sum, other.sum);
    }
};

struct Scratch {
    explicit Scratch(size_t bytes) : memory(static_cast<char*>(::operator new (bytes, std::align_val_t{64}))) {
        std::memset(memory, 0xff, bytes);
    }
    ~Scratch() { ::operator delete (memory, std::align_val_t{64}); }
    char* memory;
};

QuantizedRows Rows(int64_t m, int64_t k, int64_t group, float static_scale = 0) {
    QuantizedRows rows;
    rows.m = m, rows.k = k, rows.group = group, rows.static_scale = static_scale;
    return rows;
}

Result Quantize(CpuPath path, QuantizedRows rows, const std::vector<float>& x, const ParallelFor& parallel = {}) {
    Result r;
    Status status = QuantizeRows(path, {r.Bind(rows), x.data()}, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return r;
}

Result Norm(CpuPath path, RmsNormQuantizeArguments p, const ParallelFor& parallel = {}) {
    Result r;
    Scratch scratch(QuantizeWorkspace(p.rows));
    p.rows = r.Bind(p.rows);
    r.normed.assign(r.a.size(), 99), r.sum.assign(r.a.size(), 99);
    p.normed = r.normed.data(), p.sum = r.sum.data();
    Status status = RmsNormQuantize(path, p, scratch.memory, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return r;
}

Result Silu(CpuPath path, SiluMulQuantizeArguments p, const ParallelFor& parallel = {}) {
    Result r;
    Scratch scratch(QuantizeWorkspace(p.rows));
    p.rows = r.Bind(p.rows);
    Status status = SiluMulQuantize(path, p, scratch.memory, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return r;
}

constexpr int64_t kLengths[] = {1, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 200, 333, 1024, 4099};

// Rows of all kinds: zeros, tiny, huge, one spike, ties between two integers.
std::vector<float> Values(Random& random, int64_t m, int64_t k) {
    std::vector<float> x = random.Floats(m * k, 3);
    for (int64_t row = 0; row < m; row++) {
        float* v = x.data() + row * k;
        switch (random.Below(8)) {
            case 0:
                std::fill(v, v + k, 0.0f);
                break;
            case 1:
                std::transform(v, v + k, v, [](float value) { return value * 0x1p-130f; });
                break;
            case 2:
                std::transform(v, v + k, v, [](float value) { return value * 0x1p120f; });
                break;
            case 3:
                v[random.Below(k)] = 1e4f;
                break;
            case 4:
                std::transform(v, v + k, v, [&](float) { return static_cast<float>(random.Between(-253, 253)) / 2; });
                v[random.Below(k)] = 127;
                break;
            default:
                break;
        }
    }
    return x;
}

void SameAsReference(CpuPath path) {
    Random random(41);
    Threads pool(3);
    int cases = 0;
    for (int64_t k : kLengths) {
        for (int64_t group : {int64_t{1}, int64_t{8}, int64_t{24}, int64_t{32}, int64_t{128}, k, int64_t{1} << 40}) {
            QuantizedRows rows = Rows(random.Between(1, 9), k, group, random.Below(3) == 0 ? 0.01f : 0);
            std::vector<float> x = Values(random, rows.m, k);
            Result want = Quantize(CpuPath::kReference, rows, x);
            EXPECT(want.Same(Quantize(path, rows, x)), "%s: k %d, group %lld", Name(path), (int)k, (long long)group);
            EXPECT(want.Same(Quantize(path, rows, x, pool.parallel())), "%s: k %d, three threads", Name(path), (int)k);
            cases++;
        }
    }
    QuantizedRows many = Rows(150, 999, 128);
    std::vector<float> x = Values(random, many.m, many.k);
    EXPECT(Quantize(CpuPath::kReference, many, x).Same(Quantize(path, many, x, pool.parallel())), "%s: many rows", Name(path));
    std::printf("QuantizeRows %s: %d cases with the reference's bits\n", Name(path), cases);
}

// Integers at the edge between two may go either way, by one, where the floats differ by rounding.
struct Difference {
    std::string what;
    size_t values = 0, steps = 0;
    double scale = 0;
    ~Difference() {
        std::printf("%-30s %zu integers, %zu differ by one, scales differ by %.2g at most\n", what.c_str(), values, steps, scale);
        EXPECT(steps <= values / 1000 + 1, "%s: too many", what.c_str());
    }
    void Add(const Result& got, const Result& want, const std::string& label) {
        for (size_t i = 0; i < want.a.size(); i++) {
            int step = std::abs(got.a[i] - want.a[i]);
            EXPECT(step <= 1, "%s: integer %zu is %d, expected %d", label.c_str(), i, got.a[i], want.a[i]);
            steps += step > 0;
        }
        values += want.a.size();
        for (size_t i = 0; i < want.scale.size(); i++) {
            bool nan = std::isnan(want.scale[i]);
            EXPECT(nan == std::isnan(got.scale[i]), "%s: scale %zu is %g, expected %g", label.c_str(), i, got.scale[i], want.scale[i]);
            double off = nan || want.scale[i] == 0 ? std::fabs(nan ? 0 : got.scale[i])
                                                   : std::fabs(static_cast<double>(got.scale[i]) / want.scale[i] - 1);
            // The sum of squares and the largest value are each within a few units in the last place (6e-8).
            EXPECT(off <= 2e-6, "%s: scale %zu is %.9g, expected %.9g", label.c_str(), i, got.scale[i], want.scale[i]);
            scale = std::max(scale, off);
        }
        EXPECT(std::all_of(want.normed.begin(), want.normed.end(),
                           [&, i = size_t{0}](float v) mutable {
                               float g = got.normed[i++];
                               return (std::isnan(v) && std::isnan(g)) || std::fabs(g - v) <= 2e-6f * std::fabs(v) + 1e-37f;
                           }),
               "%s: the float norm", label.c_str());
        EXPECT(SameBits(got.sum, want.sum), "%s: x + skip", label.c_str());
        // The sums are those of the integers that were written.
        if (!got.sums.empty()) {
            int64_t all = 0, of = 0;
            for (int8_t a : got.a) {
                all += a;
            }
            for (int32_t s : got.sums) {
                of += s;
            }
            EXPECT(all == of, "%s: the sums add to %lld, the integers to %lld", label.c_str(), (long long)of, (long long)all);
        }
    }
};

void NormParity(CpuPath path) {
    Random random(42);
    Threads pool(3);
    Difference difference{Text("RmsNormQuantize %s", Name(path))};
    for (int64_t k : kLengths) {
        for (int round = 0; round < 6; round++) {
            RmsNormQuantizeArguments p;
            p.rows = Rows(random.Between(1, round == 0 ? 90 : 9), k, random.Between(1, 5) * 32, random.Below(4) == 0 ? 0.02f : 0);
            std::vector<float> x = random.Floats(p.rows.m * k, 3), skip = random.Floats(p.rows.m * k, 2), weight = random.Floats(k, 2);
            if (round == 1) {
                std::fill(x.begin(), x.begin() + k, 0.0f), std::fill(skip.begin(), skip.begin() + k, 0.0f);
            }
            p.x = x.data(), p.weight = weight.data(), p.skip = round % 2 == 0 ? skip.data() : nullptr, p.epsilon = 1e-6f;
            Result got = Norm(path, p);
            difference.Add(got, Norm(CpuPath::kReference, p), Text("k %d, round %d", (int)k, round));
            EXPECT(got.Same(Norm(path, p, pool.parallel())), "%s: three threads", Name(path));
            EXPECT(path == CpuPath::kNeon || got.Same(Norm(CpuPath::kAvx2, p)), "%s and avx2 differ", Name(path));

            // The norm is quantized as any other row: what came out as floats gives the same integers.
            EXPECT(got.a == Quantize(path, p.rows, got.normed).a && SameBits(got.scale, Quantize(path, p.rows, got.normed).scale),
                   "%s: k %d: the norm and QuantizeRows of it differ", Name(path), (int)k);

            // Without the optional outputs nothing else changes; x + skip may be written over x.
            Result less;
            Scratch scratch(QuantizeWorkspace(p.rows));
            RmsNormQuantizeArguments q = p;
            q.rows = less.Bind(p.rows);
            q.sum = x.data();
            Status status = RmsNormQuantize(path, q, scratch.memory, {});
            EXPECT(status.ok() && less.a == got.a && SameBits(less.scale, got.scale) && less.sums == got.sums, "%s: fewer outputs",
                   Name(path));
            EXPECT(SameBits(x, got.sum), "%s: x + skip over x", Name(path));
        }
    }
}

void SiluParity(CpuPath path) {
    Random random(43);
    Threads pool(3);
    Difference difference{Text("SiluMulQuantize %s", Name(path))};
    for (int64_t k : kLengths) {
        for (int round = 0; round < 4; round++) {
            SiluMulQuantizeArguments p;
            p.rows = Rows(random.Between(1, round == 0 ? 90 : 9), k, random.Between(1, 5) * 32, random.Below(4) == 0 ? 0.02f : 0);
            std::vector<float> gate = random.Floats(p.rows.m * k, round == 1 ? 120.0f : 6.0f), up = random.Floats(p.rows.m * k, 2);
            p.gate = gate.data(), p.up = up.data();
            Result got = Silu(path, p);
            difference.Add(got, Silu(CpuPath::kReference, p), Text("k %d, round %d", (int)k, round));
            EXPECT(got.Same(Silu(path, p, pool.parallel())), "%s: three threads", Name(path));
            EXPECT(path == CpuPath::kNeon || got.Same(Silu(CpuPath::kAvx2, p)), "%s and avx2 differ", Name(path));
            // The floats too, of which the integers are made.
            std::vector<float> value(gate.size() + 1, 12345.0f), again = value;
            p.value = value.data();
            EXPECT(got.Same(Silu(path, p)) && value.back() == 12345.0f, "%s: with floats", Name(path));
            p.value = again.data();
            EXPECT(got.Same(Silu(path, p, pool.parallel())) && SameBits(value, again), "%s: floats, three threads", Name(path));
            value.pop_back();
            for (size_t i = 0; i < value.size(); i++) {
                double g = gate[i], want = g / (1 + std::exp(-g)) * up[i];
                EXPECT(std::fabs(value[i] - want) <= 3e-6 * std::fabs(want) + 1e-30, "%s: %g, expected %g", Name(path), value[i], want);
            }
            if (p.rows.static_scale == 0) {
                QuantizeRowsArguments rows{p.rows, value.data()};
                EXPECT(got.Same(Quantize(path, rows.rows, value)), "%s: the integers are those of the floats", Name(path));
            }
        }
    }
}

// A row's result does not depend on the rows beside it; NaN and infinities stay in theirs.
void RowsAlone(CpuPath path) {
    Random random(44);
    const int64_t m = 70, k = 1100;
    const float bad[] = {__builtin_nanf(""), __builtin_inff(), -__builtin_inff()};
    std::vector<float> x = random.Floats(m * k), y = random.Floats(m * k), weight = random.Floats(k);
    for (int64_t row = 0; row < m; row += 7) {
        x[static_cast<size_t>(row * k + random.Below(k))] = bad[row / 7 % 3];
    }
    std::fill(x.begin() + 3 * k, x.begin() + 4 * k, 1e30f);  // squares beyond float32: the norm's row is NaN, not zeros
    RmsNormQuantizeArguments norm;
    norm.rows = Rows(m, k, 128), norm.x = x.data(), norm.skip = y.data(), norm.weight = weight.data(), norm.epsilon = 1e-6f;
    SiluMulQuantizeArguments silu;
    silu.rows = norm.rows, silu.gate = y.data(), silu.up = x.data();
    Result whole[] = {Quantize(path, norm.rows, x), Norm(path, norm), Silu(path, silu)};
    for (int64_t row = 0; row < m; row++) {
        QuantizedRows rows = norm.rows;
        rows.m = 1;
        norm.rows = silu.rows = rows, norm.rows.m = 1;
        RmsNormQuantizeArguments one = norm;
        one.x += row * k, one.skip += row * k;
        SiluMulQuantizeArguments two = silu;
        two.gate += row * k, two.up += row * k;
        Result alone[] = {Quantize(path, rows, std::vector<float>(x.begin() + row * k, x.begin() + (row + 1) * k)), Norm(path, one),
                          Silu(path, two)};
        for (int i = 0; i < 3; i++) {
            bool spoiled = row % 7 == 0 || (row == 3 && i == 1);
            EXPECT(std::equal(alone[i].a.begin(), alone[i].a.end(), whole[i].a.begin() + row * k), "%s: %d: row %d alone", Name(path), i,
                   (int)row);
            EXPECT(std::memcmp(alone[i].scale.data(), &whole[i].scale[static_cast<size_t>(row)], 4) == 0, "%s: %d: scale of row %d alone",
                   Name(path), i, (int)row);
            EXPECT(std::isnan(alone[i].scale[0]) == spoiled, "%s: %d: scale %d is %g", Name(path), i, (int)row, alone[i].scale[0]);
            EXPECT(!spoiled || std::all_of(alone[i].a.begin(), alone[i].a.end(), [](int8_t a) { return a == 0; }),
                   "%s: %d: row %d is not zeros", Name(path), i, (int)row);
        }
    }
}

// A product of rows that were quantized here is the product that quantizes them itself, on every path.
void FeedsTheProduct(CpuPath path) {
    Random random(45);
    W4A8MatMulArguments p;
    p.m = 5, p.layout = {70, 200, 32, 1};
    std::vector<float> x = Values(random, p.m, 200), scale = random.Floats(70), from_floats(350), from_bytes(350);
    x[200 + 7] = __builtin_nanf("");
    std::vector<uint8_t> weights(static_cast<size_t>(W4A8PackedBytes(p.layout)));
    for (uint8_t& byte : weights) {
        byte = static_cast<uint8_t>(random.Next());
    }
    p.weights = weights.data(), p.scale = scale.data(), p.x = x.data(), p.y = from_floats.data();
    Scratch scratch(W4A8MatMulWorkspace(p));
    Status first = W4A8MatMul(path, p, scratch.memory, {});
    Result rows = Quantize(path, Rows(5, 200, 32), x);
    p.x = nullptr, p.xq = rows.a.data(), p.x_scale = rows.scale.data(), p.x_sums = rows.sums.data(), p.y = from_bytes.data();
    Status second = W4A8MatMul(path, p, scratch.memory, {});
    EXPECT(first.ok() && second.ok(), "%s%s", first.message, second.message);
    EXPECT(SameBits(from_floats, from_bytes), "%s: the product of quantized rows differs", Name(path));
    EXPECT(std::isnan(from_floats[70]) && !std::isnan(from_floats[0]), "%s: NaN", Name(path));
}

// The largest sums: 2^24 values of 127.
void Extremes(CpuPath path) {
    const int64_t k = int64_t{1} << 24;
    std::vector<float> x(static_cast<size_t>(k), -3.5f);
    Result r = Quantize(path, Rows(1, k, k), x);
    EXPECT(r.sums[0] == -127 * k, "%s: the sum is %d", Name(path), r.sums[0]);
    EXPECT(std::all_of(r.a.begin(), r.a.end(), [](int8_t a) { return a == -127; }), "%s: not all are -127", Name(path));
}

void Errors() {
    std::vector<float> x(64), scale(4);
    std::vector<int8_t> a(64);
    auto expect = [&](auto&& change, const char* part) {
        RmsNormQuantizeArguments p;
        p.rows = Rows(4, 16, 8), p.rows.a = a.data(), p.rows.scale = scale.data(), p.x = p.weight = x.data(), p.epsilon = 1e-6f;
        Scratch scratch(QuantizeWorkspace(p.rows));
        change(p);
        EXPECT_ERROR(RmsNormQuantize(CpuPath::kReference, p, scratch.memory, {}), part);
    };
    expect([](RmsNormQuantizeArguments& p) { p.rows.m = -1; }, "-1 rows of 16 values");
    expect([](RmsNormQuantizeArguments& p) { p.rows.k = (1 << 24) + 1; },
           "4 rows of 16777217 values: expected at most 2^31 rows of at most 2^24");
    expect([](RmsNormQuantizeArguments& p) { p.rows.group = 0; }, "group is 0, expected 1 or more");
    expect([](RmsNormQuantizeArguments& p) { p.rows.static_scale = -1; }, "the static scale is -1");
    expect([](RmsNormQuantizeArguments& p) { p.rows.static_scale = 1e-38f; }, "the static scale is 1e-38");
    expect([](RmsNormQuantizeArguments& p) { p.rows.static_scale = __builtin_nanf(""); }, "the static scale is nan");
    expect([](RmsNormQuantizeArguments& p) { p.epsilon = -1; }, "epsilon is -1");
    expect([](RmsNormQuantizeArguments& p) { p.x = nullptr; }, "must not be null");
    EXPECT_ERROR(QuantizeRows(CpuPath::kReference, {Rows(1, 1, 0), x.data()}, {}), "group is 0");
    EXPECT_ERROR(SiluMulQuantize(CpuPath::kReference, {Rows(1, 1, 8), x.data(), nullptr}, nullptr, {}), "must not be null");
    EXPECT(QuantizeRows(CpuPath::kReference, {Rows(0, 5, 8), nullptr}, {}).ok(), "no rows");
}

}  // namespace

int main() {
    Errors();
    Extremes(CpuPath::kReference);
    for (CpuPath path : FastPaths()) {
        SameAsReference(path);
        NormParity(path);
        SiluParity(path);
        RowsAlone(path);
        FeedsTheProduct(path);
        Extremes(path);
    }
    return Report();
}
