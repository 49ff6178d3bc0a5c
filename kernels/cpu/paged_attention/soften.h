// The softmax of PagedAttention, block by block. Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "../simd/exp.h"
#include "plan.h"

namespace longcat {
namespace {

using Vector = Simd::Vector;

constexpr float kLowest = -__builtin_inff();
constexpr float kLog2E = 1.44269504f;  // the query is multiplied by it: scores and maxima are powers of two

// total and its state [maximum, sum] become those of both sets of keys.
inline void MergeSums(float* total, float* total_state, const float* sum, const float* state, int64_t stride) {
    float maximum = state[0] > total_state[0] ? state[0] : total_state[0];
    Vector mine = Exp2(Simd::All(total_state[0] - maximum)), theirs = Exp2(Simd::All(state[0] - maximum));
    for (int64_t i = 0; i < stride; i += Simd::kLanes) {
        Simd::Store(total + i, Simd::MultiplyAdd(Simd::Load(total + i), mine, Simd::Multiply(Simd::Load(sum + i), theirs)));
    }
    alignas(64) float factor[2 * Simd::kLanes];
    Simd::Store(factor, mine);
    Simd::Store(factor + Simd::kLanes, theirs);
    total_state[0] = maximum;
    total_state[1] = total_state[1] * factor[0] + state[1] * factor[Simd::kLanes];
}

// Turns the scores of one block of R rows of kKeys into weights 2^(score - maximum), 0 outside [from, to); state: two numbers a row, maximum and
// sum. ratio: by what the sums so far shrink. Several rows side by side hide that each of them waits for its own maximum. Weights::Two(row, v,
// a, b) keeps the weights of vectors v and v + 1 in the row's memory, of which nothing before vector v + 2 is read any more; Weights::Exp2 makes them.
template <int R, int64_t kKeys, class Weights>
inline void Soften(float* scores, int64_t from, int64_t to, float* state, float* ratio) {
    constexpr int kVectors = static_cast<int>(kKeys) / Simd::kLanes;
    float largest[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        float* row = scores + r * kKeys;
        for (int64_t j = 0; j < from; j++) {
            row[j] = kLowest;
        }
        for (int64_t j = to; j < kKeys; j++) {
            row[j] = kLowest;
        }
        Vector most = Simd::Load(row);
#pragma GCC unroll 8
        for (int v = 1; v < kVectors; v++) {
            most = Simd::Larger(most, Simd::Load(row + v * Simd::kLanes));
        }
        largest[r] = Simd::Largest(most);
    }
    Vector total[R], shift[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        ratio[r] = 1;
        if (__builtin_expect(largest[r] > state[2 * r], false)) {
            alignas(64) float factor[Simd::kLanes];
            Simd::Store(factor, Exp2(Simd::All(state[2 * r] - largest[r])));
            ratio[r] = factor[0];
            state[2 * r] = largest[r];
        }
        shift[r] = Simd::All(state[2 * r]), total[r] = Simd::Zero();
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v += 2) {
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            float* row = scores + r * kKeys;
            Vector first = Weights::Exp2(Simd::Subtract(Simd::Load(row + v * Simd::kLanes), shift[r])),
                   second = Weights::Exp2(Simd::Subtract(Simd::Load(row + (v + 1) * Simd::kLanes), shift[r]));
            Weights::Two(row, v, first, second);
            total[r] = Simd::Add(Simd::Add(total[r], first), second);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        state[2 * r + 1] = state[2 * r + 1] * ratio[r] + Simd::Sum(total[r]);
    }
}

}  // namespace
}  // namespace longcat
