#include "../common/numbers.h"
#include "../common/parallel.h"
#include "paths.h"

namespace longcat {

void MatMulReference(const MatMulArguments& p, const ParallelFor& parallel) {
    For(Unless(p.m * p.n * p.k < kInlineWork, parallel), static_cast<size_t>(p.n), [&](size_t index) {
        int64_t j = static_cast<int64_t>(index);
        for (int64_t i = 0; i < p.m; i++) {
            double sum = 0;
            for (int64_t k = 0; k < p.k; k++) {
                sum += static_cast<double>(p.a[i * p.k + k]) * WeightOf(p.b, j, k, p.k);
            }
            // Rounded before the additions, which LoraMatMul may make in its place.
            float y = static_cast<float>(sum);
            y += p.bias != nullptr ? p.bias[j] : 0.0f;
            y += p.residual != nullptr ? p.residual[i * p.n + j] : 0.0f;
            p.y[i * p.n + j] = y;
        }
    });
}

}  // namespace longcat
