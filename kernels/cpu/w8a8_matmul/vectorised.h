// W8A8MatMul of longcat/w8a8_matmul.h. Include after ../simd/ints_vnni.h, ints_avx2.h or ints_neon.h.
#pragma once

#include "../common/parallel.h"
#include "../common/row_scale.h"
#include "../simd/w8a8_panels.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kRowChunk = 96;  // rows that stay in the second-level cache while all panels pass
constexpr int64_t kBuffer = 1024;  // quantized values on their way to the interleaved block

template <int D>  // digits of an activation
class W8A8Run {
  public:
    W8A8Run(const W8A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments), plan_(PlanW8A8(arguments)), parallel_(parallel), blocks_(W8A8Blocks<D>(arguments.m)) {
        char* memory = static_cast<char*>(workspace);
        scales_ = reinterpret_cast<float*>(memory + plan_.scales);
        values_ = reinterpret_cast<int32_t*>(memory + plan_.rows);
    }

    void Run() {
        For(Unless(p.m * p.k < kInlineWork, parallel_), static_cast<size_t>(blocks_.count), [&](size_t index) {
            int64_t block = static_cast<int64_t>(index);
            for (int64_t row = blocks_.First(block); row < blocks_.First(block + 1); row++) {
                p.xq == nullptr ? QuantizeRow(row) : TakeRow(row);
            }
        });
        const IntRows rows{values_, scales_};
        int64_t panels = CeilDivide(p.n, kW8A8PanelColumns), panel_bytes = W8A8PanelBytes(p.k);
        int64_t blocks_per_chunk = Larger(1, kRowChunk * D / Ints::kByteRows), chunks = CeilDivide(blocks_.count, blocks_per_chunk);
        For(Unless(p.m * p.n * p.k < 8 * kInlineWork, parallel_), static_cast<size_t>(chunks * panels), [&](size_t index) {
            int64_t chunk = static_cast<int64_t>(index) / panels, panel = static_cast<int64_t>(index) % panels;
            int64_t column = panel * kW8A8PanelColumns;
            IntOutput output;
            output.scale = p.scale + column;
            output.bias = p.bias == nullptr ? nullptr : p.bias + column;
            output.y = p.y + column;
            output.stride = p.n;
            output.columns = Smaller(kW8A8PanelColumns, p.n - column);
            const uint8_t* weights = p.weights + panel * panel_bytes;
            int64_t begin = chunk * blocks_per_chunk, end = Smaller(begin + blocks_per_chunk, blocks_.count);
            for (int64_t block = begin; block < end; block++) {
                bool fetch = block == begin && end - begin > 2 && panel + 1 < panels;
                W8A8PanelProduct<D>(plan_.depth, weights, fetch ? weights + panel_bytes : nullptr, blocks_, block, rows, output);
            }
        });
    }

  private:
    void QuantizeRow(int64_t row) {
        const float* x = p.x + row * p.k;
        bool finite;
        float largest = Ints::Largest(x, p.k, &finite);
        constexpr float kMost = D == 1 ? 127.0f : 32512.0f;
        RowScale scale = RowScaleOf(largest, finite, 0, kMost);
        scales_[row] = scale.scale;
        int64_t block = blocks_.Of(row), first = blocks_.First(block), stride = D * blocks_.Rows(block);
        int32_t *starts = values_ + first * D * (1 + plan_.depth / 4) + D * (row - first), *to = starts + stride;
        int32_t sums[D] = {};
        for (int64_t at = 0; at < p.k; at += kBuffer) {
            int64_t count = Smaller(kBuffer, p.k - at), filled = CeilDivide(count, 4) * 4;
            alignas(64) int8_t digits[D][kBuffer + 16] = {};
            if (finite) {
                if constexpr (D == 1) {
                    Ints::Quantize(x + at, count, scale.inverse, digits[0]);
                } else {
                    Ints::QuantizeDigits(x + at, count, scale.inverse, digits[0], digits[1]);
                }
            }
            for (int d = 0; d < D; d++) {
                sums[d] += Ints::Sum(digits[d], filled);
                Interleave(digits[d], filled, filled, stride, to + d);
            }
            to += filled / 4 * stride;
        }
        for (int d = 0; d < D; d++) {
            starts[d] = kW8A8Start * sums[d];
        }
    }

    void TakeRow(int64_t row) {
        int64_t block = blocks_.Of(row), first = blocks_.First(block), height = blocks_.Rows(block);
        int32_t* to = values_ + first * (1 + plan_.depth / 4) + (row - first);
        *to = kW8A8Start * p.x_sums[row];
        Interleave(p.xq + row * p.k, p.k, plan_.depth, height, to + height);
        scales_[row] = p.x_scale[row];
    }

    const W8A8MatMulArguments& p;
    W8A8Plan plan_;
    const ParallelFor& parallel_;
    IntBlocks blocks_;
    float* scales_;
    int32_t* values_;
};

}  // namespace
}  // namespace longcat
