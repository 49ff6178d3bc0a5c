// SiLU(gate) · up of a vector. Include after avx2.h or avx512.h.
#pragma once

#include "exp.h"

namespace longcat {
namespace {

inline Simd::Vector SiluMul(Simd::Vector gate, Simd::Vector up) {
    return Simd::Multiply(Simd::Divide(gate, Simd::Add(Simd::All(1), Exp(Simd::Subtract(Simd::Zero(), gate)))), up);
}

}  // namespace
}  // namespace longcat
