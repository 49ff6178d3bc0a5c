// Stages (1) to (3) of longcat/matmul.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/panels.h"
#include "../simd/tiles.h"
#include "longcat/matmul.h"

namespace longcat {
namespace {

// Rows of b per task: enough work to pay for handing it over, few enough tasks' ends to wait for.
constexpr int64_t kTaskElements = 96 * 1024;
constexpr int kMostColumns = 192;
// The same for weights in panels.
constexpr int64_t kPanelTaskElements = 1024 * 1024;
constexpr int64_t kFewestPanels = 8, kMostPanels = 16;

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

// y = (c + bias) + residual for a block of y.
inline void MatMulFinish(const MatMulArguments& p, const float* c, int64_t c_stride, int64_t row, int rows, int64_t column,
                         int64_t columns) {
    for (int i = 0; i < rows; i++) {
        int64_t to = (row + i) * p.n + column;
        for (int64_t x = 0; x < columns; x += Simd::kLanes) {
            int64_t rest = columns - x;
            Vector y = Simd::Load(c + i * c_stride + x);  // whole panels: there is always a whole vector
            if (rest >= Simd::kLanes) {
                y = p.bias != nullptr ? Simd::Add(y, Simd::Load(p.bias + column + x)) : y;
                y = p.residual != nullptr ? Simd::Add(y, Simd::Load(p.residual + to + x)) : y;
                Simd::Store(p.y + to + x, y);
            } else {
                y = p.bias != nullptr ? Simd::Add(y, Simd::Load(p.bias + column + x, rest)) : y;
                y = p.residual != nullptr ? Simd::Add(y, Simd::Load(p.residual + to + x, rest)) : y;
                Simd::Store(p.y + to + x, y, rest);
            }
        }
    }
}

inline void MatMulPanels(const MatMulArguments& p, const ParallelFor& parallel) {
    int64_t all = CeilDivide(p.n, kPanelOutputs);
    int64_t row_blocks = CeilDivide(p.m, kMostRows), rows = CeilDivide(p.m, row_blocks);
    // Several tiles of rows: as many panels as there is room for, since the rows are packed anew for each block of panels.
    int64_t panels = rows > Simd::kPanelRows
                         ? kMostPanels
                         : Smaller(kMostPanels, Larger(kFewestPanels, kPanelTaskElements / Larger(1, p.k * kPanelOutputs)));
    int64_t width = kTileWidths[WidestTile(static_cast<int>(Smaller(rows, Simd::kPanelRows)))];
    panels = Larger(panels / width, 1) * width;
    int64_t panel_blocks = CeilDivide(all, panels);
    // Blocks of rows follow each other for the same weights, which are then still in a cache.
    For(Unless(p.m * p.n * p.k < kInlineWork, parallel), static_cast<size_t>(row_blocks * panel_blocks), [&](size_t index) {
        int64_t row = static_cast<int64_t>(index) % row_blocks * rows, panel = static_cast<int64_t>(index) / row_blocks * panels;
        int height = static_cast<int>(Smaller(rows, p.m - row)), width = static_cast<int>(Smaller(panels, all - panel));
        const float* a[kMostRows];
        for (int i = 0; i < height; i++) {
            a[i] = p.a + (row + i) * p.k;
        }
        alignas(64) float c[kMostRows * kMostPanels * kPanelOutputs];
        int64_t c_stride = width * kPanelOutputs, column = panel * kPanelOutputs;
        PanelProduct(a, height, p.b, panel, width, p.k, c, c_stride);
        MatMulFinish(p, c, c_stride, row, height, column, Smaller(c_stride, p.n - column));
    });
}

inline void MatMulVectorised(const MatMulArguments& p, const ParallelFor& parallel) {
    if (p.b.layout == WeightLayout::kPanels) {
        MatMulPanels(p, parallel);
        return;
    }
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
