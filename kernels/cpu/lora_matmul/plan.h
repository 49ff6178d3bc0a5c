// How the rows of a step are put together for the vectorised paths. Depends on the arguments alone, never on threads.
#pragma once

#include <cstdint>

#include "longcat/lora_matmul.h"

namespace longcat {

constexpr int kLoraTileRows = 16;  // of one adapter
constexpr int kLoraQuarters = 4;   // parts of k that are summed apart

// Rows [first, first + count) of the sorted rows; adapter -1: nothing is added and nothing multiplied.
struct LoraTile {
    int32_t first, count, adapter;
};

struct LoraTiles {
    const int32_t* rows;    // [m] the rows of x in the order of the tiles
    const LoraTile* tiles;
    int64_t count;
    int64_t adapted;  // how many of them have an adapter with ranks: they stand first
    int64_t width;    // floats between two rows of u
    float* u;         // [rows of the adapted tiles, kLoraQuarters, width]
};

namespace {  // internal linkage: compiled once per instruction set

inline int64_t LoraStart(const LoraMatMulArguments& p, int64_t adapter) {
    return p.adapter_start == nullptr ? adapter * p.ranks : p.adapter_start[adapter];
}
inline int64_t LoraRank(const LoraMatMulArguments& p, int64_t adapter) { return LoraStart(p, adapter + 1) - LoraStart(p, adapter); }

}  // namespace

size_t LoraTileBytes(const LoraMatMulArguments& arguments);
LoraTiles SortLoraRows(const LoraMatMulArguments& arguments, void* workspace);

}  // namespace longcat
