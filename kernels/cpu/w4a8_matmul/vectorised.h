// Stages (1) to (3) of longcat/w4a8_matmul.h. Include after ../simd/bytes_avx2.h and ints_avx2.h, or the same of another path.
#pragma once

#include "../common/parallel.h"
#include "../common/ranges.h"
#include "../common/row_scale.h"
#include "../simd/quantize.h"
#include "../simd/w4a8_panels.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kBuffer = 2048;  // quantized values on their way to the interleaved block

class W4A8Run {
  public:
    W4A8Run(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments),
          plan_(PlanW4A8(arguments)),
          parallel_(parallel),
          shape_(arguments.layout),
          blocks_(W4A8Blocks(shape_, arguments.m)) {
        char* memory = static_cast<char*>(workspace);
        scales_ = reinterpret_cast<float*>(memory + plan_.scales);
        values_ = reinterpret_cast<int32_t*>(memory + plan_.rows);
    }

    void Run() {
        // What one block of rows would fetch before its panel comes while the rows become integers.
        for (int64_t i = 0; p.m >= kFetchRows && i < Smaller(kPanelCut, shape_.panel_bytes); i += 64) {
            __builtin_prefetch(p.weights + i, 0, 2);
        }
        For(Unless(p.m * p.layout.k < kInlineWork, parallel_), static_cast<size_t>(blocks_.count),
            [&](size_t index) { p.xq == nullptr ? QuantizeBlock(static_cast<int64_t>(index)) : TakeBlock(static_cast<int64_t>(index)); });
        // A thread reads a run of panels as one stream. The panels of one chunk of rows follow each other: its rows stay near meanwhile.
        int64_t panels = CeilDivide(p.layout.n, kW4A8PanelColumns), chunks = CeilDivide(blocks_.count, kMostBlocks);
        Ranges ranges(chunks * panels);
        For(Unless(p.m * p.layout.n * p.layout.k < 8 * kInlineWork, parallel_), ranges.Tasks(), [&](size_t) {
            ranges.Work([&](int64_t piece, bool follows) {
                int64_t chunk = piece / panels, panel = piece % panels;
                Panel(panel, follows && panel + 1 < panels, chunk * blocks_.count / chunks, (chunk + 1) * blocks_.count / chunks);
            });
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

    // Rows of a block in step, so that its memory is written once, from its beginning to its end.
    void QuantizeBlock(int64_t block) {
        int64_t first = blocks_.First(block), height = blocks_.Rows(block), group = Larger(shape_.group, 1);
        const float* x = p.x + first * p.layout.k;
        RowScale scale[kW4A8Rows];
        for (int64_t r = 0; r < height; r++) {
            scale[r] = RowScaleOfBits(LargestBits(x + r * p.layout.k, p.layout.k), p.static_scale);
            scales_[first + r] = scale[r].scale;
        }
        int32_t *to = values_ + first * shape_.row_words, *starts = to;
        alignas(64) int8_t a[kW4A8Rows][kBuffer];
        for (int64_t from = 0; from < p.layout.k; from += kBuffer) {
            int64_t end = Smaller(from + kBuffer, p.layout.k);
            for (int64_t r = 0; r < height; r++) {
                QuantizeWith(FloatRow{x + r * p.layout.k + from}, end - from, scale[r], p.static_scale, a[r]);
            }
            for (int64_t at = from, next; at < end; at = next) {
                next = Smaller(at / group * group + group, end);
                if (at % group == 0) {
                    starts = to;
                    std::memset(starts, 0, static_cast<size_t>(height) * sizeof(int32_t));
                    to += height;
                }
                for (int64_t r = 0; r < height; r++) {
                    starts[r] += kW4A8Start * Bytes::Sum(a[r] + (at - from), next - at);
                }
                to = InterleaveRows(a[0] + (at - from), kBuffer, next - at, CeilDivide(next - at, kW4A8StepDepth) * kW4A8StepDepth, height,
                                    to);
            }
        }
    }

    void TakeBlock(int64_t block) {
        int64_t first = blocks_.First(block), height = blocks_.Rows(block);
        const int8_t* a = p.xq + first * p.layout.k;
        const int32_t* sums = p.x_sums + first * shape_.groups;
        int32_t* to = values_ + first * shape_.row_words;
        for (int64_t g = 0; g < shape_.groups; g++) {
            int64_t from = g * shape_.group, length = Smaller(shape_.group, shape_.k - from);
            for (int64_t r = 0; r < height; r++) {
                *to++ = kW4A8Start * sums[r * shape_.groups + g];
            }
            to = InterleaveRows(a + from, p.layout.k, length, CeilDivide(length, kW4A8StepDepth) * kW4A8StepDepth, height, to);
        }
        std::memcpy(scales_ + first, p.x_scale + first, static_cast<size_t>(height) * sizeof(float));
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
