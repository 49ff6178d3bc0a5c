// MatMul: y = a · bᵀ (+ bias) (+ residual), activations float32, weights float32 or bfloat16.
//
//   a [m, k] float32      b [n, k] row-major as in a checkpoint ([out, in]), or in panels (longcat/weights.h)      bias [n]      residual,
//   y [m, n] float32
//
//   y[i, j] = ((Σ_k a[i, k] · b[j, k]) + bias[j]) + residual[i, j]
//
// Row-major: both operands have k innermost, so a dot product reads both in order and nothing has to be packed:
//
//        b: row j    |----------- k ----------->|      one vector register of partial sums per (i, j);
//        a: row i    |----------- k ----------->|      lane l of it sums the products at k ≡ l (mod lanes) in ascending k
//
// Panels: a lane is an output, activations are broadcast (cpu/simd/panels.h). One sum per (i, j), k ascending within cuts of 256, the cuts'
// sums added in ascending order. No sum runs over lanes, one row reads its weights in long runs, and many rows run near the peak.
//
// Invariance: y[i, j] is the same bit for bit whatever m, n, the other rows and the number of threads are, because every tile size
// sums a pair (i, j) in the one order of its layout. The engine's promise (a seed gives the same text whatever else is in the batch) rests
// on it.
//
// Stages: (1) n is cut into blocks of rows of b or of panels, m into blocks of rows of a: one task each; (2) row-major: when several rows
// of a share a bfloat16 block it is widened to float32 once per task; panels: the rows of a are copied side by side, cut by cut;
// (3) register tiles. Small m streams the weights (bound by memory: bfloat16 gives twice the tokens); large m is bound by multiply-add.
#pragma once

#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"
#include "longcat/weights.h"

namespace longcat {

struct MatMulArguments {
    int64_t m = 0, n = 0, k = 0;
    const float* a = nullptr;
    Weights b;
    const float* bias = nullptr;      // may be null
    const float* residual = nullptr;  // may be null; may be y itself
    float* y = nullptr;
};

// kInvalidArgument: a negative size or a missing pointer.
Status MatMul(CpuPath path, const MatMulArguments& arguments, const ParallelFor& parallel);

}  // namespace longcat
