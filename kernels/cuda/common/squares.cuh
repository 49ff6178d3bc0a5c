// Rows of 64 16-bit numbers in shared memory: where 16 bytes of one lie.
#pragma once

#include "cuda.cuh"

namespace longcat::cuda {

// Eight pieces of 16 bytes a row, exchanged so that a column of eight rows touches all banks.
__device__ __forceinline__ int SquareOffset(int row, int piece) { return row * 128 + ((piece ^ (row & 7)) * 16); }

}  // namespace longcat::cuda
