// Rows of activations as 8-bit integers with one float scale each: what W4A8MatMul and W8A8MatMul multiply. Alone, and as the end of the two
// things that make such rows: an RMS norm (with the residual addition before it) and SiLU times a gate.
//
//   dynamic  s = max_k |v[k]| / 127, inverse = 127 / max_k |v[k]|            static  s = a given number, inverse = 1 / s
//   a[k] = clamp(round(v[k] · inverse), -127, 127), ties to even             sums[g] = Σ_{k in group g} a[k]
//
//   QuantizeRows      v = x
//   RmsNormQuantize   z = x + skip (or x),   v = (z · weight) · 1 / sqrt(mean z² + epsilon)
//   SiluMulQuantize   v = gate / (1 + e^-gate) · up
//
// A row whose largest |v| is below 2^-110 has s = 0 and zeros (its inverse would leave float32). A row of v with a NaN or an infinity has
// s = NaN and zeros: what is multiplied from it becomes NaN, and no other row does. The same holds where the sum of z² passes float32.
//
// All paths give the same bits for QuantizeRows. The vectorised paths give the same bits as each other for the other two; the reference adds
// in double precision, so its scale may differ in the last places and an `a` on the edge between two integers by one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"

namespace longcat {

struct QuantizedRows {
    int64_t m = 0, k = 0;    // rows and their length, at most 2^24 (sums are 32 bits)
    int64_t group = 0;       // values of k that share a sum; the last group may be shorter; k or more: one sum per row
    float static_scale = 0;  // above 0 (2^-100 or more): every row's s; 0: dynamic
    int8_t* a = nullptr;     // [m, k]
    float* scale = nullptr;  // [m]
    int32_t* sums = nullptr; // [m, ceil(k / group)], may be null
};

struct QuantizeRowsArguments {
    QuantizedRows rows;
    const float* x = nullptr;  // [m, k]
};

struct RmsNormQuantizeArguments {
    QuantizedRows rows;
    float epsilon = 0;
    const float* x = nullptr;       // [m, k]
    const float* skip = nullptr;    // [m, k], may be null
    const float* weight = nullptr;  // [k]
    float* normed = nullptr;        // [m, k] v, may be null
    float* sum = nullptr;           // [m, k] z, may be null, may be x or skip itself
};

struct SiluMulQuantizeArguments {
    QuantizedRows rows;
    const float* gate = nullptr;  // [m, k]
    const float* up = nullptr;    // [m, k]
    float* value = nullptr;       // [m, k] v, may be null
};

// Bytes of scratch RmsNormQuantize and SiluMulQuantize want, 64-byte aligned: the row that each of a few tasks works on.
size_t QuantizeWorkspace(const QuantizedRows& rows);

// kInvalidArgument: sizes, group, missing pointers, a static scale or epsilon that is negative, not finite or too small.
Status QuantizeRows(CpuPath path, const QuantizeRowsArguments& arguments, const ParallelFor& parallel);
Status RmsNormQuantize(CpuPath path, const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);
Status SiluMulQuantize(CpuPath path, const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
