// W4A8MatMul: y = x · wᵀ (+ bias) (+ residual) with 4-bit weights and 8-bit activations. The integer part is exact on every path.
//
// Weights (FPTQ, arXiv 2308.15987; OdysseyLLM, 2311.09550; Integer Scale, 2405.14597), q in -8..7:
//
//   w[n, k] ≈ scale[n] · group_scale[n, k / group] · q[n, k]        group_scale: an integer per group, or none (one group per channel)
//
// Activations, one float scale per row:   x[m, k] ≈ s[m] · a[m, k],  a in -127..127
//   dynamic  s[m] = max_k |x[m, k]| / 127          static  s[m] = a given number
//   a = round(x · (1 / s)), ties to even; a row of zeros has s = 0 and gives zeros; NaN and infinities in a row make that row NaN.
//
//   t[m, n] = Σ_g group_scale[n, g] · Σ_{k in g} a[m, k] · q[n, k]    int32, exact whatever the order
//   y[m, n] = (float(t[m, n]) · (s[m] · scale[n]) + bias[n]) + residual[m, n]
//
// The result of quantized rows (xq) is that of the rows they were quantized from, bit for bit.
//
// A negative group scale mirrors its group: levels reach further on one side, and a group's largest weight may lie on either.
//
// Overflow: |t| <= 127 · 8 · max_n Σ_g |g| · |group_scale[n, g]|, which must stay below 2^31. The exporter proves it, W4A8Bound computes it.
//
// Packed weights (layout version 1): panels of 64 outputs, each contiguous and read once from its beginning to its end.
//
//   panel:  group 0 | group 1 | …                                  the last panel is filled up with q = 0
//   group:  step 0 | step 1 | … | group scales of the 64 outputs   8 values of k per step; the last step is filled up with q = 0
//   step:   tile 0 | tile 1 | tile 2 | tile 3                      64 bytes each: 16 outputs, one 32-bit lane per output
//   lane:   byte j = (q[k+j] + 8) | (q[k+4+j] + 8) << 4,  j = 0..3
//
// One load gives the unsigned operands of two dot products of four (vpdpbusd); the signed operand is four activations, broadcast. The +8 is
// undone by starting each group's sum at -8 · Σ_{k in g} a[m, k], which depends on no output.
//
// Stages: (1) quantize the rows, sum them per group, interleave blocks of rows four k at a time (rows of equal 4 KiB offsets would share
// one set of the first-level cache); (2) per panel, in cuts that stay in the first-level cache while the blocks of rows pass: group sums in
// registers, times the group scales, added to totals; (3) one conversion and multiplication per output.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"

namespace longcat {

inline constexpr int kW4A8PanelColumns = 64;
inline constexpr int kW4A8StepDepth = 8;

struct W4A8Layout {
    int64_t n = 0, k = 0;
    int64_t group = 0;          // values of k that share a group scale: a multiple of 8; k or more: one group per channel
    int group_scale_bytes = 1;  // 1 or 2 (two's complement, little endian), 0 for none
};

struct W4A8MatMulArguments {
    int64_t m = 0;
    W4A8Layout layout;
    const float* x = nullptr;          // [m, k]; either x, or the three that follow, are given
    const int8_t* xq = nullptr;        // [m, k], -127..127: rows that were quantized before (longcat/quantize_rows.h)
    const float* x_scale = nullptr;    // [m]: their scales
    const int32_t* x_sums = nullptr;   // [m, groups]: Σ xq over each group of the layout
    const uint8_t* weights = nullptr;  // packed, W4A8PackedBytes
    const float* scale = nullptr;      // [n]
    float static_scale = 0;            // above 0: every row's s; 0: dynamic (with x only)
    const float* bias = nullptr;       // [n], may be null
    const float* residual = nullptr;   // [m, n], may be null; may be y itself
    float* y = nullptr;                // [m, n]
};

// Groups of a row: ceil(k / group).
int64_t W4A8Groups(const W4A8Layout& layout);

// Bytes of one panel, and of all of them.
int64_t W4A8PanelBytes(const W4A8Layout& layout);
int64_t W4A8PackedBytes(const W4A8Layout& layout);

// q [n, k] in -8..7 and group_scales [n, groups] (null without) into `packed` (W4A8PackedBytes).
void W4A8Pack(const W4A8Layout& layout, const int8_t* q, const int16_t* group_scales, uint8_t* packed);

// The largest |t| that these weights can give, 127 · 8 · Σ |g| · |group_scale| over the worst output.
int64_t W4A8Bound(const W4A8Layout& layout, const int16_t* group_scales);

// Bytes of scratch W4A8MatMul wants, 64-byte aligned.
size_t W4A8MatMulWorkspace(const W4A8MatMulArguments& arguments);

// kInvalidArgument: sizes, group, group_scale_bytes, missing pointers, both or neither of x and xq, a static scale that
// is negative or not finite or given with xq.
Status W4A8MatMul(CpuPath path, const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
