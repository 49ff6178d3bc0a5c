// LoraMatMul on a GPU: what longcat/lora_matmul.h defines, with all pointers to memory of the device.
//
// Stages: (1) shrink  a block eight rows: u = x · A of each row's own adapter; neighbours of one adapter read A together; the eight warps share out k, and within a
//                     warp the lanes are ranks (8, 16 or 32 of them) times parts of k
//         (2) expand  a block eight rows x 256 outputs: u · B, then gain, base, bias and residual in the order of the CPU's header
// Sums are float32; their order depends on k and the adapter's own ranks alone, so a row gives the same bits in any batch. Rows of -1 are
// ((base + bias) + residual), bit for bit. Few rows: bound by the bytes of A, B and base; many rows read A and B from the cache again.
//
// row_adapter and adapter_start are the device's and not checked by the host: a row_adapter outside -1..adapters-1 counts as -1, a start outside
// 0..ranks is cut off, and `fault` says so.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/lora_matmul.h"

namespace longcat::cuda {

// Bytes of scratch: u.
size_t LoraMatMulWorkspace(const Device& device, const LoraMatMulArguments& arguments);

// fault: an int32 of the device, set to 1 where an adapter or a start is out of range, else left alone; may be null.
// kInvalidArgument: sizes, missing pointers, several adapters without row_adapter or adapter_start. kDeviceFailure: a launch failed.
Status LoraMatMul(const Execution& execution, const LoraMatMulArguments& arguments, void* workspace, int32_t* fault);

}  // namespace longcat::cuda
