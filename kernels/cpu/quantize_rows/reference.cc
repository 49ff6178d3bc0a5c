#include <cmath>
#include <vector>

#include "../common/parallel.h"
#include "../common/row_scale.h"
#include "paths.h"

namespace longcat {
namespace {

// The specification: value(k) gives the row's floats; where `finite` is false the row is NaN whatever they are.
template <class Value>
void Quantize(const QuantizedRows& rows, int64_t row, bool finite, const Value& value) {
    float largest = 0;
    for (int64_t k = 0; k < rows.k; k++) {
        finite = finite && std::isfinite(value(k));
        largest = std::fmax(largest, std::fabs(value(k)));
    }
    RowScale scale = RowScaleOf(largest, finite, rows.static_scale);
    rows.scale[row] = scale.scale;
    int64_t groups = CeilDivide(rows.k, rows.group);
    for (int64_t g = 0; g < groups; g++) {
        int32_t sum = 0;
        for (int64_t k = g * rows.group; k < Smaller(rows.k, (g + 1) * rows.group); k++) {
            float whole = finite ? std::nearbyint(value(k) * scale.inverse) : 0;
            int8_t a = static_cast<int8_t>(std::fmin(std::fmax(whole, -127.0f), 127.0f));
            rows.a[row * rows.k + k] = a;
            sum += a;
        }
        if (rows.sums != nullptr) {
            rows.sums[row * groups + g] = sum;
        }
    }
}

}  // namespace

void QuantizeRowsReference(const QuantizeRowsArguments& p, const ParallelFor& parallel) {
    For(parallel, static_cast<size_t>(p.rows.m), [&](size_t index) {
        int64_t row = static_cast<int64_t>(index);
        Quantize(p.rows, row, true, [&](int64_t k) { return p.x[row * p.rows.k + k]; });
    });
}

void RmsNormQuantizeReference(const RmsNormQuantizeArguments& p, void* workspace, const ParallelFor&) {
    float* v = static_cast<float*>(workspace);
    for (int64_t row = 0; row < p.rows.m; row++) {
        const int64_t first = row * p.rows.k;
        double squares = 0;
        for (int64_t k = 0; k < p.rows.k; k++) {
            v[k] = p.x[first + k] + (p.skip == nullptr ? 0 : p.skip[first + k]);
            if (p.sum != nullptr) {
                p.sum[first + k] = v[k];
            }
            squares += static_cast<double>(v[k]) * v[k];
        }
        double mean = squares / static_cast<double>(Larger(p.rows.k, 1)) + p.epsilon, factor = mean > 0 ? 1 / std::sqrt(mean) : 0;
        bool finite = squares <= __FLT_MAX__;
        for (int64_t k = 0; k < p.rows.k; k++) {
            finite = finite && std::isfinite(v[k] * p.weight[k]);
        }
        for (int64_t k = 0; k < p.rows.k; k++) {
            v[k] = finite ? static_cast<float>(static_cast<double>(v[k]) * p.weight[k] * factor) : __builtin_nanf("");
            if (p.normed != nullptr) {
                p.normed[first + k] = v[k];
            }
        }
        Quantize(p.rows, row, finite, [&](int64_t k) { return v[k]; });
    }
}

void SiluMulQuantizeReference(const SiluMulQuantizeArguments& p, void* workspace, const ParallelFor&) {
    for (int64_t row = 0; row < p.rows.m; row++) {
        float* v = p.value != nullptr ? p.value + row * p.rows.k : static_cast<float*>(workspace);
        for (int64_t k = 0; k < p.rows.k; k++) {
            double gate = p.gate[row * p.rows.k + k];
            v[k] = static_cast<float>(gate / (1 + std::exp(-gate)) * p.up[row * p.rows.k + k]);
        }
        Quantize(p.rows, row, true, [&](int64_t k) { return v[k]; });
    }
}

}  // namespace longcat
