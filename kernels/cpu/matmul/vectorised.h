// Stages (1) to (3) of longcat/matmul.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/tiles.h"
#include "longcat/matmul.h"

namespace longcat {
namespace {

// Rows of b per task: enough work to pay for handing it over, few enough tasks' ends to wait for.
constexpr int64_t kTaskElements = 96 * 1024;
constexpr int kMostColumns = 192;

inline void MatMulTask(const MatMulArguments& p, int64_t row, int rows, int64_t column, int columns) {
    const float* a[kProductRows];
    for (int i = 0; i < rows; i++) {
        a[i] = p.a + (row + i) * p.k;
    }
    // Products go to a buffer: the residual may be y itself.
    float c[kProductRows * Simd::kDotColumns];
    for (int j = 0; j < columns; j += Simd::kDotColumns) {
        int width = Least(Simd::kDotColumns, columns - j);
        Product(a, rows, p.b, column + j, width, p.k, c, Simd::kDotColumns);
        for (int i = 0; i < rows; i++) {
            for (int x = 0; x < width; x++) {
                int64_t to = (row + i) * p.n + column + j + x;
                float y = c[i * Simd::kDotColumns + x];
                if (p.bias != nullptr) {
                    y += p.bias[column + j + x];
                }
                if (p.residual != nullptr) {
                    y += p.residual[to];
                }
                p.y[to] = y;
            }
        }
    }
}

inline void MatMulVectorised(const MatMulArguments& p, const ParallelFor& parallel) {
    int64_t rows = Smaller(p.m, p.k > 3 * kProductDepth ? kProductRows / 2 : kProductRows);
    int64_t columns = kTaskElements / Larger(1, p.k * CeilDivide(rows, Simd::kDotRows));
    columns = CeilDivide(Larger(Smaller(columns, kMostColumns), 1), Simd::kDotColumns) * Simd::kDotColumns;
    int64_t row_blocks = CeilDivide(p.m, rows), column_blocks = CeilDivide(p.n, columns);
    // Blocks of rows follow each other for the same weights, which are then still in a cache.
    For(Unless(p.m * p.n * p.k < kInlineWork, parallel), static_cast<size_t>(row_blocks * column_blocks), [&](size_t index) {
        int64_t row = static_cast<int64_t>(index) % row_blocks * rows, column = static_cast<int64_t>(index) / row_blocks * columns;
        MatMulTask(p, row, static_cast<int>(Smaller(rows, p.m - row)), column, static_cast<int>(Smaller(columns, p.n - column)));
    });
}

}  // namespace
}  // namespace longcat
