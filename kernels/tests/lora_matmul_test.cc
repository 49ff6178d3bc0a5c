#include "longcat/lora_matmul.h"

#include <algorithm>

#include "harness.h"
#include "longcat/matmul.h"

using namespace longcat;
using namespace longcat::test;

namespace {

std::vector<float> Run(CpuPath path, LoraMatMulArguments p, const ParallelFor& parallel = {}) {
    std::vector<float> y(static_cast<size_t>(p.m * p.n) + 1, 12345.0f);
    p.y = y.data();
    Workspace workspace(LoraMatMulWorkspace(p));
    Status status = LoraMatMul(path, p, workspace.get(), parallel);
    EXPECT(status.ok(), "%s", status.message);
    EXPECT(y.back() == 12345.0f, "wrote past the end");
    y.pop_back();
    return y;
}

struct Adds {
    bool gain, bias, residual;
};

struct Case {
    LoraMatMulArguments p;
    std::vector<float> x, base, a, b, gain, bias, residual;
    std::vector<int32_t> rows, start{0};
    // An adapter for each rank; rows are dealt out over them and "none".
    Case(Random& random, int64_t m, int64_t n, int64_t k, const std::vector<int>& ranks, Adds adds)
        : x(random.Floats(m * k)), base(random.Floats(m * n)), bias(random.Floats(n)), residual(random.Floats(m * n)) {
        for (int rank : ranks) {
            start.push_back(start.back() + rank);
        }
        p.m = m, p.n = n, p.k = k, p.ranks = start.back(), p.adapters = static_cast<int64_t>(ranks.size());
        a = random.Floats(k * p.ranks, 0.3f), b = random.Floats(p.ranks * n, 0.3f), gain = random.Floats(p.adapters * n);
        for (int64_t i = 0; i < m; i++) {
            rows.push_back(static_cast<int32_t>(random.Between(-1, p.adapters - 1)));
        }
        p.x = x.data(), p.base = base.data(), p.a = a.data(), p.b = b.data(), p.row_adapter = rows.data(), p.adapter_start = start.data();
        p.gain = adds.gain ? gain.data() : nullptr, p.bias = adds.bias ? bias.data() : nullptr;
        p.residual = adds.residual ? residual.data() : nullptr;
    }
    Case(const Case&) = delete;
};

const std::vector<std::vector<int>> kRanks = {{16}, {4}, {0}, {1, 2, 3}, {8, 0, 40, 17}, {64, 16}, {130}, {5, 5, 5, 5, 5, 5, 5, 5, 5}};

void Parity(CpuPath path) {
    Comparison comparison(Text("LoraMatMul %s", Name(path)).c_str(), 5e-5, "float32 sums of up to 1100 products below 0.3, then of 130");
    Random random(71);
    int64_t shapes[][3] = {{0, 4, 8}, {1, 1, 1}, {1, 7, 5}, {2, 6, 16}, {5, 25, 64}, {17, 31, 129}, {40, 513, 70}, {3, 1100, 1030}, {3, 4, 0}, {90, 40, 33}};
    for (auto& s : shapes) {
        for (const std::vector<int>& ranks : kRanks) {
            for (int adds = 0; adds < 8; adds += 1 + static_cast<int>(random.Below(3))) {
                if (!Swept()) {
                    continue;
                }
                Case c(random, s[0], s[1], s[2], ranks, {(adds & 1) != 0, (adds & 2) != 0, (adds & 4) != 0});
                comparison.Add(Run(path, c.p), Run(CpuPath::kReference, c.p),
                               Text("m %d n %d k %d, %d ranks of %d adapters", (int)s[0], (int)s[1], (int)s[2], (int)c.p.ranks, (int)ranks.size()));
            }
        }
    }
}

// What the formula says, in double and from the definition, on the reference: adapters, ranks and all additions.
void Formula() {
    Random random(72);
    Case c(random, 9, 7, 5, {2, 0, 3}, {true, true, true});
    std::vector<float> want;
    for (int64_t i = 0; i < 9; i++) {
        for (int64_t j = 0; j < 7; j++) {
            double sum = c.base[i * 7 + j];
            int a = c.rows[i];
            for (int r = a < 0 ? 0 : c.start[a]; a >= 0 && r < c.start[a + 1]; r++) {
                for (int64_t k = 0; k < 5; k++) {
                    sum += static_cast<double>(c.x[i * 5 + k]) * c.a[k * 5 + r] * c.b[r * 7 + j];
                }
            }
            want.push_back(static_cast<float>((a < 0 ? sum : sum * c.gain[a * 7 + j]) + c.bias[j] + c.residual[i * 7 + j]));
        }
    }
    Comparison comparison("LoraMatMul reference against the formula", 1e-6, "three roundings to float32");
    comparison.Add(Run(CpuPath::kReference, c.p), want, "formula");
}

// A row alone, with its adapter alone, gives the bits it has in a batch beside other adapters; threads change nothing.
void Invariance(CpuPath path) {
    Random random(73);
    for (auto& s : {std::vector<int64_t>{70, 33, 100}, {40, 1100, 530}, {300, 65, 259}}) {
        for (const std::vector<int>& ranks : kRanks) {
            if (!Swept()) {
                continue;
            }
            Case c(random, s[0], s[1], s[2], ranks, {random.Below(2) == 0, true, true});
            std::vector<float> whole = Run(path, c.p);
            for (int threads : {2, 5}) {
                Threads pool(threads);
                EXPECT(SameBits(whole, Run(path, c.p, pool.parallel())), "%s: %d threads", Name(path), threads);
            }
            for (int64_t i = 0; i < s[0]; i += 1 + s[0] / 25) {
                int64_t adapter = c.rows[static_cast<size_t>(i)];
                std::vector<float> want(whole.begin() + i * s[1], whole.begin() + (i + 1) * s[1]);
                LoraMatMulArguments one = c.p;
                one.m = 1, one.x += i * s[2], one.base += i * s[1], one.row_adapter += i, one.residual += i * s[1];
                EXPECT(SameBits(want, Run(path, one)), "%s: row %d alone", Name(path), (int)i);
                if (adapter < 0) {
                    continue;
                }
                // Only its own adapter, without the inputs that tell adapters apart.
                int64_t start = c.start[static_cast<size_t>(adapter)], rank = c.start[static_cast<size_t>(adapter) + 1] - start;
                std::vector<float> a;
                for (int64_t k = 0; k < s[2]; k++) {
                    a.insert(a.end(), c.a.begin() + k * c.p.ranks + start, c.a.begin() + k * c.p.ranks + start + rank);
                }
                one.a = a.data(), one.b += start * s[1], one.ranks = rank, one.adapters = 1, one.row_adapter = one.adapter_start = nullptr;
                one.gain = one.gain == nullptr ? nullptr : one.gain + adapter * s[1];
                EXPECT(SameBits(want, Run(path, one)), "%s: adapter %d alone", Name(path), (int)adapter);
            }
        }
    }
}

// Rows without an adapter, and adapters without ranks, give what MatMul gives when it adds bias and residual itself: also zeros with a sign.
void Passes(CpuPath path) {
    Random random(74);
    for (WeightLayout layout : {WeightLayout::kRows, WeightLayout::kPanels}) {
        constexpr int64_t kRows = 37, kOutputs = 530, kDepth = 65;
        Case c(random, kRows, kOutputs, kDepth, {8, 0}, {false, true, true});
        for (int32_t& row : c.rows) {
            row = row == 0 ? -1 : row;
        }
        std::vector<float> weights = random.Floats(kOutputs * kDepth), product(kRows * kOutputs), want(kRows * kOutputs);
        for (int64_t k = 0; k < kDepth; k++) {
            weights[static_cast<size_t>(k)] = -0.0f;
        }
        Tensor b(WeightType::kFloat32, layout == WeightLayout::kRows ? weights : InPanels(WeightType::kFloat32, weights, kOutputs, kDepth));
        MatMulArguments p;
        p.m = kRows, p.n = kOutputs, p.k = kDepth, p.a = c.x.data(), p.b = b.weights(layout), p.y = product.data();
        EXPECT(MatMul(path, p, {}).ok(), "MatMul");
        p.y = want.data(), p.bias = c.p.bias, p.residual = c.p.residual;
        EXPECT(MatMul(path, p, {}).ok(), "MatMul");
        c.p.base = product.data();
        EXPECT(SameBits(want, Run(path, c.p)), "%s: rows without an adapter", Name(path));
        c.p.bias = c.p.residual = nullptr;
        EXPECT(SameBits(product, Run(path, c.p)), "%s: rows without an adapter, nothing to add", Name(path));
    }
}

void InPlace(CpuPath path) {
    Random random(75);
    Case c(random, 21, 600, 40, {4, 9}, {true, true, true});
    std::vector<float> want = Run(path, c.p), base = c.base, residual = c.residual;
    Workspace workspace(LoraMatMulWorkspace(c.p));
    c.p.base = c.p.y = base.data();
    EXPECT(LoraMatMul(path, c.p, workspace.get(), {}).ok() && SameBits(want, base), "%s: base may be the result", Name(path));
    c.p.base = c.base.data(), c.p.residual = c.p.y = residual.data();
    EXPECT(LoraMatMul(path, c.p, workspace.get(), {}).ok() && SameBits(want, residual), "%s: the residual may be the result", Name(path));
}

// A NaN or an infinity stays in its row.
void Special(CpuPath path) {
    Random random(76);
    Case c(random, 20, 30, 50, {4, 3}, {false, false, false});
    std::vector<float> clean = Run(path, c.p);
    c.x[7 * 50 + 3] = NAN, c.x[8 * 50] = INFINITY;
    c.rows[7] = 0, c.rows[8] = 1;
    std::vector<float> got = Run(path, c.p);
    for (int64_t i = 0; i < 20; i++) {
        for (int64_t j = 0; j < 30; j++) {
            bool finite = std::isfinite(got[static_cast<size_t>(i * 30 + j)]);
            EXPECT(finite == (i != 7 && i != 8), "[%d, %d] is %g", (int)i, (int)j, got[static_cast<size_t>(i * 30 + j)]);
        }
    }
}

void Errors(CpuPath path) {
    Random random(77);
    auto expect = [&](auto&& change, const char* part) {
        Case c(random, 6, 9, 20, {2, 3}, {true, true, true});
        change(c);
        std::vector<float> y(54, 7);
        c.p.y = c.p.y == nullptr ? y.data() : nullptr;
        Workspace workspace(LoraMatMulWorkspace(c.p));
        EXPECT_ERROR(LoraMatMul(path, c.p, workspace.get(), {}), part);
        EXPECT(std::all_of(y.begin(), y.end(), [](float v) { return v == 7; }), "%s: an error must leave y alone", part);
    };
    expect([](Case& c) { c.p.m = -1; }, "sizes m -1, n 9, k 20, ranks 5, adapters 2: expected 0..2147483647");
    expect([](Case& c) { c.p.ranks = 1 << 21; }, "of ranks and adapters 0..1048576");
    expect([](Case& c) { c.p.adapters = -3; }, "adapters -3");
    expect([](Case& c) { c.p.ranks = 6; }, "adapter_start goes from 0 to 5, expected from 0 to 6, the columns of A");
    expect([](Case& c) { c.start[0] = 1; }, "adapter_start goes from 1 to 5");
    expect([](Case& c) { c.start[1] = 6; }, "adapter_start[2] is 5, below adapter_start[1] = 6");
    expect([](Case& c) { c.start[1] = -1; }, "adapter_start[1] is -1, below adapter_start[0] = 0");
    expect([](Case& c) { c.rows[4] = 2; }, "row_adapter[4] is 2, expected -1 (none)..1");
    expect([](Case& c) { c.rows[0] = -2; }, "row_adapter[0] is -2");
    expect([](Case& c) { c.rows[0] = INT32_MIN; }, "row_adapter[0] is -2147483648");
    expect([](Case& c) { c.p.adapter_start = nullptr; }, "2 adapters without adapter_start: expected 1");
    expect([](Case& c) { c.p.row_adapter = nullptr; }, "2 adapters and no row_adapter");
    expect([](Case& c) { c.p.base = nullptr; }, "x, base, A, B and y must not be null");
}

}  // namespace

int main() {
    Formula();
    for (CpuPath path : {CpuPath::kReference, BestCpuPath()}) {
        Errors(path);
        Passes(path);
        InPlace(path);
        Special(path);
    }
    for (CpuPath path : FastPaths()) {
        Passes(path);
        InPlace(path);
        Special(path);
        Parity(path);
        Invariance(path);
    }
    return Report();
}
