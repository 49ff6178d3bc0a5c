// One block a row (longcat/cuda/quantize_rows.h). A source gives the row's floats eight at a time, twice: once for the largest magnitude, once for
// the integers.
#pragma once

#include "../common/instructions.cuh"
#include "longcat/quantize_rows.h"

namespace longcat::cuda {

inline constexpr int kQuantizeThreads = 256, kQuantizeWarps = kQuantizeThreads / kWarp;
inline constexpr int kPiece = 8;                          // values of a thread
inline constexpr int kSegment = kPiece * kWarp;           // values of a warp
inline constexpr float kLeastLargest = 0x1p-110f;         // as cpu/common/row_scale.h

struct QuantizeParameters {
    QuantizedRows rows;
    int64_t pitch = 0;     // bytes from row to row of `a`; what lies beyond k is set to 0
    bool vector = false;   // rows of floats may be loaded by 16 bytes, rows of integers stored by 8
    const int32_t* count = nullptr;  // rows there really are, where only the device knows; null: all of rows.m
    float epsilon = 0;
    const float* first = nullptr;   // x, or gate
    const float* second = nullptr;  // skip, or up
    const float* weight = nullptr;
    float* value = nullptr;  // v, may be null
    float* sum = nullptr;    // z, may be null
};

struct Eight {
    float x[kPiece];
};

// Values k..k+7 of a row of `length`; zeros beyond it.
__device__ __forceinline__ Eight LoadEight(const float* row, int64_t k, int64_t length, bool vector) {
    Eight values;
    if (vector && k + kPiece <= length) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            Words4 words = *reinterpret_cast<const Words4*>(row + k + 4 * half);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                values.x[4 * half + i] = FloatOf(words.x[i]);
            }
        }
    } else {
#pragma unroll
        for (int i = 0; i < kPiece; i++) {
            values.x[i] = k + i < length ? row[k + i] : 0;
        }
    }
    return values;
}
__device__ __forceinline__ void StoreEight(float* row, int64_t k, int64_t length, bool vector, const Eight& values) {
    if (vector && k + kPiece <= length) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            Words4 words;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                words.x[i] = BitsOf(values.x[4 * half + i]);
            }
            *reinterpret_cast<Words4*>(row + k + 4 * half) = words;
        }
    } else {
#pragma unroll
        for (int i = 0; i < kPiece; i++) {
            if (k + i < length) {
                row[k + i] = values.x[i];
            }
        }
    }
}

// What a block gathers over its row: results in every thread, the same for every number of elements that a thread had.
struct RowTotals {
    float largest;
    double squares;
    bool finite;
};
__device__ __forceinline__ RowTotals OverBlock(RowTotals mine) {
    struct Cell {
        double squares;
        float largest;
        uint32_t finite;
    };
    Cell* cells = reinterpret_cast<Cell*>(SharedMemory());
    float largest = LargestOver<kWarp>(mine.largest);
    double squares = SumOver<kWarp>(mine.squares);
    uint32_t bad = SumOver<kWarp>(mine.finite ? 0u : 1u);
    Barrier();  // whoever still reads the cells of an earlier call is done
    if (ThreadX() % kWarp == 0) {
        cells[ThreadX() / kWarp] = {squares, largest, bad == 0 ? 1u : 0u};
    }
    Barrier();
    RowTotals all = {0, 0, true};
    for (int i = 0; i < kQuantizeWarps; i++) {
        all.largest = LargerFloat(all.largest, cells[i].largest);
        all.squares += cells[i].squares;
        all.finite = all.finite && cells[i].finite != 0;
    }
    return all;
}
inline constexpr size_t kQuantizeShared = 16 * kQuantizeWarps;

// x itself.
struct PlainSource {
    __device__ __forceinline__ void Gather(const QuantizeParameters& p, int64_t row, int64_t k, RowTotals* totals) {
        Eight x = LoadEight(p.first + row * p.rows.k, k, p.rows.k, p.vector);
#pragma unroll
        for (int i = 0; i < kPiece; i++) {
            totals->finite = totals->finite && IsFinite(x.x[i]);
            totals->largest = LargerFloat(totals->largest, Magnitude(x.x[i]));
        }
    }
    __device__ __forceinline__ void Settle(const QuantizeParameters&, RowTotals*) {}
    __device__ __forceinline__ Eight Values(const QuantizeParameters& p, int64_t row, int64_t k, bool) {
        return LoadEight(p.first + row * p.rows.k, k, p.rows.k, p.vector);
    }
};

