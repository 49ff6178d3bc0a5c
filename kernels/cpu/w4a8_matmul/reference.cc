#include <cmath>
#include <vector>

#include "../common/parallel.h"
#include "../common/row_scale.h"
#include "paths.h"

namespace longcat {

// The specification: unpacks one weight at a time and adds in 64 bits.
void W4A8MatMulReference(const W4A8MatMulArguments& p, const ParallelFor& parallel) {
    const W4A8Layout& layout = p.layout;
    int64_t panel_bytes = W4A8PanelBytes(layout), group = Smaller(layout.group, Larger(layout.k, 1));
    For(parallel, static_cast<size_t>(p.m), [&](size_t index) {
        const float* x = p.x + static_cast<int64_t>(index) * layout.k;
        const int8_t* xq = p.xq == nullptr ? nullptr : p.xq + static_cast<int64_t>(index) * layout.k;
        float largest = 0;
        bool finite = true;
        for (int64_t k = 0; k < layout.k && xq == nullptr; k++) {
            finite = finite && std::isfinite(x[k]);
            largest = std::fmax(largest, std::fabs(x[k]));
        }
        auto [own_scale, inverse] = RowScaleOf(largest, finite, p.static_scale);
        float scale = xq != nullptr ? p.x_scale[index] : own_scale;
        auto activation = [&](int64_t k) {
            if (xq != nullptr) {
                return static_cast<int64_t>(xq[k]);
            }
            float value = std::nearbyint(x[k] * inverse);
            return static_cast<int64_t>(std::fmin(std::fmax(value, -127.0f), 127.0f));
        };
        for (int64_t n = 0; n < layout.n; n++) {
            const uint8_t* at = p.weights + n / kW4A8PanelColumns * panel_bytes;
            int64_t column = n % kW4A8PanelColumns, total = 0;
            for (int64_t first = 0; first < layout.k; first += group) {
                int64_t length = Smaller(group, layout.k - first), steps = CeilDivide(length, kW4A8StepDepth), sum = 0;
                for (int64_t i = 0; finite && i < length; i++) {
                    uint8_t byte = at[i / 8 * 256 + column * 4 + i % 4];
                    sum += activation(first + i) * ((i % 8 < 4 ? byte & 15 : byte >> 4) - 8);
                }
                at += steps * 256;
                int64_t group_scale = layout.group_scale_bytes == 0   ? 1
                                      : layout.group_scale_bytes == 1 ? static_cast<int8_t>(at[column])
                                                                      : static_cast<int16_t>(at[2 * column] + 256 * at[2 * column + 1]);
                at += layout.group_scale_bytes * kW4A8PanelColumns;
                total += sum * group_scale;
            }
            float value = finite ? static_cast<float>(static_cast<int32_t>(total)) * (scale * p.scale[n]) : __builtin_nanf("");
            if (p.bias != nullptr) {
                value += p.bias[n];
            }
            if (p.residual != nullptr) {
                value += p.residual[static_cast<int64_t>(index) * layout.n + n];
            }
            p.y[static_cast<int64_t>(index) * layout.n + n] = value;
        }
    });
}

}  // namespace longcat
