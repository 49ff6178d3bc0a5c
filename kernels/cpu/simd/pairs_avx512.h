// Pairs of bfloat16 and their dot products: two multiply-adds in the time of one of float32. Include after avx512.h in files compiled with
// -mavx512bf16.
//
// A word is two numbers, the first in its lower half. Products and sums are float32, rounded to the nearest whatever the thread's mode is; numbers
// and results below 2^-126 count as 0.
#pragma once

namespace longcat {
namespace {

struct Pairs {
    using Word = uint32_t;
    using Words = __m512i;
    using Vector = Simd::Vector;
    static constexpr int kLanes = 16, kNumbers = 2;  // of a word

    static Words Zero() { return _mm512_setzero_si512(); }
    static Words All(Word x) { return _mm512_set1_epi32(static_cast<int>(x)); }
    static Words Load(const Word* x) { return _mm512_loadu_si512(x); }
    static void Store(Word* x, Words v) { _mm512_storeu_si512(x, v); }
    // The word that lies at any address, in all lanes.
    static Words AllAt(const void* x) {
        int word;
        __builtin_memcpy(&word, x, sizeof(word));
        return _mm512_set1_epi32(word);
    }
    // Four words, over and over; and of each four lanes word I in all four.
    static Words LoadFour(const void* x) { return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(x))); }
    template <int I>
    static Words Spread(Words v) {
        return _mm512_shuffle_epi32(v, static_cast<_MM_PERM_ENUM>(I * 0x55));
    }
    // Four words of each of four rows that lie `stride` bytes apart.
    static Words LoadFours(const void* x, int64_t stride) {
        const char* row = static_cast<const char*>(x);
        auto four = [](const char* at) __attribute__((always_inline)) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); };
        Words v = LoadFour(row);
        v = _mm512_mask_broadcast_i32x4(v, 0x00f0, four(row + stride));
        v = _mm512_mask_broadcast_i32x4(v, 0x0f00, four(row + 2 * stride));
        return _mm512_mask_broadcast_i32x4(v, 0xf000, four(row + 3 * stride));
    }

    // c + both products of each lane.
    static Vector MultiplyAdd(Words a, Words b, Vector c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }

    // 32 neighbours of a row as they lie: 16 words. Of fewer the rest is 0, and nothing beyond them is touched.
    static Words LoadNumbers(const uint16_t* x) { return _mm512_loadu_si512(x); }
    static Words LoadNumbers(const uint16_t* x, int64_t count) { return _mm512_maskz_loadu_epi16(Halves(count), x); }
    static Words Round(const float* x) { return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)); }
    static Words Round(const float* x, int64_t count) {
        __mmask32 mask = Halves(count);
        return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), x + 16),
                                            _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), x));
    }

    static Words Round(Vector low, Vector high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

    // Lane i: (first[i], second[i]), rounded to the nearest, ties to even.
    static Words Pack(Vector first, Vector second) {
        return _mm512_permutexvar_epi16(_mm512_load_si512(kOfHalves), (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
    // Of four lanes each for keys 0 to 3 (a) and 4 to 7 (b): four lanes each for the pairs of keys (0, 1), (2, 3), (4, 5), (6, 7).
    static Words PackFours(Vector a, Vector b) { return Pack(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd)); }
    // Of two rows of 16 numbers, one behind the other: the pairs (first[i], second[i]). Of one row, and nothing beyond it: (row[i], 0).
    static Words LoadRows(const uint16_t* x) { return _mm512_permutexvar_epi16(_mm512_load_si512(kOfHalves), _mm512_loadu_si512(x)); }
    static Words LoadRow(const uint16_t* x) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))); }
    // Of two rows of 32 numbers: the pairs (first[i], second[i]) for i < 16, and those from 16 on.
    static Words InterleaveLow(Words first, Words second) { return _mm512_permutex2var_epi16(first, _mm512_load_si512(kLow), second); }
    static Words InterleaveHigh(Words first, Words second) { return _mm512_permutex2var_epi16(first, _mm512_load_si512(kHigh), second); }
    // The words with 0 for their second, for their first number.
    static Words OnlyFirst(Words v) { return _mm512_and_si512(v, All(0x0000ffffu)); }
    static Words OnlySecond(Words v) { return _mm512_and_si512(v, All(0xffff0000u)); }

    // 2^x for x <= 0 as a weight that will be rounded to 8 bits wants it: within 3.1e-6 of it where that is normal, exactly 1 at 0, 0 at minus infinity,
    // NaN stays NaN.
    // Four multiply-adds: 2^floor(x) times the polynomial nearest to 2^r with 0 <= r < 1.
    static Vector Exp2(Vector x) {
        constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
        Vector r = _mm512_reduce_ps(x, kDown);  // x - floor(x); 0 at minus infinity
        Vector p = Simd::All(kExp2[3]);
        p = Simd::MultiplyAdd(p, r, Simd::All(kExp2[2]));
        p = Simd::MultiplyAdd(p, r, Simd::All(kExp2[1]));
        p = Simd::MultiplyAdd(p, r, Simd::All(kExp2[0]));
        p = Simd::MultiplyAdd(p, r, Simd::All(1.0f));
        return _mm512_scalef_ps(p, x);  // by 2^floor(x)
    }

  private:
    static __mmask32 Halves(int64_t count) { return static_cast<__mmask32>((uint64_t{1} << count) - 1); }

    static constexpr float kExp2[4] = {0.69304485f, 0.24128020f, 0.052242474f, 0.013426684f};
    alignas(64) static constexpr uint16_t kOfHalves[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                           8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    alignas(64) static constexpr uint16_t kLow[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                      8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    alignas(64) static constexpr uint16_t kHigh[32] = {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
                                                       24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63};
};

}  // namespace
}  // namespace longcat
