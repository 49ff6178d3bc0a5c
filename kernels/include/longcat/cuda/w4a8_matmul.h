// W4A8MatMul on a GPU: what longcat/w4a8_matmul.h defines, bit for bit, with all pointers to memory of the device.
//
// The packed weights are the same bytes as on the CPU (layout version 1). That layout is one of fragments: a lane of four bytes holds eight
// values of k of one output, so a 16-byte load of thread (group, place) of a warp, at step s + 2 · place + j and outputs 4 · group .. + 3,
// gives after one mask and one shift the registers of two m16n8k32 matrix instructions whose rows are outputs and whose columns are tokens:
//
//   word i of the load, outputs 4 · group + i:   (w << 4) & 0xf0f0f0f0 ^ 0x80808080  = 16 · q of k .. k + 3     registers of columns 0..15
//                                                 w       & 0xf0f0f0f0 ^ 0x80808080  = 16 · q of k + 4 .. k + 7 registers of columns 16..31
//   activations of token `group`: the 16 bytes of steps 2 · place and 2 · place + 1, as they lie
//
// k is summed over, so it may be permuted: both operands use the order in which the bytes lie. A byte with the 4 bits of q + 8 on top and the
// highest bit turned is 16 · q as a signed byte (OdysseyLLM, arXiv 2311.09550): no subtraction and no correction by the activations' sums;
// a group's sum is shifted back by 4, exactly, before its integer scale multiplies it (Integer Scale, 2405.14597). x_sums are not read.
//
// Two kernels and an end:
//   stream  few tokens (at most 32 a block) or any group size. A block takes panels of 64 outputs and a part of K; its warps take slabs of 128 values of
//           k in turn, weights straight from memory into registers, the next slab under way while one is multiplied; the warps' sums meet
//           in shared memory. Bound by the bandwidth of the weights.
//   tile    many tokens, groups of 64 or of multiples of 128 (or one group). 128 outputs x 64 or 128 tokens a block, weights and activations through
//           four stages of shared memory by asynchronous copies. Bound by the matrix instructions.
//   finish  where K was split over blocks: sums the int32 partial sums and applies scales, bias and residual.
// Integer sums are exact modulo 2^32 in any order, so neither the split nor the order of blocks changes a bit of y.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/w4a8_matmul.h"

namespace longcat::cuda {

// Bytes of scratch: rows that are quantized here or copied because their length is no multiple of 16, and partial sums.
size_t W4A8MatMulWorkspace(const Device& device, const W4A8MatMulArguments& arguments);

// kInvalidArgument: as on the CPU (x_sums may be null), and weights that are not 16-byte aligned. kDeviceFailure: a launch failed.
Status W4A8MatMul(const Execution& execution, const W4A8MatMulArguments& arguments, void* workspace);

}  // namespace longcat::cuda
