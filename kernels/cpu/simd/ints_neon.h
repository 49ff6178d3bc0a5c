// Sixteen 32-bit sums in four registers with NEON's dot products (ARMv8.2, FEAT_DotProd): what vectorised.h needs of an instruction set.
// Its products are signed: unsigned 4-bit weights are such numbers already, of unsigned bytes the upper bit is turned.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace longcat {
namespace {

struct Ints {
    struct Sums {
        int32x4_t v[4];
    };
    static constexpr int kRows = 8, kBestRows = 8;
    static constexpr int kLeastWideRows = 0, kWideRows = 0, kWideGroup = 0;  // there is no WideTile

    static Sums All(int32_t x) { return {{vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x)}}; }
    static Sums LoadSums(const int32_t* from) {
        return {{vld1q_s32(from), vld1q_s32(from + 4), vld1q_s32(from + 8), vld1q_s32(from + 12)}};
    }
    // As in ints_vnni.h. Up to four rows by 16 outputs, more by eight: sixteen sums, whose additions follow each other far enough apart.
    template <int R, int S, bool Fetch>
    static void Tile(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                     int32_t* totals) {
        constexpr int V = R <= 4 ? 4 : 2;  // registers of four outputs
        for (int c = 0; c < 16; c += V) {
            const uint8_t* weights = w + c * 16;
            const int32_t* row = a;
            int32_t* total = totals + c * 4;
            for (int64_t g = 0; g < groups; g++) {
                int32x4_t sum[R][V];
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
                    for (int v = 0; v < V; v++) {
                        sum[r][v] = S == 0 ? vld1q_s32(total + r * 64 + v * 4) : vdupq_n_s32(row[r]);
                    }
                }
                row += S == 0 ? 0 : R;
                for (int64_t step = g + 1 < groups ? steps : last_steps; step > 0; step--) {
                    if constexpr (Fetch) {
                        __builtin_prefetch(ahead, 0, 2);
                        ahead += V * 16;
                    }
                    Step<R, V>(sum, weights, row);
                    weights += 256, row += 2 * R;
                }
                if constexpr (S == 0) {
#pragma GCC unroll 8
                    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
                        for (int v = 0; v < V; v++) {
                            vst1q_s32(total + r * 64 + v * 4, sum[r][v]);
                        }
                    }
                } else {
                    AddScaled<R, S, V>(sum, weights - c * 16 + c * 4 * S, total);
                    weights += 64 * S;
                }
            }
        }
    }

    struct Bytes {
        int8x16_t v[4];
    };
    static constexpr int kByteRows = 6, kByteTiles = 1;
    static constexpr int32_t kByteStart = 0;
    static Bytes LoadBytes(const uint8_t* tile) { return {{Signed(tile), Signed(tile + 16), Signed(tile + 32), Signed(tile + 48)}}; }
    static void Dot(Sums& sums, const Bytes& w, const int32_t& a) {
        int8x16_t all = vreinterpretq_s8_s32(vdupq_n_s32(a));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            sums.v[i] = vdotq_s32(sums.v[i], w.v[i], all);
        }
    }

    struct Floats {
        float32x4_t v[4];
    };
    static Floats ToFloats(Sums total) {
        return {{vcvtq_f32_s32(total.v[0]), vcvtq_f32_s32(total.v[1]), vcvtq_f32_s32(total.v[2]), vcvtq_f32_s32(total.v[3])}};
    }
    // 256 · high + low, which a double holds exactly: rounded once.
    static Floats ToFloats(Sums high, Sums low) {
        Floats floats;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int64x2_t first = vaddw_s32(vshll_n_s32(vget_low_s32(high.v[i]), 8), vget_low_s32(low.v[i])),
                      second = vaddw_s32(vshll_n_s32(vget_high_s32(high.v[i]), 8), vget_high_s32(low.v[i]));
            floats.v[i] = vcvt_high_f32_f64(vcvt_f32_f64(vcvtq_f64_s64(first)), vcvtq_f64_s64(second));
        }
        return floats;
    }

    static void Finish(Floats total, float row_scale, const float* scale, const float* bias, const float* residual, float* y,
                       int64_t count) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int64_t first = 4 * i, left = count - first;
            if (left <= 0) {
                break;
            }
            float32x4_t value = vmulq_f32(total.v[i], vmulq_f32(vdupq_n_f32(row_scale), Part(scale + first, left)));
            if (bias != nullptr) {
                value = vaddq_f32(value, Part(bias + first, left));
            }
            if (residual != nullptr) {
                value = vaddq_f32(value, Part(residual + first, left));
            }
            if (left >= 4) {
                vst1q_f32(y + first, value);
            } else {
                float part[4];
                vst1q_f32(part, value);
                for (int64_t j = 0; j < left; j++) {
                    y[first + j] = part[j];
                }
            }
        }
    }

    // Magnitudes as their bits: those of floats are in the order of integers, infinity above all numbers, NaN above infinity.
    static float Largest(const float* x, int64_t count, bool* finite) {
        int32x4_t most = vdupq_n_s32(0);
        for (int64_t i = 0; i < count; i += 4) {
            most = vmaxq_s32(most, vandq_s32(vreinterpretq_s32_f32(Part(x + i, count - i)), vdupq_n_s32(0x7fffffff)));
        }
        int32_t bits = vmaxvq_s32(most);
        float largest;
        __builtin_memcpy(&largest, &bits, sizeof(largest));
        *finite = bits < 0x7f800000;
        return largest;
    }
    static void Quantize(const float* x, int64_t count, float inverse, int8_t* a) {
        for (int64_t i = 0; i < count; i += 8) {
            StoreBytes(Rounded(x + i, count - i, inverse, 127), Rounded(x + i + 4, count - i - 4, inverse, 127), a + i);
        }
    }
    static void QuantizeDigits(const float* x, int64_t count, float inverse, int8_t* high, int8_t* low) {
        for (int64_t i = 0; i < count; i += 8) {
            int32x4_t first = Rounded(x + i, count - i, inverse, 32512), second = Rounded(x + i + 4, count - i - 4, inverse, 32512);
            int32x4_t first_upper = vrshrq_n_s32(first, 8), second_upper = vrshrq_n_s32(second, 8);  // (a + 128) / 256, downwards
            StoreBytes(first_upper, second_upper, high + i);
            StoreBytes(vsubq_s32(first, vshlq_n_s32(first_upper, 8)), vsubq_s32(second, vshlq_n_s32(second_upper, 8)), low + i);
        }
    }
    static int32_t Sum(const int8_t* a, int64_t count) {
        int32_t sum = 0;
        for (int64_t i = 0; i < count; i++) {
            sum += a[i];
        }
        return sum;
    }

  private:
    static int8x16_t Signed(const uint8_t* bytes) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes), vdupq_n_u8(128))); }
    // Eight values of k: of every row four at row[r], and the next four at row[R + r].
    template <int R, int V>
    __attribute__((always_inline)) static void Step(int32x4_t (&sum)[R][V], const uint8_t* weights, const int32_t* row) {
        int8x16_t values[(2 * R + 3) / 4], unpacked[2][V];
#pragma GCC unroll 4
        for (int i = 0; i < 2 * R; i += 4) {
            int32x4_t four = i + 4 <= 2 * R ? vld1q_s32(row + i) : vcombine_s32(vld1_s32(row + i), vdup_n_s32(0));
            values[i / 4] = vreinterpretq_s8_s32(four);
        }
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
            uint8x16_t both = vld1q_u8(weights + v * 16);
            unpacked[0][v] = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
            unpacked[1][v] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
        }
        Dots<R, V>(sum, unpacked, values);
    }
    // The lane is part of the instruction.
    template <int R, int V, int I = 0>
    __attribute__((always_inline)) static void Dots(int32x4_t (&sum)[R][V], const int8x16_t (&w)[2][V], const int8x16_t* values) {
        if constexpr (I < 2 * R) {
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                sum[I % R][v] = vdotq_laneq_s32(sum[I % R][v], w[I / R][v], values[I / 4], I % 4);
            }
            Dots<R, V, I + 1>(sum, w, values);
        }
    }
    // totals += sums · the scales of 4 V outputs.
    template <int R, int S, int V>
    __attribute__((always_inline)) static void AddScaled(const int32x4_t (&sum)[R][V], const uint8_t* scales, int32_t* total) {
#pragma GCC unroll 2
        for (int v = 0; v < V; v += 2) {
            int16x8_t eight = S == 1 ? vmovl_s8(vreinterpret_s8_u8(vld1_u8(scales + v * 4)))
                                     : vreinterpretq_s16_u8(vld1q_u8(scales + v * 8));  // the processor is little-endian, as the file is
            int32x4_t first = vmovl_s16(vget_low_s16(eight)), second = vmovl_s16(vget_high_s16(eight));
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                int32_t* to = total + r * 64 + v * 4;
                vst1q_s32(to, vmlaq_s32(vld1q_s32(to), sum[r][v], first));
                vst1q_s32(to + 4, vmlaq_s32(vld1q_s32(to + 4), sum[r][v + 1], second));
            }
        }
    }
    // The first four of those that are left, zeros above.
    static float32x4_t Part(const float* x, int64_t left) {
        if (left >= 4) {
            return vld1q_f32(x);
        }
        float part[4] = {};
        for (int64_t i = 0; i < left; i++) {
            part[i] = x[i];
        }
        return vld1q_f32(part);
    }
    // Four of the values that are left: round(x · inverse) within ±most.
    static int32x4_t Rounded(const float* x, int64_t left, float inverse, float most) {
        float32x4_t value = vmulq_f32(Part(x, left), vdupq_n_f32(inverse));
        return vcvtnq_s32_f32(vminq_f32(vmaxq_f32(value, vdupq_n_f32(-most)), vdupq_n_f32(most)));
    }
    static void StoreBytes(int32x4_t first, int32x4_t second, int8_t* to) {
        vst1_s8(to, vqmovn_s16(vcombine_s16(vqmovn_s32(first), vqmovn_s32(second))));
    }
};

}  // namespace
}  // namespace longcat
