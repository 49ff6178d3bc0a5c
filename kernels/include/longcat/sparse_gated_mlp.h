// SparseGatedMlp: the up and the down projection of a gated MLP, without the channels that the gate closes (sparse verification,
// arXiv 2512.21911).
//
//   keep[r, i] = 1 where sparse_rows[r] = 0 or not |activation[r, i]| < tau      (a NaN is kept)
//   h[r, i]    = keep · activation[r, i] · ((Σ_k x[r, k] · up[i, k]) + up_bias[i])
//   y[r, j]    = ((Σ_i h[r, i] · down[j, i]) + down_bias[j]) + residual[r, j]
//
//   x, residual, y [m, hidden]      activation [m, inner]: act(gate · x), computed before      sparse_rows [m]
//
// The weights lie in memory twice. `up` and `down` in panels, as MatMul reads them; and by channel, so that a channel that nobody keeps is
// a run of memory that nobody touches:
//
//   up_channels    channel i: | up[i, 0] … up[i, hidden - 1] | zeros |        both [inner, stride], stride = hidden rounded up to 16:
//   down_channels  channel i: | down[0, i] … down[hidden - 1, i] | zeros |    a row of up, a column of down
//
// Two ways, of which a step takes one. Whole: MatMul over up, h, MatMul over down; the way of every step that has a row that is not sparse,
// which needs all channels anyhow. By channel: the channels that some row keeps are listed; of those alone up's rows and down's columns are
// read, and 16 channels at a time are turned into a panel of MatMul's. Both add in MatMul's one order (cpu/simd/panels.h: k ascending
// within cuts of 256, the cuts ascending), where a channel that is not kept would add 0. So
//
//   * a row that is not sparse, or any with tau 0, has the bits of MatMul, multiplication and MatMul;
//   * a sparse row has the bits that these three give with 0 in the place of each h that it does not keep (weights being finite, and but
//     for the sign of zeros), whichever way its step takes and whatever the other rows are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"
#include "longcat/weights.h"

namespace longcat {

struct SparseGatedMlpArguments {
    int64_t m = 0, hidden = 0, inner = 0;
    const float* x = nullptr;
    const float* activation = nullptr;
    Weights up, down;                    // in panels, of one type
    Weights up_channels, down_channels;  // by channel, of the same type
    const float* up_bias = nullptr;      // [inner], may be null
    const float* down_bias = nullptr;    // [hidden], may be null
    const float* residual = nullptr;     // may be null; may be y itself
    const uint8_t* sparse_rows = nullptr;
    float tau = 0;
    float* y = nullptr;  // must not be x or activation
};

// Elements from one channel to the next.
inline constexpr int64_t ChannelStride(int64_t hidden) { return (hidden + kPanelOutputs - 1) / kPanelOutputs * kPanelOutputs; }

size_t SparseGatedMlpWorkspace(const SparseGatedMlpArguments& arguments);

// kInvalidArgument: sizes, missing pointers, layouts or types that differ, a tau that is no number of 0 or more.
Status SparseGatedMlp(CpuPath path, const SparseGatedMlpArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
