// ExpertMixture: router, top-k selection, SwiGLU experts and identity ("zero-computation") experts (LongCat-Flash, arXiv 2509.01322).
//
//   p   = softmax(router · x)                       over experts + zero_experts entries, float32
//   sel = top_k of p (+ correction_bias)            the bias selects only; equal values go to the lower index
//   w   = p[sel] (/ (Σ p[sel] + 1e-20) with normalize) · routed_scaling_factor
//   y   = Σ_{e in sel, e < experts, ascending} w_e · down_e (silu(gate_e x) ⊙ up_e x)  +  (Σ_{e in sel, e >= experts} w_e) · x
//
// The last term is absent when identity is false (zero experts then drop their share).
//
//   x, y [T, H]    router [E+Z, H] float32    gate, up [E, I, H]    down [E, H, I] float32 or bfloat16,
//   row-major or all three in panels of outputs (longcat/weights.h), the panels of one expert after those of another
//
// Stages: (1) router logits with double accumulation, so that every path and every batch selects the same experts; (2) the tokens
// of each expert are listed in ascending order; (3) gate and up per expert and block of I for all of its tokens at once; (4) one task
// owns a block of H for all experts in ascending order, so additions to y keep that order without locks.
// Weights of experts that no token selected are never read; identity experts read nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"
#include "longcat/weights.h"

namespace longcat {

struct ExpertMixtureArguments {
    int64_t tokens = 0, hidden = 0, intermediate = 0;
    int experts = 0, zero_experts = 0, top_k = 0;
    float routed_scaling_factor = 1;
    bool normalize = false, identity = true;
    const float* x = nullptr;
    const float* router = nullptr;
    const float* correction_bias = nullptr;  // may be null: p alone selects
    Weights gate, up, down;  // of one layout
    float* y = nullptr;            // must not be x
    int32_t* selected = nullptr;   // [tokens, top_k], may be null: sel of each token, ascending
    float* inner = nullptr;        // [tokens, top_k, I], may be null: silu(gate_e x) ⊙ up_e x of each of sel; zeros for zero experts
};

size_t ExpertMixtureWorkspace(const ExpertMixtureArguments& arguments);

// kInvalidArgument: sizes, top_k outside 1..experts + zero_experts.
Status ExpertMixture(CpuPath path, const ExpertMixtureArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
