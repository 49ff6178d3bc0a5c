#include "longcat/matmul.h"

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
    std::vector<float> a, bias, residual;
    Tensor b;
    Case(Random& random, int64_t m, int64_t n, int64_t k, WeightType type, bool add)
        : a(random.Floats(m * k)), bias(random.Floats(n)), residual(random.Floats(m * n)), b(type, random.Floats(n * k)) {
        p.m = m, p.n = n, p.k = k, p.a = a.data(), p.b = b.weights();
        p.bias = add ? bias.data() : nullptr;
        p.residual = add ? residual.data() : nullptr;
    }
};

void Parity(CpuPath path, WeightType type) {
    Comparison comparison(Text("MatMul %s %s", Name(path), Name(type)).c_str(), 1e-5 * 3, "float32 sums of up to 2100 products below 1");
    Random random(11);
    int64_t shapes[][3] = {{0, 4, 8},     {1, 1, 1},     {1, 7, 5},      {2, 6, 16},    {3, 5, 17},
                           {4, 13, 33},   {5, 25, 64},   {17, 31, 129},  {1, 300, 256}, {65, 19, 40},
                           {7, 50, 1024}, {9, 14, 1025}, {70, 30, 2100}, {128, 64, 96}, {3, 4, 0}};
    for (auto& s : shapes) {
        for (bool add : {false, true}) {
            Case c(random, s[0], s[1], s[2], type, add);
            comparison.Add(Run(path, c.p), Run(CpuPath::kReference, c.p), Text("m %d n %d k %d", (int)s[0], (int)s[1], (int)s[2]));
        }
    }
    for (int i = 0; i < 40; i++) {
        Case c(random, random.Between(1, 40), random.Between(1, 60), random.Between(1, 300), type, i % 2 == 0);
        comparison.Add(Run(path, c.p), Run(CpuPath::kReference, c.p), "random shape");
    }
}

// A row alone gives the bits it has in any batch, and threads change nothing.
void Invariance(CpuPath path, WeightType type) {
    Random random(12);
    for (auto& s : {std::vector<int64_t>{70, 33, 100}, {130, 50, 1500}, {9, 29, 3200}}) {
        Case c(random, s[0], s[1], s[2], type, true);
        std::vector<float> whole = Run(path, c.p);
        for (int threads : {2, 5}) {
            Threads pool(threads);
            EXPECT(SameBits(whole, Run(path, c.p, pool.parallel())), "%s: %d threads", Name(path), threads);
        }
        for (int64_t rows : {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{4}, int64_t{5}, int64_t{8}}) {
            for (int64_t first : {int64_t{0}, s[0] - rows}) {
                MatMulArguments part = c.p;
                part.m = rows;
                part.a += first * s[2];
                part.residual += first * s[1];
                std::vector<float> want(whole.begin() + first * s[1], whole.begin() + (first + rows) * s[1]);
                EXPECT(SameBits(want, Run(path, part)), "%s %s: rows %d from %d of [%d, %d, %d]", Name(path), Name(type), (int)rows,
                       (int)first, (int)s[0], (int)s[1], (int)s[2]);
            }
        }
    }
}

void Special(CpuPath path) {
    float a[] = {1e30f, -1e30f, 1, 0}, b[] = {1e30f, 1, 1, 1, 1, 1, INFINITY, NAN};
    MatMulArguments p;
    p.m = 1, p.n = 2, p.k = 4, p.a = a, p.b = {b, WeightType::kFloat32};
    std::vector<float> y = Run(path, p);
    EXPECT(std::isinf(y[0]) && std::isnan(y[1]), "%g %g", y[0], y[1]);

    Random random(13);
    Case c(random, 6, 9, 20, WeightType::kFloat32, true);
    std::vector<float> want = Run(path, c.p), in_place = c.residual;
    c.p.residual = in_place.data();
    c.p.y = in_place.data();
    EXPECT(MatMul(path, c.p, {}).ok() && SameBits(want, in_place), "the residual may be the result");
    c.p.k = -1;
    EXPECT_ERROR(MatMul(path, c.p, {}), "must not be negative");
}

}  // namespace

int main() {
    CpuPath path;
    EXPECT(SelectCpuPath("", &path).ok() && path == BestCpuPath(), "%s", Name(path));
    EXPECT(SelectCpuPath("reference", &path).ok() && path == CpuPath::kReference, "%s", Name(path));
    EXPECT_ERROR(SelectCpuPath("fast", &path), "LONGCAT_KERNEL=fast is unknown; expected reference, avx2 or avx512");
    Special(CpuPath::kReference);
    for (CpuPath fast : FastPaths()) {
        Special(fast);
        for (WeightType type : {WeightType::kFloat32, WeightType::kBFloat16}) {
            Parity(fast, type);
            Invariance(fast, type);
        }
    }
    return Report();
}
