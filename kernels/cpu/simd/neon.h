// The vector of the NEON path, two registers of four lanes side by side: the 32 registers of 64-bit ARM are then the 16 of AVX2, and all
// tiles fit as they do there. See avx512.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace longcat {
namespace {

struct Simd {
    struct Vector {
        float32x4_t low, high;
    };
    struct Doubles {
        float64x2_t low, high;
    };
    static constexpr int kLanes = 8;
    static constexpr int kDoubleLanes = 4;
    static constexpr int kDotRows = 3, kDotColumns = 4;
    static constexpr int kSumRows = 4, kSumVectors = 2;
    static constexpr int kPanelRows = 6, kPanelSums = 12;
    static constexpr int kRouterTokens = 2, kRouterExperts = 3;

    static Vector Zero() { return All(0); }
    static Vector All(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
    static Vector Load(const float* x) { return {vld1q_f32(x), vld1q_f32(x + 4)}; }
    static Vector Load(const uint16_t* x) {
        uint16x8_t halves = vld1q_u16(x);
        return {Float(vshll_n_u16(vget_low_u16(halves), 16)), Float(vshll_n_u16(vget_high_u16(halves), 16))};
    }
    static Vector Load(const int8_t* x) {
        int16x8_t all = vmovl_s8(vld1_s8(x));
        return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(all))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(all)))};
    }
    // The first count < kLanes elements, zeros above; nothing beyond them is touched.
    template <class T>
    static Vector Load(const T* x, int64_t count) {
        T part[kLanes] = {};
        for (int64_t i = 0; i < count; i++) {
            part[i] = x[i];
        }
        return Load(part);
    }
    // Of kLanes pairs of bfloat16: the first and the second of each pair.
    static Vector LoadFirsts(const uint16_t* x) { return {Float(vshlq_n_u32(Words(x), 16)), Float(vshlq_n_u32(Words(x + 8), 16))}; }
    static Vector LoadSeconds(const uint16_t* x) {
        uint32x4_t upper = vdupq_n_u32(0xffff0000u);
        return {Float(vandq_u32(Words(x), upper)), Float(vandq_u32(Words(x + 8), upper))};
    }
    // See avx512.h.
    static Vector LoadFour(const float* x) { return {vld1q_f32(x), vld1q_f32(x)}; }
    template <int I>
    static Vector Spread(Vector v) { return {vdupq_laneq_f32(v.low, I), vdupq_laneq_f32(v.high, I)}; }
    static Vector LoadFours(const float* x, int64_t stride) { return {vld1q_f32(x), vld1q_f32(x + stride)}; }
    static void Store(float* x, Vector v) {
        vst1q_f32(x, v.low);
        vst1q_f32(x + 4, v.high);
    }
    static void Store(float* x, Vector v, int64_t count) {
        float part[kLanes];
        Store(part, v);
        for (int64_t i = 0; i < count; i++) {
            x[i] = part[i];
        }
    }

    static Vector Add(Vector a, Vector b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
    static Vector Subtract(Vector a, Vector b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
    static Vector Multiply(Vector a, Vector b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
    static Vector Divide(Vector a, Vector b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
    static Vector MultiplyAdd(Vector a, Vector b, Vector c) { return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)}; }
    // b where one is NaN, as on x86: a comparison with NaN is false.
    static Vector Larger(Vector a, Vector b) {
        return {vbslq_f32(vcgtq_f32(a.low, b.low), a.low, b.low), vbslq_f32(vcgtq_f32(a.high, b.high), a.high, b.high)};
    }
    static Vector Smaller(Vector a, Vector b) {
        return {vbslq_f32(vcltq_f32(a.low, b.low), a.low, b.low), vbslq_f32(vcltq_f32(a.high, b.high), a.high, b.high)};
    }
    static float Sum(Vector v) { return vaddvq_f32(vaddq_f32(v.low, v.high)); }
    // See avx512.h.
    static float SumOf16(const Vector* v) {
        Vector eight = Add(v[0], v[1]);
        float32x4_t four = vaddq_f32(eight.low, eight.high);
        float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
        return vget_lane_f32(vpadd_f32(two, two), 0);
    }
    static float Largest(Vector v) { return vmaxvq_f32(vmaxq_f32(v.low, v.high)); }
    static Vector Round(Vector v) { return {vrndnq_f32(v.low), vrndnq_f32(v.high)}; }
    // n is an integer in -252..254: the power is applied in two halves, so that neither leaves the exponent's range.
    static Vector TimesPowerOfTwo(Vector v, Vector n) { return {TimesPowerOfTwo(v.low, n.low), TimesPowerOfTwo(v.high, n.high)}; }
    static Vector ZeroBelow(Vector v, Vector x, float limit) { return {ZeroBelow(v.low, x.low, limit), ZeroBelow(v.high, x.high, limit)}; }

    static Doubles ZeroDoubles() { return {vdupq_n_f64(0), vdupq_n_f64(0)}; }
    static Doubles LoadDoubles(const float* x) {
        float32x4_t four = vld1q_f32(x);
        return {vcvt_f64_f32(vget_low_f32(four)), vcvt_high_f64_f32(four)};
    }
    static Doubles LoadDoubles(const float* x, int64_t count) {
        float part[kDoubleLanes] = {};
        for (int64_t i = 0; i < count; i++) {
            part[i] = x[i];
        }
        return LoadDoubles(part);
    }
    static Doubles MultiplyAdd(Doubles a, Doubles b, Doubles c) { return {vfmaq_f64(c.low, a.low, b.low), vfmaq_f64(c.high, a.high, b.high)}; }
    static double Sum(Doubles v) { return vaddvq_f64(vaddq_f64(v.low, v.high)); }

  private:
    static float32x4_t Float(uint32x4_t bits) { return vreinterpretq_f32_u32(bits); }
    static uint32x4_t Words(const uint16_t* x) { return vreinterpretq_u32_u16(vld1q_u16(x)); }
    static float32x4_t TimesPowerOfTwo(float32x4_t v, float32x4_t n) {
        int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
        int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23), second = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
        return vmulq_f32(vmulq_f32(v, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second));
    }
    // Not below: NaN stays what it is.
    static float32x4_t ZeroBelow(float32x4_t v, float32x4_t x, float limit) {
        return Float(vbicq_u32(vreinterpretq_u32_f32(v), vcltq_f32(x, vdupq_n_f32(limit))));
    }
};

}  // namespace
}  // namespace longcat
