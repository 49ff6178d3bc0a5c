#include <cmath>

#include "../common/parallel.h"
#include "../common/row_scale.h"
#include "paths.h"

namespace longcat {

// The specification: one weight at a time, sums in 64 bits.
void W8A8MatMulReference(const W8A8MatMulArguments& p, const ParallelFor& parallel) {
    const float most = p.activation_bits == 8 ? 127.0f : 32512.0f;
    For(parallel, static_cast<size_t>(p.m), [&](size_t index) {
        int64_t row = static_cast<int64_t>(index);
        float largest = 0;
        bool finite = true;
        for (int64_t k = 0; k < p.k && p.x != nullptr; k++) {
            finite = finite && std::isfinite(p.x[row * p.k + k]);
            largest = std::fmax(largest, std::fabs(p.x[row * p.k + k]));
        }
        auto [own_scale, inverse] = RowScaleOf(largest, finite, 0, most);
        float scale = p.x == nullptr ? p.x_scale[row] : own_scale;
        for (int64_t n = 0; n < p.n; n++) {
            int64_t total = 0;
            for (int64_t k = 0; k < p.k && finite; k++) {
                int64_t a = p.x == nullptr
                                ? p.xq[row * p.k + k]
                                : static_cast<int64_t>(std::fmin(std::fmax(std::nearbyint(p.x[row * p.k + k] * inverse), -most), most));
                total += a * W8A8Weight(p.k, p.weights, n, k);
            }
            float y = finite ? static_cast<float>(total) * (scale * p.scale[n]) : __builtin_nanf("");
            p.y[row * p.n + n] = p.bias == nullptr ? y : y + p.bias[n];
        }
    });
}

}  // namespace longcat
