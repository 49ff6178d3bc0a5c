#include "longcat/w8a8_matmul.h"

#include <algorithm>

#include "harness.h"

using namespace longcat;
using namespace longcat::test;

namespace {

struct Case {
    W8A8MatMulArguments p;
    std::vector<float> x, scale, bias;
    std::vector<int8_t> q;
    std::vector<uint8_t> packed;

    Case(Random& random, int64_t m, int64_t n, int64_t k, int bits) {
        p.m = m, p.n = n, p.k = k, p.activation_bits = bits;
        x = random.Floats(m * k, 3), scale = random.Floats(n, 0.01f), bias = random.Floats(n);
        for (int64_t i = 0; i < n * k; i++) {
            q.push_back(static_cast<int8_t>(random.Between(-127, 127)));
        }
        Bind();
    }
    Case(const Case&) = delete;

    void Bind() {
        packed.assign(static_cast<size_t>(W8A8PackedBytes(p.n, p.k)) + 1, 0xAA);
        W8A8Pack(p.n, p.k, q.data(), packed.data());
        EXPECT(packed.back() == 0xAA, "packing wrote beyond W8A8PackedBytes");
        p.x = x.data(), p.weights = packed.data(), p.scale = scale.data();
    }
};

Status Run(CpuPath path, W8A8MatMulArguments p, std::vector<float>* y, const ParallelFor& parallel = {}) {
    y->assign(static_cast<size_t>(p.m * p.n), -1);
    p.y = y->data();
    Workspace workspace(W8A8MatMulWorkspace(p));
    return W8A8MatMul(path, p, workspace.get(), parallel);
}

std::vector<float> Run(CpuPath path, const W8A8MatMulArguments& p, const ParallelFor& parallel = {}) {
    std::vector<float> y;
    Status status = Run(path, p, &y, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return y;
}

// The integers are exact and the floats are rounded in one order: every path gives the same bits.
void SameAsReference(CpuPath path) {
    Random random(41);
    Threads pool(3);
    int cases = 0;
    for (int bits : {8, 16}) {
        for (int64_t m = 1; m <= 17; m++) {
            for (auto [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {64, 128}, {65, 130}, {17, 1031}, {200, 7}, {130, 333}}) {
                if (!Swept()) {
                    continue;
                }
                Case c(random, m, n, k, bits);
                if (random.Below(2) == 0) {
                    c.p.bias = c.bias.data();
                }
                if (random.Below(4) == 0) {
                    std::fill(c.x.begin(), c.x.begin() + k, 0.0f);
                }
                std::string what = Text("%s: %d bits, m %d, n %d, k %d", Name(path), bits, (int)m, (int)n, (int)k);
                std::vector<float> want = Run(CpuPath::kReference, c.p);
                EXPECT(SameBits(want, Run(path, c.p)), "%s", what.c_str());
                EXPECT(SameBits(want, Run(path, c.p, pool.parallel())), "%s, three threads", what.c_str());
                cases++;
            }
        }
        Case c(random, 203, 190, 520, bits);
        EXPECT(SameBits(Run(CpuPath::kReference, c.p), Run(path, c.p)), "%s: %d bits, 203 rows", Name(path), bits);
    }
    std::printf("W8A8MatMul %s: %d cases with the reference's bits\n", Name(path), cases);
}

// The largest sums: all products at their extremes and the most inputs; low digits at -128.
void Extremes(CpuPath path) {
    Random random(42);
    for (int bits : {8, 16}) {
        Case c(random, 3, 3, kW8A8MostInputs, bits);
        for (size_t i = 0; i < c.q.size(); i++) {
            c.q[i] = i < kW8A8MostInputs ? -127 : i < 2 * kW8A8MostInputs ? 127 : c.q[i];
        }
        std::fill(c.x.begin(), c.x.begin() + kW8A8MostInputs, 2.0f);
        std::fill(c.x.begin() + kW8A8MostInputs, c.x.begin() + 2 * kW8A8MostInputs, 32384.0f);  // 126.5 · 256: the low digit is -128
        c.x[kW8A8MostInputs] = 32512;
        c.Bind();
        std::vector<float> got = Run(path, c.p);
        EXPECT(SameBits(Run(CpuPath::kReference, c.p), got), "%s: extremes, %d bits", Name(path), bits);
        double want = -127.0 * 2 * static_cast<double>(kW8A8MostInputs) * c.scale[0];
        EXPECT(std::fabs(got[0] - want) <= 1e-6 * std::fabs(want), "%s: %g, expected %g", Name(path), got[0], want);
    }
}

// A row's result does not depend on the rows beside it, NaN stays in its row, and rows quantized before give the same.
void Rows(CpuPath path) {
    Random random(43);
    for (int bits : {8, 16}) {
        Case c(random, 23, 100, 300, bits);
        c.x[5 * 300 + 299] = __builtin_nanf("");
        c.x[7 * 300] = -__builtin_inff();
        std::vector<float> whole = Run(path, c.p);
        for (int64_t r = 0; r < c.p.m; r++) {
            W8A8MatMulArguments one = c.p;
            one.m = 1, one.x += r * 300;
            std::vector<float> want(whole.begin() + r * 100, whole.begin() + (r + 1) * 100), got = Run(path, one);
            bool bad = r == 5 || r == 7;
            EXPECT(SameBits(want, got), "%s: row %d alone", Name(path), (int)r);
            EXPECT(std::all_of(want.begin(), want.end(), [&](float y) { return std::isnan(y) == bad; }), "%s: row %d", Name(path), (int)r);
        }
    }
    Case c(random, 9, 70, 333, 8);
    std::vector<int8_t> xq(9 * 333);
    std::vector<float> x_scale(9);
    std::vector<int32_t> x_sums(9);
    for (size_t r = 0; r < 9; r++) {
        float largest = 0;
        for (size_t i = 0; i < 333; i++) {
            largest = std::fmax(largest, std::fabs(c.x[r * 333 + i]));
        }
        x_scale[r] = largest / 127.0f;
        for (size_t i = 0; i < 333; i++) {
            x_sums[r] += xq[r * 333 + i] = static_cast<int8_t>(std::nearbyint(c.x[r * 333 + i] * (127.0f / largest)));
        }
    }
    std::vector<float> want = Run(path, c.p);
    c.p.x = nullptr, c.p.xq = xq.data(), c.p.x_scale = x_scale.data(), c.p.x_sums = x_sums.data();
    EXPECT(SameBits(want, Run(path, c.p)), "%s: rows quantized before", Name(path));
    EXPECT(SameBits(want, Run(CpuPath::kReference, c.p)), "reference: rows quantized before");
}

// 16 bits are nearly float: the rounding of an activation is at most half a step of max |x| / 32512.
void Precision(CpuPath path) {
    Random random(44);
    Case c(random, 4, 65, 1000, 16);
    std::vector<float> got = Run(path, c.p);
    for (size_t r = 0; r < 4; r++) {
        for (size_t n = 0; n < 65; n++) {
            double want = 0, weights = 0;
            for (size_t k = 0; k < 1000; k++) {
                want += static_cast<double>(c.x[r * 1000 + k]) * c.q[n * 1000 + k] * c.scale[n];
                weights += std::fabs(static_cast<double>(c.q[n * 1000 + k]) * c.scale[n]);
            }
            double limit = weights * (3.0 / 32512 / 2) + 1e-5 * std::fabs(want);
            EXPECT(std::fabs(got[r * 65 + n] - want) <= limit, "%s: %g, expected %g within %g", Name(path), got[r * 65 + n], want, limit);
        }
    }
}

void Errors() {
    std::vector<float> y;
    auto expect = [&](auto&& change, const char* part) {
        Random random(45);
        Case c(random, 2, 8, 64, 8);
        change(c.p);
        EXPECT_ERROR(Run(CpuPath::kReference, c.p, &y), part);
    };
    static const int8_t kRow[128] = {};
    expect([](W8A8MatMulArguments& p) { p.activation_bits = 12; }, "activation_bits is 12");
    expect([](W8A8MatMulArguments& p) { p.k = kW8A8MostInputs + 1; }, "k is 131001");
    expect([](W8A8MatMulArguments& p) { p.weights = nullptr; }, "must not be null");
    expect([](W8A8MatMulArguments& p) { p.xq = kRow; }, "both x and xq");
    expect([](W8A8MatMulArguments& p) { p.x = nullptr, p.xq = kRow; }, "x_scale and x_sums");
    expect([](W8A8MatMulArguments& p) { p.x = nullptr, p.xq = kRow, p.activation_bits = 16; }, "whose values have 8");
}

}  // namespace

int main() {
    Errors();
    for (CpuPath path : FastPaths()) {
        SameAsReference(path);
        Extremes(path);
        Rows(path);
        Precision(path);
    }
    return Report();
}
