// Every instruction that C++ has no word for, as a function; beside the PTX stands a model for the emulated grid, which follows the PTX ISA's
// description (fragments of warp-level matrix instructions, ldmatrix, cp.async, shfl.sync). Fragment notation below: lane = 4 · group + place,
// group 0..7, place 0..3.
#pragma once

#include "cuda.cuh"

#if defined(LONGCAT_CUDA_EMULATION)
#include <cmath>
#include <cstring>
#endif

namespace longcat::cuda {

// Four 32-bit words that travel together.
struct alignas(16) Words4 {
    uint32_t x[4];
};
struct alignas(8) Words2 {
    uint32_t x[2];
};

__device__ __forceinline__ uint32_t BitsOf(float value) {
#if defined(LONGCAT_CUDA_EMULATION)
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits;
#else
    uint32_t bits;
    asm("mov.b32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
#endif
}
__device__ __forceinline__ float FloatOf(uint32_t bits) {
#if defined(LONGCAT_CUDA_EMULATION)
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
#else
    float value;
    asm("mov.b32 %0, %1;" : "=f"(value) : "r"(bits));
    return value;
#endif
}

// ---- arithmetic that compilers must not contract, and approximations ------------------------------------------------------------------

// a · b and a + b, each rounded to nearest: never part of a fused multiply-add.
__device__ __forceinline__ float Multiply(float a, float b) {
#if defined(LONGCAT_CUDA_EMULATION)
    return a * b;  // the host compiles with -ffp-contract=off
#else
    float result;
    asm("mul.rn.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
#endif
}
__device__ __forceinline__ float Add(float a, float b) {
#if defined(LONGCAT_CUDA_EMULATION)
    return a + b;
#else
    float result;
    asm("add.rn.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
#endif
}
// a · b + c with one rounding.
__device__ __forceinline__ float MultiplyAdd(float a, float b, float c) {
#if defined(LONGCAT_CUDA_EMULATION)
    return std::fma(a, b, c);
#else
    float result;
    asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(a), "f"(b), "f"(c));
    return result;
#endif
}
__device__ __forceinline__ float Divide(float a, float b) {
#if defined(LONGCAT_CUDA_EMULATION)
    return a / b;
#else
    float result;
    asm("div.rn.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
#endif
}
__device__ __forceinline__ float SquareRoot(float a) {
#if defined(LONGCAT_CUDA_EMULATION)
    return std::sqrt(a);
#else
    float result;
    asm("sqrt.rn.f32 %0, %1;" : "=f"(result) : "f"(a));
    return result;
#endif
}
__device__ __forceinline__ double SquareRoot(double a) {
#if defined(LONGCAT_CUDA_EMULATION)
    return std::sqrt(a);
#else
    double result;
    asm("sqrt.rn.f64 %0, %1;" : "=d"(result) : "d"(a));
    return result;
#endif
}
// 2^a within two units of the last place; 0 for -infinity.
__device__ __forceinline__ float Exp2(float a) {
#if defined(LONGCAT_CUDA_EMULATION)
    return std::exp2(a);
#else
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
    return result;
#endif
}
// To the nearest integer, ties to even; the value must fit.
__device__ __forceinline__ int RoundToInteger(float a) {
#if defined(LONGCAT_CUDA_EMULATION)
    return static_cast<int>(std::nearbyint(a));
#else
    int result;
    asm("cvt.rni.s32.f32 %0, %1;" : "=r"(result) : "f"(a));
    return result;
#endif
}
// Of the larger of two numbers; a NaN loses against a number.
__device__ __forceinline__ float LargerFloat(float a, float b) {
#if defined(LONGCAT_CUDA_EMULATION)
    return std::fmax(a, b);
#else
    float result;
    asm("max.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
#endif
}
__device__ __forceinline__ float Magnitude(float a) { return FloatOf(BitsOf(a) & 0x7fffffffu); }
__device__ __forceinline__ bool IsFinite(float a) { return (BitsOf(a) & 0x7f800000u) != 0x7f800000u; }
inline constexpr uint32_t kNaNBits = 0x7fc00000u;
inline constexpr uint32_t kMinusInfinityBits = 0xff800000u;

// The two halves of a double.
__device__ __forceinline__ Words2 WordsOf(double value) {
    Words2 words;
#if defined(LONGCAT_CUDA_EMULATION)
    std::memcpy(words.x, &value, 8);
#else
    asm("mov.b64 {%0, %1}, %2;" : "=r"(words.x[0]), "=r"(words.x[1]) : "d"(value));
#endif
    return words;
}
__device__ __forceinline__ double DoubleOf(const Words2& words) {
    double value;
#if defined(LONGCAT_CUDA_EMULATION)
    std::memcpy(&value, words.x, 8);
#else
    asm("mov.b64 %0, {%1, %2};" : "=d"(value) : "r"(words.x[0]), "r"(words.x[1]));
#endif
    return value;
}

// e^a for a <= 0, right to half a unit of the last place and a millionth: the series runs in double.
__device__ __forceinline__ float ExponentialBelowOne(float a) {
    if (!(a >= -104)) {
        return a < 0 ? 0 : a;  // below the smallest number, or none
    }
    const double x = a, whole = static_cast<double>(static_cast<int>(x * 1.4426950408889634 - 0.5));
    const double r = (x - whole * 0x1.62e42feep-1) - whole * 0x1.a39ef35793c76p-33;  // ln 2 in two words: whole times the first is exact
    double sum = 1.0 / 479001600;
    sum = sum * r + 1.0 / 39916800, sum = sum * r + 1.0 / 3628800, sum = sum * r + 1.0 / 362880, sum = sum * r + 1.0 / 40320;
    sum = sum * r + 1.0 / 5040, sum = sum * r + 1.0 / 720, sum = sum * r + 1.0 / 120, sum = sum * r + 1.0 / 24;
    sum = sum * r + 1.0 / 6, sum = sum * r + 0.5, sum = sum * r + 1, sum = sum * r + 1;
    const Words2 power = {{0, static_cast<uint32_t>(static_cast<int>(whole) + 1023) << 20}};
    return static_cast<float>(sum * DoubleOf(power));
}

// Cosine and sine of a float angle below 2^22, right to the last place or the one before: the angle is reduced in double, the series run in
// double.
__device__ __forceinline__ void CosineAndSine(float angle, float* cosine, float* sine) {
    double x = angle, turns = x * 0.63661977236758134308;  // 2 / pi
    double whole = static_cast<double>(static_cast<int64_t>(turns + (turns < 0 ? -0.5 : 0.5)));
    // pi / 2 in two words of 30 bits and the rest: whole times the first two is exact.
    double r = ((x - whole * 0x1.921fb54p+0) - whole * 0x1.10b46118p-30) - whole * 0x1.313198a2e037p-61;
    double r2 = r * r;
    double s = r * (1 + r2 * (-1.0 / 6 + r2 * (1.0 / 120 + r2 * (-1.0 / 5040 + r2 * (1.0 / 362880 + r2 * (-1.0 / 39916800 + r2 / 6227020800.0))))));
    double c = 1 + r2 * (-0.5 + r2 * (1.0 / 24 + r2 * (-1.0 / 720 + r2 * (1.0 / 40320 + r2 * (-1.0 / 3628800 + r2 * (1.0 / 479001600 - r2 / 87178291200.0))))));
    int quarter = static_cast<int>(static_cast<int64_t>(whole) & 3);
    double cos_value = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
    double sin_value = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
    *cosine = static_cast<float>(cos_value), *sine = static_cast<float>(sin_value);
}

// Two bfloat16, rounded to nearest, ties to even: `low` in the lower half.
__device__ __forceinline__ uint32_t PackBFloat16(float low, float high) {
#if defined(LONGCAT_CUDA_EMULATION)
    auto narrow = [](float value) {
        uint32_t bits = BitsOf(value);
        return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    };
    return narrow(low) | narrow(high) << 16;
#else
    uint32_t result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
#endif
}
__device__ __forceinline__ uint16_t NarrowBFloat16(float value) { return static_cast<uint16_t>(PackBFloat16(value, 0)); }
__device__ __forceinline__ float WidenLow(uint32_t pair) { return FloatOf(pair << 16); }
__device__ __forceinline__ float WidenHigh(uint32_t pair) { return FloatOf(pair & 0xffff0000u); }

// ---- memory ---------------------------------------------------------------------------------------------------------------------------

// 16 aligned bytes that are read once: past the first-level cache.
__device__ __forceinline__ Words4 LoadOnce(const void* at) {
#if defined(LONGCAT_CUDA_EMULATION)
    Words4 words;
    std::memcpy(&words, __builtin_assume_aligned(at, 16), 16);
    return words;
#else
    Words4 words;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words.x[0]), "=r"(words.x[1]), "=r"(words.x[2]), "=r"(words.x[3])
                 : "l"(at));
    return words;
#endif
}

// 16 bytes of global memory to shared memory, both aligned, without passing registers; not valid: zeros. Seen after CommitCopies and
// WaitCopies of the same thread, by others after a barrier behind that.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global, bool valid) {
#if defined(LONGCAT_CUDA_EMULATION)
    emulation::CopyAsync(__builtin_assume_aligned(shared, 16), __builtin_assume_aligned(global, 16), 16, valid);
#else
    uint32_t to;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(to) : "l"(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(to), "l"(global), "r"(valid ? 16 : 0) : "memory");
#endif
}
__device__ __forceinline__ void CommitCopies() {
#if defined(LONGCAT_CUDA_EMULATION)
    emulation::CommitCopies();
#else
    asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}
// Until at most so many of this thread's groups are unfinished.
template <int kUnfinished>
__device__ __forceinline__ void WaitCopies() {
#if defined(LONGCAT_CUDA_EMULATION)
    emulation::WaitCopies(kUnfinished);
#else
    asm volatile("cp.async.wait_group %0;" : : "n"(kUnfinished) : "memory");
#endif
}

__device__ __forceinline__ void AddToShared(int32_t* at, int32_t value) {
#if defined(LONGCAT_CUDA_EMULATION)
    *at = static_cast<int32_t>(static_cast<uint32_t>(*at) + static_cast<uint32_t>(value));
#else
    uint32_t to;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(to) : "l"(at));
    asm volatile("red.shared.add.s32 [%0], %1;" : : "r"(to), "r"(value) : "memory");
#endif
}
__device__ __forceinline__ void AddToGlobal(int32_t* at, int32_t value) {
#if defined(LONGCAT_CUDA_EMULATION)
    *at = static_cast<int32_t>(static_cast<uint32_t>(*at) + static_cast<uint32_t>(value));
#else
    asm volatile("red.global.add.s32 [%0], %1;" : : "l"(at), "r"(value) : "memory");
#endif
}

__device__ __forceinline__ void OrToShared(uint32_t* at, uint32_t bits) {
#if defined(LONGCAT_CUDA_EMULATION)
    *at |= bits;
#else
    uint32_t to;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(to) : "l"(at));
    asm volatile("red.shared.or.b32 [%0], %1;" : : "r"(to), "r"(bits) : "memory");
#endif
}
__device__ __forceinline__ int BitsSet(uint32_t bits) {
#if defined(LONGCAT_CUDA_EMULATION)
    return __builtin_popcount(bits);
#else
    int count;
    asm("popc.b32 %0, %1;" : "=r"(count) : "r"(bits));
    return count;
#endif
}

