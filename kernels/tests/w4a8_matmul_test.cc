#include "longcat/w4a8_matmul.h"

#include <algorithm>
#include <array>

#include "harness.h"

using namespace longcat;
using namespace longcat::test;

namespace {

struct Case {
    W4A8MatMulArguments p;
    std::vector<float> x, scale, bias, residual;
    std::vector<int8_t> q;
    std::vector<int16_t> group_scales;
    std::vector<uint8_t> packed;

    Case(Random& random, int64_t m, int64_t n, int64_t k, int64_t group, int scale_bytes, int most_scale = 127) {
        p.m = m, p.layout = {n, k, group, scale_bytes};
        x = random.Floats(m * k, 3);
        scale = random.Floats(n, 0.01f);
        bias = random.Floats(n), residual = random.Floats(m * n);
        int64_t groups = k == 0 ? 0 : (k + group - 1) / group;
        for (int64_t i = 0; i < n * k; i++) {
            q.push_back(static_cast<int8_t>(random.Between(-8, 7)));
        }
        for (int64_t i = 0; i < n * groups && scale_bytes > 0; i++) {
            int64_t magnitude = random.Between(1, most_scale);
            group_scales.push_back(static_cast<int16_t>(random.Between(0, 1) == 0 ? magnitude : -magnitude));
        }
        Bind();
    }
    Case(const Case&) = delete;

