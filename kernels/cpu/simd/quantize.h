// One row of floats to 8-bit integers, for whoever has such a row at hand. Include after bytes_avx2.h or bytes_avx512.h.
#pragma once

#include <cstring>

#include "../common/numbers.h"
#include "../common/row_scale.h"

namespace longcat {
namespace {

// at(i) gives the values i..i+kLanes-1, at(i, count) the first count < kLanes of them and zeros.
struct FloatRow {
    const float* x;
    Simd::Vector operator()(int64_t i) const { return Simd::Load(x + i); }
    Simd::Vector operator()(int64_t i, int64_t count) const { return Simd::Load(x + i, count); }
};

// The scale of a row whose largest magnitude has these bits.
inline RowScale RowScaleOfBits(uint32_t largest_bits, float static_scale) {
    float largest;
    std::memcpy(&largest, &largest_bits, sizeof(largest));
    return RowScaleOf(largest, largest_bits < 0x7f800000u, static_scale);
}

inline uint32_t LargestBits(const float* x, int64_t count) {
    Bytes::Magnitudes most[4] = {Bytes::NoMagnitude(), Bytes::NoMagnitude(), Bytes::NoMagnitude(), Bytes::NoMagnitude()};
    int64_t i = 0;
    for (; i + Bytes::kBlock <= count; i += Bytes::kBlock) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            most[v] = Bytes::Larger(most[v], Simd::Load(x + i + v * Simd::kLanes));
        }
    }
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        most[0] = Bytes::Larger(most[0], Simd::Load(x + i));
    }
    if (i < count) {
        most[1] = Bytes::Larger(most[1], Simd::Load(x + i, count - i));
    }
    return Bytes::Largest(Bytes::Larger(Bytes::Larger(most[0], most[1]), Bytes::Larger(most[2], most[3])));
}

// a[i] = round(at(i) · inverse), with Clamp within -127..127: what a dynamic scale makes is there by itself.
template <bool Clamp, class At>
void QuantizeValues(const At& at, int64_t count, float inverse, int8_t* a) {
    const Simd::Vector factor = Simd::All(inverse);
    auto value = [&](Simd::Vector x) __attribute__((always_inline)) {
        x = Simd::Multiply(x, factor);
        return Clamp ? Simd::Smaller(Simd::Larger(x, Simd::All(-127)), Simd::All(127)) : x;
    };
    int64_t i = 0;
    for (; i + Bytes::kBlock <= count; i += Bytes::kBlock) {
        Simd::Vector v[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            v[j] = value(at(i + j * Simd::kLanes));
        }
        Bytes::Store(a + i, v);
    }
    if (i < count) {
        Simd::Vector v[4];
        for (int j = 0; j < 4; j++) {
            int64_t from = i + j * Simd::kLanes, left = count - from;
            v[j] = left >= Simd::kLanes ? value(at(from)) : left > 0 ? value(at(from, left)) : Simd::Zero();
        }
        Bytes::Store(a + i, v, count - i);
    }
}

// The integers of a row with this scale.
template <class At>
void QuantizeWith(const At& at, int64_t count, const RowScale& scale, float static_scale, int8_t* a) {
    if (!(scale.inverse > 0)) {
        if (count > 0) {  // of an empty row there may be no memory
            std::memset(a, 0, static_cast<size_t>(count));
        }
    } else if (static_scale > 0) {
        QuantizeValues<true>(at, count, scale.inverse, a);
    } else {
        QuantizeValues<false>(at, count, scale.inverse, a);
    }
}

inline void GroupSums(const int8_t* a, int64_t count, int64_t group, int32_t* sums) {
    for (int64_t first = 0; first < count; first += group) {
        *sums++ = Bytes::Sum(a + first, Smaller(group, count - first));
    }
}

}  // namespace
}  // namespace longcat