// z = x + skip, v = (z · weight) · factor. The largest |v| is that of z · weight times the factor: rounding never changes an order.
struct NormSource {
    float factor = 0;

    __device__ __forceinline__ Eight Sum(const QuantizeParameters& p, int64_t row, int64_t k) const {
        Eight z = LoadEight(p.first + row * p.rows.k, k, p.rows.k, p.vector);
        if (p.second != nullptr) {
            Eight skip = LoadEight(p.second + row * p.rows.k, k, p.rows.k, p.vector);
#pragma unroll
            for (int i = 0; i < kPiece; i++) {
                z.x[i] = Add(z.x[i], skip.x[i]);
            }
        }
        return z;
    }
    __device__ __forceinline__ void Gather(const QuantizeParameters& p, int64_t row, int64_t k, RowTotals* totals) {
        Eight z = Sum(p, row, k), weight = LoadEight(p.weight, k, p.rows.k, p.vector);
        if (p.sum != nullptr) {  // may be x or skip itself: they are not read again
            StoreEight(p.sum + row * p.rows.k, k, p.rows.k, p.vector, z);
        }
#pragma unroll
        for (int i = 0; i < kPiece; i++) {
            float product = Multiply(z.x[i], weight.x[i]);
            totals->squares += static_cast<double>(z.x[i]) * z.x[i];
            totals->finite = totals->finite && IsFinite(product);
            totals->largest = LargerFloat(totals->largest, Magnitude(product));
        }
    }
    __device__ __forceinline__ void Settle(const QuantizeParameters& p, RowTotals* totals) {
        float mean = static_cast<float>(totals->squares / static_cast<double>(p.rows.k) + static_cast<double>(p.epsilon));
        totals->finite = totals->finite && totals->squares <= 3.4028234663852886e38;
        factor = mean > 0 && totals->finite ? Divide(1, SquareRoot(mean)) : 0;
        totals->largest = Multiply(totals->largest, factor);
    }
    __device__ __forceinline__ Eight Values(const QuantizeParameters& p, int64_t row, int64_t k, bool finite) {
        Eight z = p.sum != nullptr ? LoadEight(p.sum + row * p.rows.k, k, p.rows.k, p.vector) : Sum(p, row, k);
        Eight weight = LoadEight(p.weight, k, p.rows.k, p.vector);
#pragma unroll
        for (int i = 0; i < kPiece; i++) {
            z.x[i] = finite ? Multiply(Multiply(z.x[i], weight.x[i]), factor) : FloatOf(kNaNBits);
        }
        if (p.value != nullptr) {
            StoreEight(p.value + row * p.rows.k, k, p.rows.k, p.vector, z);
        }
        return z;
    }
};

// gate / (1 + e^-gate) · up.
struct SiluSource {
    __device__ __forceinline__ Eight Product(const QuantizeParameters& p, int64_t row, int64_t k) const {
        Eight gate = LoadEight(p.first + row * p.rows.k, k, p.rows.k, p.vector), up = LoadEight(p.second + row * p.rows.k, k, p.rows.k, p.vector);
#pragma unroll
        for (int i = 0; i < kPiece; i++) {
            gate.x[i] = Multiply(Divide(gate.x[i], Add(1, Exp2(Multiply(gate.x[i], -1.44269504f)))), up.x[i]);
        }
        return gate;
    }
    __device__ __forceinline__ void Gather(const QuantizeParameters& p, int64_t row, int64_t k, RowTotals* totals) {
        Eight v = Product(p, row, k);
        if (p.value != nullptr) {
            StoreEight(p.value + row * p.rows.k, k, p.rows.k, p.vector, v);
        }
#pragma unroll
        for (int i = 0; i < kPiece; i++) {
            totals->finite = totals->finite && IsFinite(v.x[i]);
            totals->largest = LargerFloat(totals->largest, Magnitude(v.x[i]));
        }
    }
    __device__ __forceinline__ void Settle(const QuantizeParameters&, RowTotals*) {}
    __device__ __forceinline__ Eight Values(const QuantizeParameters& p, int64_t row, int64_t k, bool) { return Product(p, row, k); }
};

