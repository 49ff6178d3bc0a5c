// W4A8MatMul of the device against the CPU's reference: the same bits.
#include "longcat/cuda/w4a8_matmul.h"

#include <algorithm>
#include <array>

#include "../../tests/harness.h"
#include "device_memory.h"
#include "longcat/quantize_rows.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;

namespace {

bool SameNumbers(const std::vector<float>& want, const std::vector<float>& got) {
    bool same = want.size() == got.size();
    for (size_t i = 0; i < want.size() && same; i++) {
        same = std::isnan(want[i]) ? std::isnan(got[i]) : std::memcmp(&want[i], &got[i], 4) == 0;
    }
    return same;
}

struct Case {
    W4A8MatMulArguments p;
    std::vector<float> x, scale, bias, residual;
    std::vector<uint8_t> packed;
    // Instead of x, quantized rows.
    std::vector<int8_t> xq;
    std::vector<float> x_scale;
    std::vector<int32_t> x_sums;

    Case(Random& random, int64_t m, int64_t n, int64_t k, int64_t group, int scale_bytes, int most_scale = 127) {
        p.m = m, p.layout = {n, k, group, scale_bytes};
        x = random.Floats(m * k, 3), scale = random.Floats(n, 0.01f), bias = random.Floats(n), residual = random.Floats(m * n);
        int64_t groups = W4A8Groups(p.layout);
        std::vector<int8_t> q(static_cast<size_t>(n * k));
        std::vector<int16_t> group_scales(static_cast<size_t>(scale_bytes == 0 ? 0 : n * groups));
        for (int8_t& value : q) {
            value = static_cast<int8_t>(random.Between(-8, 7));
        }
        for (int16_t& value : group_scales) {
            int64_t magnitude = random.Between(1, most_scale);
            value = static_cast<int16_t>(random.Below(2) == 0 ? magnitude : -magnitude);
        }
        packed.assign(static_cast<size_t>(W4A8PackedBytes(p.layout)), 0);
        W4A8Pack(p.layout, q.data(), group_scales.empty() ? nullptr : group_scales.data(), packed.data());
    }
    Case(const Case&) = delete;

    void Quantize() {
        xq.resize(x.size()), x_scale.resize(static_cast<size_t>(p.m)), x_sums.resize(static_cast<size_t>(p.m * W4A8Groups(p.layout)));
        QuantizeRowsArguments a;
        a.rows = {p.m, p.layout.k, p.layout.group, 0, xq.data(), x_scale.data(), x_sums.data()};
        a.x = x.data();
        Status status = QuantizeRows(CpuPath::kReference, a, {});
        EXPECT(status.ok(), "%s", status.message);
    }

    std::vector<float> Want(bool bias_too, bool residual_too) {
        W4A8MatMulArguments a = p;
        std::vector<float> y(static_cast<size_t>(p.m * p.layout.n));
        a.weights = packed.data(), a.scale = scale.data(), a.y = y.data();
        a.bias = bias_too ? bias.data() : nullptr, a.residual = residual_too ? residual.data() : nullptr;
        if (xq.empty()) {
            a.x = x.data();
        } else {
            a.xq = xq.data(), a.x_scale = x_scale.data(), a.x_sums = x_sums.data();
        }
        Workspace workspace(W4A8MatMulWorkspace(a));
        Status status = W4A8MatMul(CpuPath::kReference, a, workspace.get(), {});
        EXPECT(status.ok(), "%s", status.message);
        return y;
    }

