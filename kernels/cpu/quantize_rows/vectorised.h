// longcat/quantize_rows.h over vectors. Include after bytes_avx2.h or bytes_avx512.h.
//
// A row is read from memory once: its floats, or what is made of them (in the task's part of the workspace), wait in the first two caches
// until the row's largest is known.
#pragma once

#include "../common/parallel.h"
#include "../simd/quantize.h"
#include "../simd/silu.h"
#include "paths.h"

namespace longcat {
namespace {

// body(row, task) for every row, a task's rows one after another.
template <class Body>
void ForRows(const QuantizedRows& rows, const ParallelFor& parallel, const Body& body) {
    bool small = rows.m * rows.k < kInlineWork;
    int64_t tasks = small ? 1 : Smaller(rows.m, kRowTasks);
    For(Unless(small, parallel), static_cast<size_t>(tasks), [&](size_t index) {
        int64_t task = static_cast<int64_t>(index);
        for (int64_t row = task * rows.m / tasks; row < (task + 1) * rows.m / tasks; row++) {
            body(row, task);
        }
    });
}

// The integers, the scale and the sums of a row.
template <class At>
void QuantizeRow(const QuantizedRows& rows, int64_t row, const RowScale& scale, const At& at) {
    int8_t* a = rows.a + row * rows.k;
    QuantizeWith(at, rows.k, scale, rows.static_scale, a);
    rows.scale[row] = scale.scale;
    if (rows.sums != nullptr) {
        GroupSums(a, rows.k, rows.group, rows.sums + row * CeilDivide(rows.k, rows.group));
    }
}

inline void QuantizeRowsVectorised(const QuantizeRowsArguments& p, const ParallelFor& parallel) {
    ForRows(p.rows, parallel, [&](int64_t row, int64_t) {
        const float* x = p.x + row * p.rows.k;
        QuantizeRow(p.rows, row, RowScaleOfBits(LargestBits(x, p.rows.k), p.rows.static_scale), FloatRow{x});
    });
}

// Σ of 64 partial sums; partial sum i has the elements that are i modulo 64, so that all vector widths add in one order.
constexpr int kPartialSums = 64 / Simd::kLanes;

inline float SumOf(Simd::Vector (&part)[kPartialSums]) {
#pragma GCC unroll 3
    for (int half = kPartialSums / 2; half > 0; half /= 2) {
#pragma GCC unroll 4
        for (int i = 0; i < half; i++) {
            part[i] = Simd::Add(part[i], part[i + half]);
        }
    }
    return Simd::Sum(part[0]);
}

// to = z · weight; Σ z² and the largest |z · weight|. Skip, KeepSum: whether skip is added and z is kept.
template <bool Skip, bool KeepSum>
float NormRow(const RmsNormQuantizeArguments& p, int64_t row, float* to, uint32_t* largest_bits) {
    const int64_t k = p.rows.k;
    const float *x = p.x + row * k, *skip = Skip ? p.skip + row * k : nullptr, *weight = p.weight;
    float* sum = KeepSum ? p.sum + row * k : nullptr;
    Simd::Vector squares[kPartialSums];
    Bytes::Magnitudes most[2] = {Bytes::NoMagnitude(), Bytes::NoMagnitude()};
#pragma GCC unroll 8
    for (int v = 0; v < kPartialSums; v++) {
        squares[v] = Simd::Zero();
    }
    int64_t i = 0;
    for (; i + 64 <= k; i += 64) {
#pragma GCC unroll 8
        for (int v = 0; v < kPartialSums; v++) {
            int64_t at = i + v * Simd::kLanes;
            Simd::Vector z = Simd::Load(x + at);
            if constexpr (Skip) {
                z = Simd::Add(z, Simd::Load(skip + at));
            }
            if constexpr (KeepSum) {
                Simd::Store(sum + at, z);
            }
            squares[v] = Simd::MultiplyAdd(z, z, squares[v]);
            z = Simd::Multiply(z, Simd::Load(weight + at));
            Simd::Store(to + at, z);
            most[v % 2] = Bytes::Larger(most[v % 2], z);
        }
    }
    for (int v = 0; i < k; v++, i += Simd::kLanes) {
        int64_t count = Smaller(Simd::kLanes, k - i);
        auto load = [&](const float* from) { return count == Simd::kLanes ? Simd::Load(from + i) : Simd::Load(from + i, count); };
        auto store = [&](float* into, Simd::Vector value) {
            count == Simd::kLanes ? Simd::Store(into + i, value) : Simd::Store(into + i, value, count);
        };
        Simd::Vector z = load(x);
        if constexpr (Skip) {
            z = Simd::Add(z, load(skip));
        }
        if constexpr (KeepSum) {
            store(sum, z);
        }
        squares[v] = Simd::MultiplyAdd(z, z, squares[v]);
        z = Simd::Multiply(z, load(weight));
        store(to, z);
        most[0] = Bytes::Larger(most[0], z);
    }
    *largest_bits = Bytes::Largest(Bytes::Larger(most[0], most[1]));
    return SumOf(squares);
}

inline float NormRow(const RmsNormQuantizeArguments& p, int64_t row, float* to, uint32_t* largest_bits) {
    if (p.skip == nullptr) {
        return p.sum == nullptr ? NormRow<false, false>(p, row, to, largest_bits) : NormRow<false, true>(p, row, to, largest_bits);
    }
    return p.sum == nullptr ? NormRow<true, false>(p, row, to, largest_bits) : NormRow<true, true>(p, row, to, largest_bits);
}

// Values times a factor.
struct ScaledRow {
    const float* x;
    Simd::Vector factor;
    Simd::Vector operator()(int64_t i) const { return Simd::Multiply(Simd::Load(x + i), factor); }
    Simd::Vector operator()(int64_t i, int64_t count) const { return Simd::Multiply(Simd::Load(x + i, count), factor); }
};

inline void RmsNormQuantizeVectorised(const RmsNormQuantizeArguments& p, void* workspace, const ParallelFor& parallel) {
    const int64_t k = p.rows.k;
    ForRows(p.rows, parallel, [&](int64_t row, int64_t task) {
        float* values = static_cast<float*>(workspace) + task * FloatsOfRow(k);
        uint32_t bits;
        float sum = NormRow(p, row, values, &bits), mean = sum / static_cast<float>(Larger(k, 1)) + p.epsilon;
        float factor = mean > 0 ? 1.0f / __builtin_sqrtf(mean) : 0;
        // Rounding is monotonous: the largest product with the factor is the product with the largest.
        float largest;
        std::memcpy(&largest, &bits, sizeof(largest));
        largest *= factor;
        bool finite = mean < __builtin_inff() && largest < __builtin_inff();  // false for NaN
        ScaledRow scaled{values, Simd::All(finite ? factor : __builtin_nanf(""))};
        if (p.normed != nullptr) {
            float* to = p.normed + row * k;
            int64_t i = 0;
            for (; i + Simd::kLanes <= k; i += Simd::kLanes) {
                Simd::Store(to + i, scaled(i));
            }
            if (i < k) {
                Simd::Store(to + i, scaled(i, k - i), k - i);
            }
        }
        QuantizeRow(p.rows, row, RowScaleOf(largest, finite, p.rows.static_scale), scaled);
    });
}

// to = SiLU(gate) · up, and the largest magnitude.
inline uint32_t SiluMulRow(const float* gate, const float* up, int64_t count, float* to) {
    Bytes::Magnitudes most = Bytes::NoMagnitude();
    int64_t i = 0;
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        Simd::Vector value = SiluMul(Simd::Load(gate + i), Simd::Load(up + i));
        Simd::Store(to + i, value);
        most = Bytes::Larger(most, value);
    }
    if (i < count) {
        Simd::Vector value = SiluMul(Simd::Load(gate + i, count - i), Simd::Load(up + i, count - i));
        Simd::Store(to + i, value, count - i);
        most = Bytes::Larger(most, value);
    }
    return Bytes::Largest(most);
}

inline void SiluMulQuantizeVectorised(const SiluMulQuantizeArguments& p, void* workspace, const ParallelFor& parallel) {
    const int64_t k = p.rows.k;
    ForRows(p.rows, parallel, [&](int64_t row, int64_t task) {
        float* values = p.value != nullptr ? p.value + row * k : static_cast<float*>(workspace) + task * FloatsOfRow(k);
        uint32_t bits = SiluMulRow(p.gate + row * k, p.up + row * k, k, values);
        QuantizeRow(p.rows, row, RowScaleOfBits(bits, p.rows.static_scale), FloatRow{values});
    });
}

}  // namespace
}  // namespace longcat