// Grid: rows.
template <class Source>
__global__ void __launch_bounds__(kQuantizeThreads) QuantizeKernel(QuantizeParameters p) {
    const int64_t row = BlockX(), length = p.rows.k, groups = length == 0 ? 0 : (length + p.rows.group - 1) / p.rows.group;
    const int lane = ThreadX() % kWarp, warp = ThreadX() / kWarp;
    if (p.count != nullptr && row >= *p.count) {
        return;
    }
    Source source;
    RowTotals totals = {0, 0, true};
    for (int64_t k = static_cast<int64_t>(ThreadX()) * kPiece; k < length; k += kQuantizeThreads * kPiece) {
        source.Gather(p, row, k, &totals);
    }
    // A group of more than a segment is summed by several warps.
    const bool shared_groups = p.rows.sums != nullptr && SmallerOf(p.rows.group, length) > kSegment;
    if (shared_groups) {
        for (int64_t g = ThreadX(); g < groups; g += kQuantizeThreads) {
            p.rows.sums[row * groups + g] = 0;
        }
    }
    totals = OverBlock(totals);  // a barrier: the zeros above are there before anyone adds
    source.Settle(p, &totals);
    // A norm's largest may have left float32 only here.
    const bool finite = totals.finite && IsFinite(totals.largest);
    float scale = FloatOf(kNaNBits), inverse = 0;
    if (finite) {
        if (p.rows.static_scale > 0) {
            scale = p.rows.static_scale, inverse = Divide(1, p.rows.static_scale);
        } else {
            bool zero = totals.largest < kLeastLargest;
            scale = zero ? 0 : Divide(totals.largest, 127), inverse = zero ? 0 : Divide(127, totals.largest);
        }
    }
    if (ThreadX() == 0) {
        p.rows.scale[row] = scale;
    }
    // Warps take segments of 256 values that begin where a group does, or 256 values further. In a group of a power of two up to 256 a segment
    // holds several whole groups, each in neighbouring lanes.
    const int64_t group = p.rows.group;
    const bool several = group % kPiece == 0 && group <= kSegment && (group & (group - 1)) == 0;
    const int64_t span = several ? kSegment : SmallerOf(group, length), per_span = (span + kSegment - 1) / kSegment;
    const int64_t segments = length == 0 ? 0 : (length + span - 1) / span * per_span;
    for (int64_t segment = warp; segment < segments; segment += kQuantizeWarps) {
        int64_t begin = segment / per_span * span, end = SmallerOf(begin + span, length);
        int64_t first = begin + segment % per_span * kSegment, k = first + lane * kPiece;
        bool here = k < end;
        int32_t total = 0;
        if (here) {
            Eight v = source.Values(p, row, k, finite);
            uint32_t words[2] = {0, 0};
#pragma unroll
            for (int i = 0; i < kPiece; i++) {
                int a = finite && k + i < length ? RoundToInteger(LargerFloat(-127, -LargerFloat(-127, -Multiply(v.x[i], inverse)))) : 0;
                words[i / 4] |= (static_cast<uint32_t>(a) & 255u) << (8 * (i % 4));
                total += a;
            }
            int8_t* to = p.rows.a + row * p.pitch + k;
            if (p.vector && k + kPiece <= length) {
                *reinterpret_cast<Words2*>(to) = {{words[0], words[1]}};
            } else {
#pragma unroll
                for (int i = 0; i < kPiece; i++) {
                    if (k + i < SmallerOf(end, length)) {
                        to[i] = static_cast<int8_t>(words[i / 4] >> (8 * (i % 4)));
                    }
                }
            }
        }
        if (p.rows.sums == nullptr) {
            continue;
        }
        int32_t* sums = p.rows.sums + row * groups;
        if (several) {
            // Sums over group / 8 lanes, at least one: every lane has its group's.
            for (int mask = 1; mask < group / kPiece; mask *= 2) {
                total += ShuffleXor(total, mask);
            }
            if (here && lane % (group / kPiece) == 0) {
                sums[k / group] = total;
            }
        } else {
            total = SumOver<kWarp>(total);
            if (lane == 0) {
                if (shared_groups) {
                    AddToGlobal(sums + begin / group, total);
                } else {
                    sums[begin / group] = total;
                }
            }
        }
    }
    for (int64_t k = length + ThreadX(); k < p.pitch; k += kQuantizeThreads) {
        p.rows.a[row * p.pitch + k] = 0;
    }
}

}  // namespace longcat::cuda
