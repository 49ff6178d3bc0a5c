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
// W4A8 experts: gate, up and down are stacks of packed 4-bit matrices (longcat/w4a8_matmul.h), and each of the three products is W4A8MatMul
// with dynamic scales, exact in its integers:
//
//   a      = x as 8-bit integers, once per token          g, u = W4A8(gate_e, a), W4A8(up_e, a)
//   b      = silu(g) ⊙ u as 8-bit integers, per token and expert          d = W4A8(down_e, b)
//
// A token with a NaN or an infinity gives NaN and touches no other. The bound of longcat/w4a8_matmul.h must hold for all three stacks.
//
// Stages: (1) router logits as float32 sums of sixteen lanes, the same bits on every path and in every batch; a token whose choice their
// rounding could decide takes sums in double, so the experts are those that exact logits would select; (2) the tokens
// of each expert are listed in ascending order; (3) gate and up per expert and block of I for all of its tokens at once; (4) one task
// owns a block of H for all experts in ascending order, so additions to y keep that order without locks.
// Adapters (longcat/lora_matmul.h) change the products of their tokens before anything else sees them, gate and up before silu and ⊙, down
// before the routing weight:   g = gain ∘ (gate_e x + (x · A_e) · B_e), and so on; W4A8 experts' adapters read x and silu(g) ⊙ u as floats.
// u = x · A is made once per token, expert and projection, after stage (2) for gate and up and after stage (3) for down; tasks add u · B to
// the outputs that they made, ranks ascending. Tokens without an adapter give what they give without adapters, bit for bit.
// Weights of experts that no token selected are never read; identity experts read nothing.
//
// Skipping (sparse verification, arXiv 2512.21911, of tokens that are marked): of a token's n chosen experts, zero experts not counted, in
// ascending order of p (of equal ones the higher index first),
//
//   t_j = the sum of the j smallest p / the sum of all n        skipped: the largest j <= min(most, n - 1) with t_j < beta_j
//
// both sums in double. A skipped expert is not computed for this token, and if no other token chose it not read. The others keep their
// weights; with normalize the divisor is the sum of those that are left, zero experts among them. It depends on the token alone.
// With W4A8 experts stage (3) has the experts with the most tokens first, and whoever ends a block of an expert's tokens turns their inner
// activations into integers; a token's result depends neither on the others nor on how the work was spread, bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"
#include "longcat/w4a8_matmul.h"
#include "longcat/weights.h"

namespace longcat {

// Experts with packed 4-bit weights. Layouts: gate and up {I, H, group, group_scale_bytes}, down {H, I, group, group_scale_bytes}.
struct W4A8Experts {
    int64_t group = 0;  // a multiple of 8; 0: one group per channel
    int group_scale_bytes = 0;
    const uint8_t *gate = nullptr, *up = nullptr, *down = nullptr;                  // [E, W4A8PackedBytes]
    const float *gate_scale = nullptr, *up_scale = nullptr, *down_scale = nullptr;  // [E, I], [E, I], [E, H]
};

// What adapters do to one projection [N, K] of every expert: as in longcat/lora_matmul.h, a matrix for each expert. With ranks 0 and without
// gain: nothing.
struct ExpertLowRank {
    int64_t ranks = 0;               // of all adapters together
    const float* a = nullptr;        // [E, K, ranks]
    const float* b = nullptr;        // [E, ranks, N]
    const int32_t* start = nullptr;  // [count + 1], first 0, never falling, last `ranks`; may be null with one adapter or without ranks
    const float* gain = nullptr;     // [E, count, N], may be null
};

struct ExpertAdapters {
    int64_t count = 1;
    const int32_t* row_adapter = nullptr;  // [tokens], -1: none; may be null with one adapter: every token has it
    ExpertLowRank gate, up, down;
};

struct ExpertSkipping {
    const uint8_t* rows = nullptr;   // [tokens]: 0, nothing of this token is skipped
    int most = 0;                    // 0..top_k - 1
    const float* betas = nullptr;    // [top_k - 1], beta_1 first, 0 or more; all 1: always min(most, n - 1) are skipped
};

struct ExpertMixtureArguments {
    int64_t tokens = 0, hidden = 0, intermediate = 0;
    int experts = 0, zero_experts = 0, top_k = 0;
    float routed_scaling_factor = 1;
    bool normalize = false, identity = true;
    const float* x = nullptr;
    const float* router = nullptr;
    const float* correction_bias = nullptr;  // may be null: p alone selects
    Weights gate, up, down;            // of one layout
    const W4A8Experts* w4a8 = nullptr;  // given: these instead of gate, up and down
    const ExpertAdapters* adapters = nullptr;  // may be null
    const ExpertSkipping* skipping = nullptr;  // may be null
    float* y = nullptr;            // must not be x
    int32_t* selected = nullptr;   // [tokens, top_k], may be null: sel of each token, ascending
    float* inner = nullptr;        // [tokens, top_k, I], may be null: silu(gate_e x) ⊙ up_e x of each of sel; zeros for zero and skipped experts
    float* shares = nullptr;       // [tokens, top_k], may be null: w of each of sel; zeros for zero and skipped experts
};

size_t ExpertMixtureWorkspace(const ExpertMixtureArguments& arguments);

// The layouts of W4A8 experts; sizes and group must be valid.
W4A8Layout GateLayout(const ExpertMixtureArguments& arguments);
W4A8Layout DownLayout(const ExpertMixtureArguments& arguments);

// kInvalidArgument: sizes, top_k outside 1..experts + zero_experts, W4A8 experts without weights or with a group that does not fit,
// adapters, skipping. kOutOfRange: a row_adapter. On an error nothing is written.
Status ExpertMixture(CpuPath path, const ExpertMixtureArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
