// LoraMatMul: what low-rank adapters add to a product that was already made, and what the product leaves to be added after them.
//
//   y[i] = gain[a] ∘ (base[i] + (x[i] · A_a) · B_a) + bias + residual[i],   a = row_adapter[i]
//   y[i] = base[i] + bias + residual[i]                                      for a = -1, and for an adapter without ranks and gain
//
//   x [m, k]   base, residual, y [m, n]   A [k, ranks]   B [ranks, n]   gain [adapters, n]   bias [n]      all float32
//
// Adapters lie beside each other: adapter a owns the columns start[a] <= r < start[a + 1] of A and these rows of B; the scale of an adapter is
// folded into its B. One batch may mix adapters and rows without one.
//
//          ranks: | adapter 0 |  adapter 1  | 2 |              a lane is a rank in x · A and an output in (x · A) · B:
//   A  k  ->      | . . . . . | . . . . . . | . |              both read their matrix in order, and no sum runs over lanes
//
// Order: u = x · A is four sums over the quarters of k, each in ascending k, added as (0 + 1) + (2 + 3); u · B ascends in r from zero. base
// joins after that. This depends on k and the adapter's own ranks alone: a row gives the same bits in any batch, beside any other adapters,
// on any number of threads.
//
// Stages: (1) rows are sorted by their adapter (a stable count) and cut into tiles of one adapter; (2) u of each tile, by quarters of k where
// there are few tiles; (3) blocks of columns of each tile. Bound by memory: few rows read A and B once, many rows read and write base and y.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"

namespace longcat {

struct LoraMatMulArguments {
    int64_t m = 0, n = 0, k = 0;
    int64_t ranks = 0;     // of all adapters together; may be 0
    int64_t adapters = 1;  // 1 without adapter_start
    const float* x = nullptr;
    const float* base = nullptr;
    const float* a = nullptr;
    const float* b = nullptr;
    const int32_t* row_adapter = nullptr;    // [m], -1: none; may be null with one adapter: every row has it
    const int32_t* adapter_start = nullptr;  // [adapters + 1], first 0, never falling, last `ranks`; may be null: one adapter
    const float* gain = nullptr;             // may be null
    const float* bias = nullptr;             // may be null
    const float* residual = nullptr;         // may be null; may be y itself, as may base
    float* y = nullptr;
};

// Bytes of scratch, 64-byte aligned; 0 for sizes that LoraMatMul refuses.
size_t LoraMatMulWorkspace(const LoraMatMulArguments& arguments);

// kInvalidArgument: sizes, missing pointers, adapter_start. kOutOfRange: a row_adapter outside -1..adapters-1. On an error y is untouched.
Status LoraMatMul(CpuPath path, const LoraMatMulArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
