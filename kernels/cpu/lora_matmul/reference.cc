#include <vector>

#include "../common/parallel.h"
#include "paths.h"

namespace longcat {

void LoraMatMulReference(const LoraMatMulArguments& p, const ParallelFor& parallel) {
    For(Unless(p.m * (p.k + p.n) * p.ranks < kInlineWork, parallel), static_cast<size_t>(p.m), [&](size_t index) {
        int64_t i = static_cast<int64_t>(index), adapter = p.row_adapter == nullptr ? 0 : p.row_adapter[i];
        int64_t start = adapter < 0 ? 0 : LoraStart(p, adapter), rank = adapter < 0 ? 0 : LoraRank(p, adapter);
        std::vector<double> u(static_cast<size_t>(rank));
        for (int64_t r = 0; r < rank; r++) {
            for (int64_t k = 0; k < p.k; k++) {
                u[static_cast<size_t>(r)] += static_cast<double>(p.x[i * p.k + k]) * p.a[k * p.ranks + start + r];
            }
        }
        for (int64_t j = 0; j < p.n; j++) {
            double sum = p.base[i * p.n + j];
            for (int64_t r = 0; r < rank; r++) {
                sum += u[static_cast<size_t>(r)] * p.b[(start + r) * p.n + j];
            }
            // Rounded before what the product would have added: rows without an adapter give what it would have given.
            float y = static_cast<float>(adapter < 0 || p.gain == nullptr ? sum : sum * p.gain[adapter * p.n + j]);
            y += p.bias != nullptr ? p.bias[j] : 0.0f;
            y += p.residual != nullptr ? p.residual[i * p.n + j] : 0.0f;
            p.y[i * p.n + j] = y;
        }
    });
}

}  // namespace longcat
