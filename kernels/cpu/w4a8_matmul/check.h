// What W4A8MatMul refuses, wherever it runs: kernels differ in the sizes that they can count to and in what they need, not in the rules.
#pragma once

#include "longcat/w4a8_matmul.h"

namespace longcat {

struct W4A8Limits {
    int64_t most = 0;         // of m, n and k
    bool sums = true;         // x_sums must come with xq
    size_t alignment = 1;     // of the weights, in bytes
};

// What the workspace's size is computed from.
Status CheckW4A8Sizes(const W4A8MatMulArguments& arguments, const W4A8Limits& limits);
// Those and everything else.
Status CheckW4A8(const W4A8MatMulArguments& arguments, const W4A8Limits& limits);

}  // namespace longcat
