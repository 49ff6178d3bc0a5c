// The instruction sets of the integer kernels: dot products of bytes, which not every processor of a path has.
#pragma once

namespace longcat {

bool HasAvx512Vnni();      // within CpuPath::kAvx512 and kAvx512Bf16; without it they take the form of AVX2
bool HasFreeShifts();      // of 512 bits beside dot products, as AMD's processors: elsewhere both want the same units
bool HasNeonDotProduct();  // within CpuPath::kNeon; without it that path takes the reference

}  // namespace longcat