// ---- a warp's threads among each other: all 32 must come --------------------------------------------------------------------------------

// The value of the lane whose number differs in the bits of `mask`.
__device__ __forceinline__ uint32_t ShuffleXor(uint32_t value, int mask) {
#if defined(LONGCAT_CUDA_EMULATION)
    struct Argument {
        uint32_t value;
        int mask;
        uint32_t result;
    } mine{value, mask, 0};
    emulation::WarpCollective(&mine, [](void* const* lanes) {
        for (int i = 0; i < kWarp; i++) {
            Argument& to = *static_cast<Argument*>(lanes[i]);
            to.result = static_cast<Argument*>(lanes[(i ^ to.mask) & 31])->value;
        }
    });
    return mine.result;
#else
    uint32_t result;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(result) : "r"(value), "r"(mask));
    return result;
#endif
}
__device__ __forceinline__ float ShuffleXor(float value, int mask) { return FloatOf(ShuffleXor(BitsOf(value), mask)); }
__device__ __forceinline__ int32_t ShuffleXor(int32_t value, int mask) {
    return static_cast<int32_t>(ShuffleXor(static_cast<uint32_t>(value), mask));
}

__device__ __forceinline__ double ShuffleXor(double value, int mask) {
    const Words2 mine = WordsOf(value);
    return DoubleOf({{ShuffleXor(mine.x[0], mask), ShuffleXor(mine.x[1], mask)}});
}

