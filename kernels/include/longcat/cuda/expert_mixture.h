// ExpertMixture on a GPU: what longcat/expert_mixture.h defines, with all pointers to memory of the device; the structs behind w4a8 and skipping are the host's,
// what they point to is the device's. Experts are bfloat16 in rows or packed 4-bit matrices (the CPU's bytes).
//
// Stages:
//   (1) route    logits in float32, a warp an expert and one, four or eight tokens; then a block a token: softmax, the choice, the weights. A token whose choice
//                the rounding of its logits could decide takes sums in double, as on the CPU
//   (2) group    tokens of an expert side by side, ascending, without atomics that order anything: 32 tokens are the bits of a word per expert, whose
//                number is a count and whose lower bits are a place. Up to 32 tokens one block does all of it, more take three launches. It ends in a list of
//                tiles (an expert and 8 to 128 of its tokens); grids are as long as the list can become, and a block without a tile ends at once
//   (3) inside   a block a tile and some outputs of gate and up. bfloat16: 64 channels of both, an m16n8k16 product whose rows are eight channels of gate and the
//                same of up, so that one thread has both and applies silu and the product at once. 4 bits: the products of longcat/cuda/w4a8_matmul.h over the
//                tile's rows, then SiluMulQuantize
//   (4) down     the same way, into a row of float32 for each pair of token and expert
//   (5) combine  per token, ascending experts: the sum of weight times row, then zero experts' weight times x
// Zero experts, skipped experts and experts that no token chose are in no tile: their weights are not read, nothing is computed.
//
// A token's result does not depend on its company, bit for bit. Experts of 4 bits: integers are exact; what differs from the CPU is e^x in silu, right to two
// units of the last place, and with it here and there an inner activation on the edge between two integers. bfloat16 experts: x and inner activations are rounded
// to bfloat16 (8 bits) before their products, where the CPU has float32. Weights of the mixture are the CPU's within an ulp or two.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/expert_mixture.h"

namespace longcat::cuda {

inline constexpr int kMostExperts = 4096;  // experts and zero experts together

// Above all a row of max(hidden, 2 · intermediate) float32 for each pair of token and expert (bfloat16 experts: of hidden).
size_t ExpertMixtureWorkspace(const Device& device, const ExpertMixtureArguments& arguments);

// kInvalidArgument: as on the CPU, missing pointers, weights that are not 16-byte aligned. kUnsupported: adapters, experts that are neither 4 bits nor bfloat16 in
// rows, with bfloat16 a hidden or intermediate that is no multiple of 8, more than kMostExperts. kDeviceFailure: a launch failed.
// The betas of skipping are the device's and not checked: a NaN skips nothing.
Status ExpertMixture(const Execution& execution, const ExpertMixtureArguments& arguments, void* workspace);

}  // namespace longcat::cuda
