#include "longcat/matmul.h"

#include <algorithm>

#include "harness.h"

using namespace longcat;
using namespace longcat::test;

namespace {

std::vector<float> Run(CpuPath path, MatMulArguments p, const ParallelFor& parallel = {}) {
    // One guard element behind the result: tails must not write past it.
    std::vector<float> y(static_cast<size_t>(p.m * p.n) + 1, 12345.0f);
    p.y = y.data();
    Status status = MatMul(path, p, parallel);
    EXPECT(status.ok(), "%s", status.message);
    EXPECT(y.back() == 12345.0f, "wrote past the end");
    y.pop_back();
    return y;
}

struct Case {
    MatMulArguments p;
    std::vector<float> a, bias, residual, rows;
    Tensor b, panels;
    Case(Random& random, int64_t m, int64_t n, int64_t k, WeightType type, bool add)
        : a(random.Floats(m * k)),
          bias(random.Floats(n)),
          residual(random.Floats(m * n)),
          rows(random.Floats(n * k)),
          b(type, rows),
          panels(type, InPanels(type, rows, n, k, 7e20f)) {
        p.m = m, p.n = n, p.k = k, p.a = a.data(), p.b = b.weights();
        p.bias = add ? bias.data() : nullptr;
        p.residual = add ? residual.data() : nullptr;
    }
    MatMulArguments With(WeightLayout layout) const {
        MatMulArguments with = p;
        with.b = layout == WeightLayout::kRows ? b.weights() : panels.weights(layout);
        return with;
    }
};

constexpr WeightLayout kLayouts[] = {WeightLayout::kRows, WeightLayout::kPanels};

// The padding of panels is a large number here: a kernel that lets it into a result is seen.
void Parity(CpuPath path, WeightType type, WeightLayout layout) {
    Comparison comparison(Text("MatMul %s %s %s", Name(path), Name(type), Name(layout)).c_str(), 1e-5 * 3,
                          "float32 sums of up to 2100 products below 1");
    Random random(11);
    int64_t shapes[][3] = {{0, 4, 8},      {1, 1, 1},      {1, 7, 5},     {2, 6, 16},     {3, 5, 17},     {4, 13, 33},
                           {5, 25, 64},    {17, 31, 129},  {1, 300, 256}, {65, 19, 40},   {7, 50, 1024},  {9, 14, 1025},
                           {70, 30, 2100}, {128, 64, 96},  {3, 4, 0},     {1, 16, 256},   {1, 130, 2049}, {2, 47, 513},
                           {13, 33, 2050}, {15, 300, 255}, {29, 48, 770}, {113, 17, 300}, {230, 260, 31}, {1, 33, 0}};
    for (auto& s : shapes) {
        for (bool add : {false, true}) {
            Case c(random, s[0], s[1], s[2], type, add);
            comparison.Add(Run(path, c.With(layout)), Run(CpuPath::kReference, c.p),
                           Text("m %d n %d k %d", (int)s[0], (int)s[1], (int)s[2]));
        }
    }
    for (int i = 0; i < 40; i++) {
        Case c(random, random.Between(1, 40), random.Between(1, 60), random.Between(1, 300), type, i % 2 == 0);
        comparison.Add(Run(path, c.With(layout)), Run(CpuPath::kReference, c.p), "random shape");
    }
}

// A row alone gives the bits it has in any batch, and threads change nothing.
void Invariance(CpuPath path, WeightType type, WeightLayout layout) {
    Random random(12);
    for (auto& s : {std::vector<int64_t>{70, 33, 100}, {130, 50, 1500}, {9, 29, 3200}, {14, 300, 2561}, {260, 280, 259}}) {
        Case c(random, s[0], s[1], s[2], type, true);
        c.p = c.With(layout);
        std::vector<float> whole = Run(path, c.p);
        for (int threads : {2, 5}) {
            Threads pool(threads);
            EXPECT(SameBits(whole, Run(path, c.p, pool.parallel())), "%s %s: %d threads", Name(path), Name(layout), threads);
        }
        for (int64_t rows :
             {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{4}, int64_t{5}, int64_t{7}, int64_t{8}, std::min<int64_t>(s[0], 13)}) {
            for (int64_t first : {int64_t{0}, s[0] - rows}) {
                MatMulArguments part = c.p;
                part.m = rows;
                part.a += first * s[2];
                part.residual += first * s[1];
                std::vector<float> want(whole.begin() + first * s[1], whole.begin() + (first + rows) * s[1]);
                EXPECT(SameBits(want, Run(path, part)), "%s %s %s: rows %d from %d of [%d, %d, %d]", Name(path), Name(type), Name(layout),
                       (int)rows, (int)first, (int)s[0], (int)s[1], (int)s[2]);
            }
        }
    }
}

// Column blocks too: an output has the same bits whatever outputs stand beside it.
void Columns(CpuPath path, WeightType type) {
    Random random(14);
    for (int64_t m : {int64_t{1}, int64_t{4}, int64_t{40}}) {
        constexpr int64_t kOutputs = 200, kDepth = 700;
        Case c(random, m, kOutputs, kDepth, type, false);
        std::vector<float> whole = Run(path, c.With(WeightLayout::kPanels));
        for (int64_t first : {int64_t{0}, int64_t{16}, int64_t{160}}) {
            for (int64_t count : {int64_t{1}, int64_t{17}, int64_t{40}}) {
                Tensor part(type,
                            InPanels(type, std::vector<float>(c.rows.begin() + first * kDepth, c.rows.begin() + (first + count) * kDepth),
                                     count, kDepth));
                MatMulArguments p = c.p;
                p.n = count;
                p.b = part.weights(WeightLayout::kPanels);
                std::vector<float> want, got = Run(path, p);
                for (int64_t i = 0; i < m; i++) {
                    want.insert(want.end(), whole.begin() + i * kOutputs + first, whole.begin() + i * kOutputs + first + count);
                }
                EXPECT(SameBits(want, got), "%s %s: outputs %d from %d, %d rows", Name(path), Name(type), (int)count, (int)first, (int)m);
            }
        }
    }
}

// The specification reads both layouts; the two must be one matrix.
void Layouts(WeightType type) {
    Random random(15);
    for (int i = 0; i < 20; i++) {
        Case c(random, random.Between(1, 5), random.Between(1, 50), random.Between(0, 40), type, true);
        EXPECT(SameBits(Run(CpuPath::kReference, c.p), Run(CpuPath::kReference, c.With(WeightLayout::kPanels))), "%s", Name(type));
    }
}

void Special(CpuPath path) {
    float a[] = {1e30f, -1e30f, 1, 0}, b[] = {1e30f, 1, 1, 1, 1, 1, INFINITY, NAN};
    MatMulArguments p;
    p.m = 1, p.n = 2, p.k = 4, p.a = a, p.b = {b, WeightType::kFloat32};
    std::vector<float> y = Run(path, p);
    EXPECT(std::isinf(y[0]) && std::isnan(y[1]), "%g %g", y[0], y[1]);

    Random random(13);
    for (WeightLayout layout : kLayouts) {
        Case c(random, 6, 9, 20, WeightType::kFloat32, true);
        c.p = c.With(layout);
        std::vector<float> want = Run(path, c.p), in_place = c.residual;
        c.p.residual = in_place.data();
        c.p.y = in_place.data();
        EXPECT(MatMul(path, c.p, {}).ok() && SameBits(want, in_place), "%s: the residual may be the result", Name(layout));
        c.p.k = -1;
        EXPECT_ERROR(MatMul(path, c.p, {}), "must not be negative");
    }
}

}  // namespace

int main() {
    CpuPath path;
    EXPECT(SelectCpuPath("", &path).ok() && path == BestCpuPath(), "%s", Name(path));
    EXPECT(SelectCpuPath("reference", &path).ok() && path == CpuPath::kReference, "%s", Name(path));
    EXPECT_ERROR(SelectCpuPath("fast", &path), "LONGCAT_KERNEL=fast is unknown; expected reference, avx2, avxvnni, avx512, avx512bf16 or neon");
    Special(CpuPath::kReference);
    Layouts(WeightType::kFloat32);
    Layouts(WeightType::kBFloat16);
    for (CpuPath fast : FastPaths()) {
        Special(fast);
        for (WeightType type : {WeightType::kFloat32, WeightType::kBFloat16}) {
            for (WeightLayout layout : kLayouts) {
                Parity(fast, type, layout);
                Invariance(fast, type, layout);
            }
            Columns(fast, type);
        }
    }
    return Report();
}