    std::vector<float> Got(const Execution& execution, bool bias_too, bool residual_too) {
        Array<float> device_x(xq.empty() ? x : std::vector<float>{}), device_scale(scale), device_bias(bias), device_residual(residual), device_x_scale(x_scale);
        Array<int8_t> device_xq(xq);
        Array<uint8_t> device_packed(packed);
        Array<float> y(static_cast<size_t>(p.m * p.layout.n));
        W4A8MatMulArguments a = p;
        a.weights = device_packed.get(), a.scale = device_scale.get(), a.y = y.get();
        a.bias = bias_too ? device_bias.get() : nullptr, a.residual = residual_too ? device_residual.get() : nullptr;
        if (xq.empty()) {
            a.x = device_x.get();
        } else {
            a.xq = device_xq.get(), a.x_scale = device_x_scale.get();
        }
        Array<uint8_t> workspace(W4A8MatMulWorkspace(execution.device, a));
        Status status = W4A8MatMul(execution, a, workspace.get());
        EXPECT(status.ok(), "%s", status.message);
        return y.Values();
    }
};

int checked = 0;

void Compare(const Execution& execution, Case& c, Random& random, const std::string& what) {
    bool bias = random.Below(2) == 0, residual = random.Below(2) == 0;
    std::vector<float> want = c.Want(bias, residual), got = c.Got(execution, bias, residual);
    size_t first = 0;
    while (first < want.size() && (std::isnan(want[first]) ? std::isnan(got[first]) : want[first] == got[first])) {
        first++;
    }
    EXPECT(SameNumbers(want, got), "%s: first at [%d, %d]", what.c_str(), static_cast<int>(first / static_cast<size_t>(c.p.layout.n)),
           static_cast<int>(first % static_cast<size_t>(c.p.layout.n)));
    checked++;
}

// Every kernel there is: few tokens and many, all kinds of groups, tails in every dimension, parts of K.
void Shapes(const Execution& execution) {
    Random random(61);
    struct Shape {
        int64_t m, n, k, group;
        int bytes;
    };
    const Shape shapes[] = {
        {1, 1, 1, 8, 1},        {1, 64, 128, 128, 1},   {3, 65, 136, 32, 1},    {8, 130, 333, 128, 2},  {9, 17, 1031, 2048, 0}, {16, 200, 8, 64, 1},
        {17, 70, 520, 40, 1},   {32, 64, 384, 128, 1},  {33, 190, 520, 128, 1}, {64, 128, 256, 64, 1},  {65, 130, 400, 64, 2},  {97, 63, 1040, 256, 1},
        {130, 257, 144, 1000, 0}, {40, 66, 200, 24, 1},  {34, 129, 333, 128, 1}, {5, 64, 2048, 128, 1},  {2, 320, 1000, 512, 1}, {70, 64, 2304, 4096, 0},
        {70, 64, 5000, 128, 1}, {1, 0, 16, 16, 1},      {0, 64, 16, 16, 1},     {4, 6, 0, 8, 1},        {40, 6, 0, 8, 1},       {36, 64, 640, 384, 2},
    };
    for (const Shape& s : shapes) {
        if (!Swept()) {
            continue;
        }
        Case c(random, s.m, s.n, s.k, s.group, s.bytes, s.bytes == 2 ? 3000 : 127);
        Compare(execution, c, random, Text("m %d, n %d, k %d, group %d, %d bytes", (int)s.m, (int)s.n, (int)s.k, (int)s.group, s.bytes));
        c.Quantize();
        Compare(execution, c, random,
                Text("m %d, n %d, k %d, group %d, %d bytes, quantized rows", (int)s.m, (int)s.n, (int)s.k, (int)s.group, s.bytes));
    }
    // Drawn ones.
    for (int i = 0; i < 60; i++) {
        if (!Swept()) {
            continue;
        }
        int64_t group = random.Below(2) == 0 ? 64 << random.Below(3) : 8 * random.Between(1, 40), k = random.Between(1, 700);
        int bytes = static_cast<int>(random.Below(3));
        Case c(random, random.Between(1, 80), random.Between(1, 200), k, bytes == 0 ? (k + 7) / 8 * 8 : group, bytes, 100);
        if (random.Below(3) == 0) {
            c.p.static_scale = 0.02f;
        } else if (random.Below(2) == 0) {
            c.Quantize();
        }
        Compare(execution, c, random, Text("drawn %d: m %d, n %d, k %d, group %d, %d bytes", i, (int)c.p.m, (int)c.p.layout.n, (int)k, (int)c.p.layout.group, bytes));
    }
}

// The order in which blocks and threads run changes nothing; rows do not meet; NaN stays in its row.
void OrdersAndRows(const Execution& execution) {
    Random random(62);
    for (int64_t m : {3, 20, 70}) {
        Case c(random, m, 100, 520, 64, 1);
        c.x[static_cast<size_t>(2 * 520 + 519)] = __builtin_nanf("");
        c.x[0] = m == 20 ? __builtin_inff() : c.x[0];
        std::vector<float> want = c.Want(true, false);
        cuda::test::InEveryOrder([&](int order) { EXPECT(SameNumbers(want, c.Got(execution, true, false)), "m %d, order %d", (int)m, order); });
        checked += 3;
    }
}

// The largest sums there are.
void Extremes(const Execution& execution) {
    Random random(63);
    for (int64_t m : {2, 40}) {
        for (auto [k, group, bytes] : {std::array<int64_t, 3>{16640, 128, 1}, {16640, 16640, 0}}) {
            Case c(random, m, 70, k, group, static_cast<int>(bytes), 1);
            std::vector<int8_t> q(static_cast<size_t>(70 * k));
            std::vector<int16_t> scales(static_cast<size_t>(bytes == 0 ? 0 : 70 * W4A8Groups(c.p.layout)), 127);
            for (size_t i = 0; i < q.size(); i++) {
                q[i] = i / static_cast<size_t>(k) % 2 == 0 ? -8 : 7;
            }
            W4A8Pack(c.p.layout, q.data(), scales.empty() ? nullptr : scales.data(), c.packed.data());
            for (size_t i = 0; i < c.x.size(); i++) {
                c.x[i] = i / static_cast<size_t>(k) % 2 == 0 ? 2.0f : -2.0f;
            }
            Compare(execution, c, random, Text("extremes, m %d, group %d", (int)m, (int)group));
        }
    }
}

void Errors(const Execution& execution) {
    auto expect = [&](auto&& change, const char* part) {
        alignas(16) static uint8_t weights[64] = {};
        static float number[8] = {};
        W4A8MatMulArguments p;
        p.m = 2, p.layout = {8, 64, 32, 1}, p.x = number, p.weights = weights, p.scale = number, p.y = number;
        change(p);
        EXPECT_ERROR(W4A8MatMul(execution, p, nullptr), part);
    };
    static const int8_t kRow[128] = {};
    expect([](W4A8MatMulArguments& p) { p.layout.group = 20; }, "group is 20, expected a multiple of 8");
    expect([](W4A8MatMulArguments& p) { p.layout.group_scale_bytes = 3; }, "group_scale_bytes is 3");
    expect([](W4A8MatMulArguments& p) { p.layout.group_scale_bytes = 0; }, "group is 32 without group scales");
    expect([](W4A8MatMulArguments& p) { p.static_scale = -1; }, "static scale is -1");
    expect([](W4A8MatMulArguments& p) { p.weights = nullptr; }, "must not be null");
    expect([](W4A8MatMulArguments& p) { p.weights++; }, "a multiple of 16");
    expect([](W4A8MatMulArguments& p) { p.xq = kRow; }, "both x and xq");
    expect([](W4A8MatMulArguments& p) { p.x = nullptr, p.xq = kRow; }, "x_scale must not be null");
    expect([](W4A8MatMulArguments& p) { p.m = -1; }, "sizes m -1");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Shapes(execution);
    OrdersAndRows(execution);
    Extremes(execution);
    std::printf("W4A8MatMul: %d products with the reference's bits\n", checked);
    return Report();
}
