// e^x of a vector, within 2 units in the last place; 0 below the smallest normal result, NaN stays NaN. Include after avx2.h or avx512.h.
#pragma once

namespace longcat {
namespace {

// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7 (error below 1e-8 there); times 2^n.
inline Simd::Vector Exp(Simd::Vector x) {
    constexpr float kLowest = -87.33654f, kHighest = 88.72283f;  // e^x is normal and finite between
    constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
    Simd::Vector bounded = Simd::Smaller(Simd::All(kHighest), Simd::Larger(Simd::All(kLowest), x));
    Simd::Vector n = Simd::Round(Simd::Multiply(bounded, Simd::All(kLog2E)));
    Simd::Vector r = Simd::MultiplyAdd(n, Simd::All(-kLn2High), bounded);
    r = Simd::MultiplyAdd(n, Simd::All(-kLn2Low), r);
    Simd::Vector p = Simd::All(1.0f / 5040);
    p = Simd::MultiplyAdd(p, r, Simd::All(1.0f / 720));
    p = Simd::MultiplyAdd(p, r, Simd::All(1.0f / 120));
    p = Simd::MultiplyAdd(p, r, Simd::All(1.0f / 24));
    p = Simd::MultiplyAdd(p, r, Simd::All(1.0f / 6));
    p = Simd::MultiplyAdd(p, r, Simd::All(0.5f));
    p = Simd::MultiplyAdd(p, r, Simd::All(1.0f));
    p = Simd::MultiplyAdd(p, r, Simd::All(1.0f));
    return Simd::ZeroBelow(Simd::TimesPowerOfTwo(p, n), x, kLowest);
}

// 2^x of a vector, x <= 0, within 2 units in the last place; exactly 1 at 0, 0 below -126, NaN stays NaN. Six multiply-adds where e^x has ten:
// a softmax whose scores come multiplied by log2 e needs no more. 2^r for |r| <= 1/2 by its Taylor polynomial of degree 7, whose last term is
// replaced by the polynomial of degree 5 that is nearest to it (error below 1e-8).
inline Simd::Vector Exp2(Simd::Vector x) {
    constexpr float kLowest = -126;
    Simd::Vector bounded = Simd::Larger(Simd::All(kLowest), x);
    Simd::Vector n = Simd::Round(bounded), r = Simd::Subtract(bounded, n);
    Simd::Vector p = Simd::All(1.5403530e-4f);
    p = Simd::MultiplyAdd(p, r, Simd::All(1.3400289e-3f));
    p = Simd::MultiplyAdd(p, r, Simd::All(9.6181291e-3f));
    p = Simd::MultiplyAdd(p, r, Simd::All(5.5503275e-2f));
    p = Simd::MultiplyAdd(p, r, Simd::All(0.24022651f));
    p = Simd::MultiplyAdd(p, r, Simd::All(0.69314721f));
    p = Simd::MultiplyAdd(p, r, Simd::All(1.0f));
    return Simd::ZeroBelow(Simd::TimesPowerOfTwo(p, n), x, kLowest);
}

}  // namespace
}  // namespace longcat
