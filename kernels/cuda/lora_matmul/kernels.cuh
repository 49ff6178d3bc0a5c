// The stages of LoraMatMul (longcat/cuda/lora_matmul.h).
#pragma once

#include "../common/instructions.cuh"
#include "longcat/lora_matmul.h"

namespace longcat::cuda {

struct LoraParameters {
    LoraMatMulArguments p;
    float* u = nullptr;  // [m, ranks]: of each row the ranks of its own adapter
    int32_t* fault = nullptr;
};

inline constexpr int kLoraRows = 8, kLoraWarps = 8, kLoraThreads = kLoraWarps * kWarp;

// Rows of a block with one adapter that follow each other.
struct LoraRun {
    int first, count;  // rows of the block
    int64_t adapter;   // -1: none
    int64_t begin, ranks;
};

__device__ __forceinline__ int64_t AdapterOf(const LoraParameters& parameters, int64_t row) {
    const LoraMatMulArguments& p = parameters.p;
    int64_t adapter = p.row_adapter == nullptr ? 0 : p.row_adapter[row];
    if (adapter < -1 || adapter >= p.adapters) {
        if (parameters.fault != nullptr) {
            *parameters.fault = 1;
        }
        return -1;
    }
    return adapter;
}

// The run that begins at row `first` of a block of `rows` rows.
__device__ __forceinline__ LoraRun RunAt(const LoraParameters& parameters, int64_t block_row, int first, int rows) {
    const LoraMatMulArguments& p = parameters.p;
    LoraRun run = {first, 1, AdapterOf(parameters, block_row + first), 0, 0};
    while (first + run.count < rows && AdapterOf(parameters, block_row + first + run.count) == run.adapter) {
        run.count++;
    }
    if (run.adapter >= 0) {
        int64_t begin = p.adapter_start == nullptr ? 0 : p.adapter_start[run.adapter];
        int64_t end = p.adapter_start == nullptr ? p.ranks : p.adapter_start[run.adapter + 1];
        run.begin = LargerOf(0, SmallerOf(begin, p.ranks));
        run.ranks = LargerOf(0, SmallerOf(end, p.ranks) - run.begin);
        if ((run.begin != begin || run.begin + run.ranks != end) && parameters.fault != nullptr) {
            *parameters.fault = 1;
        }
    }
    return run;
}

// Grid: rows / 8.
__global__ void __launch_bounds__(kLoraThreads) LoraShrink(LoraParameters parameters) {
    const LoraMatMulArguments& p = parameters.p;
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp;
    const int64_t block_row = static_cast<int64_t>(BlockX()) * kLoraRows;
    const int rows = static_cast<int>(SmallerOf(kLoraRows, p.m - block_row));
    float* parts = reinterpret_cast<float*>(SharedMemory());  // [warps][rows][32]
    for (int first = 0; first < rows;) {
        const LoraRun run = RunAt(parameters, block_row, first, rows);
        const int lanes = run.ranks <= 8 ? 8 : run.ranks <= 16 ? 16 : 32, slices = kLoraWarps * kWarp / lanes;
        const int slice = (warp * kWarp + lane) / lanes;
        for (int64_t rank = 0; rank < run.ranks; rank += 32) {
            const int64_t own = rank + lane % lanes;
            float sums[kLoraRows] = {};
            for (int64_t k = slice; k < p.k; k += slices) {
                float a = own < run.ranks ? p.a[k * p.ranks + run.begin + own] : 0;
#pragma unroll
                for (int j = 0; j < kLoraRows; j++) {
                    if (j < run.count) {
                        sums[j] += p.x[(block_row + run.first + j) * p.k + k] * a;
                    }
                }
            }
#pragma unroll
            for (int j = 0; j < kLoraRows; j++) {
                for (int mask = lanes; mask < kWarp; mask *= 2) {
                    sums[j] += ShuffleXor(sums[j], mask);
                }
                parts[(warp * kLoraRows + j) * kWarp + lane] = sums[j];
            }
            Barrier();
            // 256 threads for 8 rows of 32 ranks: one each.
            const int j = ThreadX() / kWarp;
            if (j < run.count && lane < lanes && rank + lane < run.ranks) {
                float sum = 0;
#pragma unroll
                for (int w = 0; w < kLoraWarps; w++) {
                    sum += parts[(w * kLoraRows + j) * kWarp + lane];
                }
                parameters.u[(block_row + run.first + j) * p.ranks + run.begin + rank + lane] = sum;
            }
            Barrier();
        }
        first += run.count;
    }
}
inline constexpr size_t kLoraShared = size_t{kLoraWarps} * kLoraRows * kWarp * sizeof(float);

// Grid: outputs / 256, rows / 8.
__global__ void __launch_bounds__(kLoraThreads) LoraExpand(LoraParameters parameters) {
    const LoraMatMulArguments& p = parameters.p;
    const int64_t column = static_cast<int64_t>(BlockX()) * kLoraThreads + ThreadX(), block_row = static_cast<int64_t>(BlockY()) * kLoraRows;
    if (column >= p.n) {
        return;
    }
    const int rows = static_cast<int>(SmallerOf(kLoraRows, p.m - block_row));
    for (int first = 0; first < rows;) {
        const LoraRun run = RunAt(parameters, block_row, first, rows);
        float sums[kLoraRows] = {};
        for (int64_t rank = run.begin; rank < run.begin + run.ranks; rank++) {
            float b = p.b[rank * p.n + column];
#pragma unroll
            for (int j = 0; j < kLoraRows; j++) {
                if (j < run.count) {
                    sums[j] += parameters.u[(block_row + run.first + j) * p.ranks + rank] * b;
                }
            }
        }
        const float gain = run.adapter >= 0 && p.gain != nullptr ? p.gain[run.adapter * p.n + column] : 1;
        const float bias = p.bias != nullptr ? p.bias[column] : 0;
#pragma unroll
        for (int j = 0; j < kLoraRows; j++) {
            if (j < run.count) {
                int64_t at = (block_row + run.first + j) * p.n + column;
                float y = p.base[at];
                if (run.ranks > 0) {
                    y = Add(y, sums[j]);
                }
                y = run.adapter >= 0 && p.gain != nullptr ? Multiply(y, gain) : y;
                y = p.bias != nullptr ? Add(y, bias) : y;
                y = p.residual != nullptr ? Add(y, p.residual[at]) : y;
                p.y[at] = y;
            }
        }
        first += run.count;
    }
}

}  // namespace longcat::cuda
