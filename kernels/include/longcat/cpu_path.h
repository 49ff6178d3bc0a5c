// Which implementation of the kernels runs. Chosen once, by cpuid, when the operators are registered; the environment variable
// LONGCAT_KERNEL (reference, avx2, avx512, neon) forces one.
#pragma once

#include "longcat/status.h"

namespace longcat {

enum class CpuPath {
    kReference,  // plain loops with double accumulation: the specification
    kAvx2,       // AVX2 and FMA
    kAvx512,     // AVX-512 F, BW, DQ, VL
    kNeon,       // 64-bit ARM
};

const char* Name(CpuPath path);
bool IsSupported(CpuPath path);
CpuPath BestCpuPath();

// name may be null or empty (the best path). An unknown name or a path this processor lacks is an error that lists what there is.
Status SelectCpuPath(const char* name, CpuPath* path);

}  // namespace longcat
