// Stages (1) to (3) of longcat/w4a8_matmul.h. Include after ../simd/bytes_avx512.h and ints_vnni.h, or bytes_avx2.h and ints_avx2.h.
#pragma once

#include "../common/parallel.h"
#include "../common/row_scale.h"
#include "../simd/quantize.h"
#include "../simd/w4a8_panels.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kRuns = 24;      // of panels per chunk of rows: as many tasks at least
constexpr int64_t kBuffer = 2048;  // quantized values on their way to the interleaved block

class W4A8Run {
  public:
    W4A8Run(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments), plan_(PlanW4A8(arguments)), parallel_(parallel), shape_(arguments.layout), blocks_(W4A8Blocks(arguments.m)) {
        char* memory = static_cast<char*>(workspace);
        scales_ = reinterpret_cast<float*>(memory + plan_.scales);
        values_ = reinterpret_cast<int32_t*>(memory + plan_.rows);
    }

    void Run() {
        For(Unless(p.m * p.layout.k < kInlineWork, parallel_), static_cast<size_t>(blocks_.count), [&](size_t index) {
            int64_t block = static_cast<int64_t>(index);
            for (int64_t row = blocks_.First(block); row < blocks_.First(block + 1); row++) {
                p.xq == nullptr ? QuantizeRow(row) : TakeRow(row);
            }
        });
        // Tasks are runs of panels, so that the streams that bring them are long: enough of them for threads that are not alike. Those of
        // one chunk of rows follow each other: its rows stay near while the panels pass.
        int64_t panels = CeilDivide(p.layout.n, kW4A8PanelColumns), run = Larger(1, panels / kRuns), runs = CeilDivide(panels, run);
        int64_t chunks = CeilDivide(blocks_.count, kMostBlocks);
        For(Unless(p.m * p.layout.n * p.layout.k < 8 * kInlineWork, parallel_), static_cast<size_t>(chunks * runs), [&](size_t index) {
            int64_t chunk = static_cast<int64_t>(index) / runs, first = static_cast<int64_t>(index) % runs * run;
            int64_t begin = chunk * blocks_.count / chunks, end = (chunk + 1) * blocks_.count / chunks;
            for (int64_t panel = first; panel < Smaller(first + run, panels); panel++) {
                Panel(panel, panel + 1 < panels, begin, end);
            }
        });
    }

  private:
    void Panel(int64_t panel, bool follows, int64_t begin, int64_t end) {
        int64_t column = panel * kW4A8PanelColumns;
        IntOutput output;
        output.scale = p.scale + column;
        output.bias = p.bias == nullptr ? nullptr : p.bias + column;
        output.residual = p.residual == nullptr ? nullptr : p.residual + column;
        output.y = p.y + column;
        output.stride = p.layout.n;
        output.columns = Smaller(kW4A8PanelColumns, p.layout.n - column);
        const uint8_t* weights = p.weights + panel * shape_.panel_bytes;
        W4A8PanelProduct(shape_, weights, follows ? weights + shape_.panel_bytes : nullptr, blocks_, begin, end, {values_, scales_},
                         output);
    }

    void QuantizeRow(int64_t row) {
        const float* x = p.x + row * p.layout.k;
        RowScale scale = RowScaleOfBits(LargestBits(x, p.layout.k), p.static_scale);
        scales_[row] = scale.scale;
        int64_t block = blocks_.Of(row), first = blocks_.First(block), height = blocks_.Rows(block), group = Larger(shape_.group, 1);
        int32_t *to = values_ + first * shape_.row_words + (row - first), *start = to;
        // Pieces are whole groups, or parts of one.
        int64_t piece = group <= kBuffer ? kBuffer / group * group : kBuffer;
        for (int64_t from = 0; from < p.layout.k; from += piece) {
            alignas(64) int8_t a[kBuffer];
            int32_t sums[kBuffer / kW4A8StepDepth];
            int64_t end = Smaller(from + piece, p.layout.k);
            QuantizeWith(FloatRow{x + from}, end - from, scale, p.static_scale, a);
            GroupSums(a, end - from, Smaller(group, piece), sums);
            const int32_t* sum = sums;
            for (int64_t at = from; at < end; sum++) {
                int64_t next = Smaller(Smaller(at / group * group + group, at + kBuffer), end);
                if (at % group == 0) {
                    start = to;
                    *start = 0;
                    to += height;
                }
                *start += kW4A8Start * *sum;
                to = Interleave(a + (at - from), next - at, CeilDivide(next - at, kW4A8StepDepth) * kW4A8StepDepth, height, to);
                at = next;
            }
        }
    }

    void TakeRow(int64_t row) {
        W4A8PutRow(shape_, blocks_, row, p.xq + row * p.layout.k, p.x_sums + row * shape_.groups, values_);
        scales_[row] = p.x_scale[row];
    }

    const W4A8MatMulArguments& p;
    W4A8Plan plan_;
    const ParallelFor& parallel_;
    W4A8Shape shape_;
    IntBlocks blocks_;
    float* scales_;
    int32_t* values_;
};

}  // namespace
}  // namespace longcat
