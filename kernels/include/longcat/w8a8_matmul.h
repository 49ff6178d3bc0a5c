// W8A8MatMul: y = x · wᵀ (+ bias) with 8-bit weights, one float scale per output: the output head. The integer part is exact on every path.
//
//   w[n, k] ≈ scale[n] · q[n, k]        q in -127..127
//   x[m, k] ≈ s[m] · a[m, k]            activation_bits 8: a in -127..127, as in longcat/w4a8_matmul.h
//                                       activation_bits 16: a in -32512..32512 = 127 · 256, s[m] = max_k |x[m, k]| / 32512
//   y[m, n] = float(Σ_k a[m, k] · q[n, k]) · (s[m] · scale[n]) + bias[n]
//
// 16-bit activations are two int8 digits, a = 256 · high + low with low in -128..127: two rows of the 8-bit product. The error of the
// activations is then below that of a bfloat16 product; where weights come from memory (few rows) it costs nothing.
//
// Overflow: the sums of a digit stay below 128 · 127 · k, hence k <= kW8A8MostInputs.
//
// Packed weights (layout version 1): panels of 64 outputs, [ceil(n / 64), ceil(k / 4), 64, 4] bytes q + 128; what is beyond n and k is 128.
// The unsigned bytes are one operand of vpdpbusd, four activations the other; the +128 is undone by starting a sum at -128 · Σ_k a[m, k].
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"

namespace longcat {

inline constexpr int kW8A8PanelColumns = 64;
inline constexpr int64_t kW8A8MostInputs = 131'000;

struct W8A8MatMulArguments {
    int64_t m = 0, n = 0, k = 0;
    int activation_bits = 8;           // 8 or 16
    const float* x = nullptr;          // [m, k]; either x, or (8 bits only) the three that follow, are given
    const int8_t* xq = nullptr;        // [m, k], -127..127: rows that were quantized before (longcat/quantize_rows.h)
    const float* x_scale = nullptr;    // [m]: their scales
    const int32_t* x_sums = nullptr;   // [m]: Σ_k xq
    const uint8_t* weights = nullptr;  // packed, W8A8PackedBytes
    const float* scale = nullptr;      // [n]
    const float* bias = nullptr;       // [n], may be null
    float* y = nullptr;                // [m, n]
};

// Bytes of one panel, and of all of them.
int64_t W8A8PanelBytes(int64_t k);
int64_t W8A8PackedBytes(int64_t n, int64_t k);

// q [n, k] in -127..127 into `packed` (W8A8PackedBytes).
void W8A8Pack(int64_t n, int64_t k, const int8_t* q, uint8_t* packed);

// q[n, k] as it lies in packed weights.
int8_t W8A8Weight(int64_t k_total, const uint8_t* packed, int64_t n, int64_t k);

// Bytes of scratch W8A8MatMul wants, 64-byte aligned.
size_t W8A8MatMulWorkspace(const W8A8MatMulArguments& arguments);

// kInvalidArgument: sizes, activation_bits, missing pointers, both of x and xq, xq with 16 bits. NaN and infinities in a row of x make that
// row NaN.
Status W8A8MatMul(CpuPath path, const W8A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
