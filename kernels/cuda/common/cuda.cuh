// What device code is written against, so that one source is compiled three ways:
//
//   by nvcc        for a GPU
//   by clang to PTX, without any file of the CUDA toolkit (LONGCAT_CUDA_BARE, builtins.h): tests check that it compiles for every target
//   by the host's compiler (LONGCAT_CUDA_EMULATION, emulation/grid.h): tests run it without a GPU, blocks and threads emulated
//
// Places of a thread, barriers and shared memory are the functions below; every instruction beyond C++ is in instructions.cuh.
#pragma once

#include <cstdint>

#if defined(LONGCAT_CUDA_EMULATION)

#include "../emulation/grid.h"

#define __global__
#define __host__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace longcat::cuda {
inline int ThreadX() { return emulation::ThreadX(); }
inline int BlockX() { return emulation::BlockX(); }
inline int BlockY() { return emulation::BlockY(); }
inline int BlockZ() { return emulation::BlockZ(); }
inline int GridX() { return emulation::GridX(); }
inline void Barrier() { emulation::BlockBarrier(); }
inline uint8_t* SharedMemory() { return emulation::SharedMemory(); }
}  // namespace longcat::cuda

#else

#if defined(LONGCAT_CUDA_BARE)
#include "builtins.h"
#else
#include <cuda_runtime.h>
#endif

namespace longcat::cuda {
#if defined(LONGCAT_CUDA_BARE)
__device__ __forceinline__ int ThreadX() { return __nvvm_read_ptx_sreg_tid_x(); }
__device__ __forceinline__ int BlockX() { return __nvvm_read_ptx_sreg_ctaid_x(); }
__device__ __forceinline__ int BlockY() { return __nvvm_read_ptx_sreg_ctaid_y(); }
__device__ __forceinline__ int BlockZ() { return __nvvm_read_ptx_sreg_ctaid_z(); }
__device__ __forceinline__ int GridX() { return __nvvm_read_ptx_sreg_nctaid_x(); }
#else
__device__ __forceinline__ int ThreadX() { return static_cast<int>(threadIdx.x); }
__device__ __forceinline__ int BlockX() { return static_cast<int>(blockIdx.x); }
__device__ __forceinline__ int BlockY() { return static_cast<int>(blockIdx.y); }
__device__ __forceinline__ int BlockZ() { return static_cast<int>(blockIdx.z); }
__device__ __forceinline__ int GridX() { return static_cast<int>(gridDim.x); }
#endif
__device__ __forceinline__ void Barrier() { __syncthreads(); }

// The memory that the launch asked for.
__device__ __forceinline__ uint8_t* SharedMemory() {
    extern __shared__ __align__(128) uint8_t longcat_shared_memory[];
    return longcat_shared_memory;
}
}  // namespace longcat::cuda

#endif

namespace longcat::cuda {

inline constexpr int kWarp = 32;

// Host and device code alike.
__host__ __device__ __forceinline__ int64_t SmallerOf(int64_t a, int64_t b) { return a < b ? a : b; }
__host__ __device__ __forceinline__ int64_t LargerOf(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace longcat::cuda