// Bit i: lane i brought true.
__device__ __forceinline__ uint32_t Ballot(bool mine) {
#if defined(LONGCAT_CUDA_EMULATION)
    struct Argument {
        bool mine;
        uint32_t result;
    } argument{mine, 0};
    emulation::WarpCollective(&argument, [](void* const* lanes) {
        uint32_t bits = 0;
        for (int i = 0; i < kWarp; i++) {
            bits |= static_cast<uint32_t>(static_cast<Argument*>(lanes[i])->mine) << i;
        }
        for (int i = 0; i < kWarp; i++) {
            static_cast<Argument*>(lanes[i])->result = bits;
        }
    });
    return argument.result;
#else
    uint32_t result;
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %1, 0; vote.sync.ballot.b32 %0, p, 0xffffffff; }" : "=r"(result) : "r"(mine ? 1u : 0u));
    return result;
#endif
}

// Sums over lanes that agree in all bits above log2(kLanes): in every lane, in an order that depends on kLanes alone.
template <int kLanes, class Number>
__device__ __forceinline__ Number SumOver(Number value) {
#pragma unroll
    for (int mask = kLanes / 2; mask > 0; mask /= 2) {
        value = value + ShuffleXor(value, mask);
    }
    return value;
}
template <int kLanes>
__device__ __forceinline__ float LargestOver(float value) {
#pragma unroll
    for (int mask = kLanes / 2; mask > 0; mask /= 2) {
        value = LargerFloat(value, ShuffleXor(value, mask));
    }
    return value;
}