    void Bind() {
        packed.assign(static_cast<size_t>(W4A8PackedBytes(p.layout)) + 1, 0xAA);
        W4A8Pack(p.layout, q.data(), group_scales.empty() ? nullptr : group_scales.data(), packed.data());
        EXPECT(packed.back() == 0xAA, "packing wrote beyond W4A8PackedBytes");
        p.x = x.data(), p.weights = packed.data(), p.scale = scale.data();
    }
};

Status Run(CpuPath path, W4A8MatMulArguments p, std::vector<float>* y, const ParallelFor& parallel = {}) {
    y->assign(static_cast<size_t>(p.m * p.layout.n), -1);
    p.y = y->data();
    Workspace workspace(W4A8MatMulWorkspace(p));
    return W4A8MatMul(path, p, workspace.get(), parallel);
}

std::vector<float> Run(CpuPath path, const W4A8MatMulArguments& p, const ParallelFor& parallel = {}) {
    std::vector<float> y;
    Status status = Run(path, p, &y, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return y;
}

// The integers are exact and the floats are rounded in one order: every path gives the same bits.
void SameAsReference(CpuPath path) {
    Random random(31);
    Threads pool(3);
    int cases = 0;
    auto check = [&](Case& c, const std::string& what) {
        std::vector<float> want = Run(CpuPath::kReference, c.p), got = Run(path, c.p);
        EXPECT(SameBits(want, got), "%s: %s", Name(path), what.c_str());
        EXPECT(SameBits(want, Run(path, c.p, pool.parallel())), "%s: %s, three threads", Name(path), what.c_str());
        cases++;
    };
    for (int64_t m = 1; m <= 17; m++) {
        for (auto [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {64, 128}, {65, 136}, {130, 333}, {17, 1031}, {200, 8}}) {
            for (auto [group, bytes] : {std::pair<int64_t, int>{32, 1}, {128, 1}, {128, 2}, {2048, 0}, {2048, 1}}) {
                if (!Swept()) {
                    continue;
                }
                Case c(random, m, n, k, group, bytes, bytes == 2 ? 3000 : 127);
                if (random.Below(2) == 0) {
                    c.p.bias = c.bias.data();
                }
                if (random.Below(2) == 0) {
                    c.p.residual = c.residual.data();
                }
                if (random.Below(4) == 0) {
                    c.p.static_scale = 0.02f;
                }
                if (random.Below(4) == 0) {  // a row of zeros, or of numbers whose inverse would leave float32
                    float value = random.Below(2) == 0 ? 0.0f : 0x1p-140f;
                    std::fill(c.x.begin(), c.x.begin() + k, 0.0f);
                    c.x[0] = value;
                }
                check(c, Text("m %d, n %d, k %d, group %d, %d bytes", (int)m, (int)n, (int)k, (int)group, bytes));
            }
        }
    }
    for (int64_t m : {64, 97, 200, 257}) {
        Case c(random, m, 190, 520, 128, 1);
        check(c, Text("m %d", (int)m));
    }
    for (int64_t m : {1, 6, 13}) {  // groups longer than the pieces in which rows are quantized, and whose ends lie within a piece
        Case c(random, m, 70, 8201, 3000, 1);
        check(c, Text("m %d, groups of 3000", (int)m));
    }
    for (int64_t m : {6, 7, 8, 17, 21}) {  // every group scale there is; more groups than one cut of a panel; a short group at the end
        for (int64_t k : {128, 384, 5000}) {
            Case c(random, m, 256, k, 128, 1);
            for (size_t i = 0; i < c.group_scales.size(); i++) {
                c.group_scales[i] = static_cast<int16_t>(static_cast<int64_t>(i % 256) - 128);
            }
            c.Bind();
            check(c, Text("m %d, k %d, all group scales", (int)m, (int)k));
        }
    }
    std::printf("W4A8MatMul %s: %d cases with the reference's bits\n", Name(path), cases);
}

// The largest sums there are: every product at its extreme, K = 16640 and the largest group scale that the bound allows.
void Extremes(CpuPath path) {
    Random random(32);
    Case c(random, 2, 70, 16640, 128, 1, 1);
    int64_t most = ((int64_t{1} << 31) - 1) / (1016 * 16640);
    std::fill(c.group_scales.begin(), c.group_scales.end(), static_cast<int16_t>(most));
    // Two of the outputs reach the same magnitude with mirrored groups.
    std::fill(c.group_scales.begin() + 130, c.group_scales.begin() + 390, static_cast<int16_t>(-most));
    for (size_t i = 0; i < c.q.size(); i++) {
        c.q[i] = i / 16640 % 2 == 0 ? -8 : 7;
    }
    std::fill(c.x.begin(), c.x.begin() + 16640, 2.0f);
    std::fill(c.x.begin() + 16640, c.x.end(), -2.0f);
    c.Bind();
    EXPECT(W4A8Bound(c.p.layout, c.group_scales.data()) < int64_t{1} << 31, "the bound is %lld",
           (long long)W4A8Bound(c.p.layout, c.group_scales.data()));
    std::vector<float> got = Run(path, c.p);
    EXPECT(SameBits(Run(CpuPath::kReference, c.p), got), "%s: extremes", Name(path));
    double want = 127.0 * -8 * 16640 * static_cast<double>(most) * (static_cast<double>(2.0f / 127.0f) * c.scale[0]);
    EXPECT(std::fabs(got[0] - want) <= 1e-6 * std::fabs(want), "%s: %g, expected %g", Name(path), got[0], want);
}

// Rows quantized before give what the rows themselves give: bit for bit.
void QuantizedRows(CpuPath path) {
    Random random(36);
    Threads pool(2);
    for (auto [m, k, group, bytes] :
         {std::array<int64_t, 4>{1, 128, 128, 1}, {3, 333, 64, 1}, {7, 1031, 2048, 0}, {16, 256, 32, 2}, {29, 8, 8, 1}}) {
        Case c(random, m, 70, k, group, static_cast<int>(bytes));
        c.p.bias = c.bias.data();
        std::fill(c.x.begin() + (m - 1) * k, c.x.end(), 0.0f);
        if (m > 1) {
            c.x[static_cast<size_t>(k)] = __builtin_nanf("");
        }
        int64_t groups = W4A8Groups(c.p.layout);
        std::vector<int8_t> xq(static_cast<size_t>(m * k));
        std::vector<float> x_scale(static_cast<size_t>(m));
        std::vector<int32_t> x_sums(static_cast<size_t>(m * groups));
        for (int64_t r = 0; r < m; r++) {
            const float* x = c.x.data() + r * k;
            float largest = 0;
            bool finite = true;
            for (int64_t i = 0; i < k; i++) {
                finite = finite && std::isfinite(x[i]);
                largest = std::fmax(largest, std::fabs(x[i]));
            }
            x_scale[static_cast<size_t>(r)] = finite ? largest / 127.0f : __builtin_nanf("");
            for (int64_t i = 0; i < k && finite && largest > 0; i++) {
                int8_t a = static_cast<int8_t>(std::nearbyint(x[i] * (127.0f / largest)));
                xq[static_cast<size_t>(r * k + i)] = a;
                x_sums[static_cast<size_t>(r * groups + i / group)] += a;
            }
        }
        std::vector<float> want = Run(path, c.p);
        c.p.x = nullptr, c.p.xq = xq.data(), c.p.x_scale = x_scale.data(), c.p.x_sums = x_sums.data();
        std::string what = Text("%s: m %d, k %d, rows quantized before", Name(path), (int)m, (int)k);
        EXPECT(SameBits(want, Run(path, c.p)), "%s", what.c_str());
        EXPECT(SameBits(want, Run(path, c.p, pool.parallel())), "%s, two threads", what.c_str());
        EXPECT(SameBits(want, Run(CpuPath::kReference, c.p)), "%s, reference", what.c_str());
    }
}

// A row's result does not depend on the rows beside it, and NaN stays in its row.
void Rows(CpuPath path) {
    Random random(33);
    Case c(random, 23, 100, 300, 64, 1);
    c.x[5 * 300 + 299] = __builtin_nanf("");
    c.x[7 * 300] = -__builtin_inff();
    std::vector<float> whole = Run(path, c.p);
    for (int64_t r = 0; r < c.p.m; r++) {
        W4A8MatMulArguments one = c.p;
        one.m = 1, one.x += r * 300;
        std::vector<float> want(whole.begin() + r * 100, whole.begin() + (r + 1) * 100), got = Run(path, one);
        bool bad = r == 5 || r == 7;
        EXPECT(SameBits(want, got), "%s: row %d alone", Name(path), (int)r);
        EXPECT(std::all_of(want.begin(), want.end(), [&](float y) { return std::isnan(y) == bad; }), "%s: row %d", Name(path), (int)r);
    }
}

// Activations are quantized: values within half a step of each other give one result, which no float product would.
void ActivationsAreBytes(CpuPath path) {
    Random random(34);
    Case c(random, 1, 64, 128, 128, 1);
    for (float& x : c.x) {
        x = static_cast<float>(random.Between(-126, 126));
    }
    c.x[0] = 127;
    std::vector<float> whole = Run(path, c.p);
    for (size_t i = 1; i < c.x.size(); i++) {
        c.x[i] += 0.45f * random.Unit();
    }
    EXPECT(SameBits(whole, Run(path, c.p)), "%s: activations are not rounded to 8 bits", Name(path));
}

void Errors() {
    std::vector<float> y;
    auto expect = [&](auto&& change, const char* part) {
        Random random(35);
        Case c(random, 2, 8, 64, 32, 1);
        change(c.p);
        EXPECT_ERROR(Run(CpuPath::kReference, c.p, &y), part);
    };
    expect([](W4A8MatMulArguments& p) { p.layout.group = 20; }, "group is 20, expected a multiple of 8");
    expect([](W4A8MatMulArguments& p) { p.layout.group = 0; }, "group is 0");
    expect([](W4A8MatMulArguments& p) { p.layout.group_scale_bytes = 3; }, "group_scale_bytes is 3");
    expect([](W4A8MatMulArguments& p) { p.layout.group_scale_bytes = 0; }, "group is 32 without group scales");
    expect([](W4A8MatMulArguments& p) { p.static_scale = -1; }, "static scale is -1");
    expect([](W4A8MatMulArguments& p) { p.weights = nullptr; }, "must not be null");
    expect([](W4A8MatMulArguments& p) { p.x = nullptr; }, "must not be null");
    static const int8_t kRow[128] = {};
    expect([](W4A8MatMulArguments& p) { p.xq = kRow; }, "both x and xq");
    expect([](W4A8MatMulArguments& p) { p.x = nullptr, p.xq = kRow; }, "x_scale and x_sums");
    expect([](W4A8MatMulArguments& p) { p.x = nullptr, p.xq = kRow, p.static_scale = 1; }, "static scale is 1 beside quantized rows");
}

}  // namespace

int main() {
    Errors();
    for (CpuPath path : FastPaths()) {
        SameAsReference(path);
        Extremes(path);
        Rows(path);
        QuantizedRows(path);
        ActivationsAreBytes(path);
    }
    return Report();
}