// ---- matrix instructions ----------------------------------------------------------------------------------------------------------------

#if defined(LONGCAT_CUDA_EMULATION)
namespace emulation {

template <class Sum>
struct MmaArgument {
    Sum* d;
    const uint32_t* a;
    const uint32_t* b;
};

// mma.m16n8k32 of signed bytes. A [16, 32]: register r of a lane holds row group + 8 · (r % 2), columns 4 · place + 0..3 + 16 · (r / 2);
// B [32, 8]: register r, rows 4 · place + 0..3 + 16 · r of column group; D [16, 8]: register r, row group + 8 · (r / 2), column 2 · place + r % 2.
inline void MmaS8(void* const* lanes) {
    int8_t a[16][32], b[32][8];
    for (int lane = 0; lane < kWarp; lane++) {
        const auto& from = *static_cast<const MmaArgument<int32_t>*>(lanes[lane]);
        int group = lane / 4, place = lane % 4;
        for (int byte = 0; byte < 4; byte++) {
            for (int r = 0; r < 4; r++) {
                a[group + 8 * (r % 2)][4 * place + byte + 16 * (r / 2)] = static_cast<int8_t>(from.a[r] >> (8 * byte));
            }
            for (int r = 0; r < 2; r++) {
                b[4 * place + byte + 16 * r][group] = static_cast<int8_t>(from.b[r] >> (8 * byte));
            }
        }
    }
    for (int lane = 0; lane < kWarp; lane++) {
        const auto& to = *static_cast<const MmaArgument<int32_t>*>(lanes[lane]);
        for (int r = 0; r < 4; r++) {
            int row = lane / 4 + 8 * (r / 2), column = 2 * (lane % 4) + r % 2;
            uint32_t sum = static_cast<uint32_t>(to.d[r]);
            for (int k = 0; k < 32; k++) {
                sum += static_cast<uint32_t>(int{a[row][k]} * int{b[k][column]});
            }
            to.d[r] = static_cast<int32_t>(sum);
        }
    }
}

// mma.m16n8k16 of bfloat16. A [16, 16]: register r holds row group + 8 · (r % 2), columns 2 · place + 0..1 + 8 · (r / 2); B [16, 8]: register
// r, rows 2 · place + 0..1 + 8 · r of column group; D as above.
inline void MmaBFloat16(void* const* lanes) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < kWarp; lane++) {
        const auto& from = *static_cast<const MmaArgument<float>*>(lanes[lane]);
        int group = lane / 4, place = lane % 4;
        for (int r = 0; r < 4; r++) {
            a[group + 8 * (r % 2)][2 * place + 8 * (r / 2)] = WidenLow(from.a[r]);
            a[group + 8 * (r % 2)][2 * place + 1 + 8 * (r / 2)] = WidenHigh(from.a[r]);
        }
        for (int r = 0; r < 2; r++) {
            b[2 * place + 8 * r][group] = WidenLow(from.b[r]);
            b[2 * place + 1 + 8 * r][group] = WidenHigh(from.b[r]);
        }
    }
    for (int lane = 0; lane < kWarp; lane++) {
        const auto& to = *static_cast<const MmaArgument<float>*>(lanes[lane]);
        for (int r = 0; r < 4; r++) {
            int row = lane / 4 + 8 * (r / 2), column = 2 * (lane % 4) + r % 2;
            float sum = to.d[r];
            for (int k = 0; k < 16; k++) {
                sum += a[row][k] * b[k][column];
            }
            to.d[r] = sum;
        }
    }
}

struct MatrixRows {
    const void* row;
    uint32_t* to;
};
// ldmatrix.x4: lane i brings the address of row i % 8 (16 bytes) of matrix i / 8; register r of a lane is elements 2 · place + 0..1 of row
// group of matrix r; transposed, element group of rows 2 · place + 0..1.
template <bool kTransposed>
inline void LoadMatrices(void* const* lanes) {
    uint16_t rows[32][8];
    for (int lane = 0; lane < kWarp; lane++) {
        std::memcpy(rows[lane], __builtin_assume_aligned(static_cast<const MatrixRows*>(lanes[lane])->row, 16), 16);
    }
    for (int lane = 0; lane < kWarp; lane++) {
        int group = lane / 4, place = lane % 4;
        for (int r = 0; r < 4; r++) {
            uint32_t low = kTransposed ? rows[8 * r + 2 * place][group] : rows[8 * r + group][2 * place];
            uint32_t high = kTransposed ? rows[8 * r + 2 * place + 1][group] : rows[8 * r + group][2 * place + 1];
            static_cast<const MatrixRows*>(lanes[lane])->to[r] = low | high << 16;
        }
    }
}

}  // namespace emulation
#endif

// d += a · b for signed bytes, modulo 2^32.
__device__ __forceinline__ void MmaS8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(LONGCAT_CUDA_EMULATION)
    emulation::MmaArgument<int32_t> mine{d, a, b};
    emulation::WarpCollective(&mine, emulation::MmaS8);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// d += a · b for bfloat16, sums in float32.
__device__ __forceinline__ void MmaBFloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(LONGCAT_CUDA_EMULATION)
    emulation::MmaArgument<float> mine{d, a, b};
    emulation::WarpCollective(&mine, emulation::MmaBFloat16);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Four 8 x 8 matrices of 16-bit elements from shared memory: lane i gives the address of row i % 8 of matrix i / 8, 16-byte aligned.
template <bool kTransposed>
__device__ __forceinline__ void LoadMatrices(uint32_t (&to)[4], const void* row) {
#if defined(LONGCAT_CUDA_EMULATION)
    emulation::MatrixRows mine{row, to};
    emulation::WarpCollective(&mine, emulation::LoadMatrices<kTransposed>);
#else
    uint32_t at;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(at) : "l"(row));
    if constexpr (kTransposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(at)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(at)
                     : "memory");
    }
#endif
}

}  // namespace longcat::cuda
