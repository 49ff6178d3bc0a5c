// Which implementation of the kernels runs. Chosen once, by cpuid, when the operators are registered; the environment variable
// LONGCAT_KERNEL (reference, avx2, avxvnni, avx512, avx512bf16, neon) forces one.
#pragma once

#include "longcat/status.h"

namespace longcat {

enum class CpuPath {
    kReference,   // plain loops with double accumulation: the specification
    kAvx2,        // AVX2 and FMA
    kAvxVnni,     // as kAvx2, integers by the dot products of AVX-VNNI: processors without AVX-512 (Alder Lake and later)
    kAvx512,      // AVX-512 F, BW, DQ, VL
    kAvx512Bf16,  // as kAvx512, attention over bfloat16 caches by dot products of bfloat16 (Zen 4, Cooper Lake, Sapphire Rapids and later)
    kNeon,        // 64-bit ARM
};

// What a processor and its system can run. avx512: F, BW, DQ and VL together. The dot products of bytes are extensions that not every
// processor of a path has: without avx512_vnni the integers of kAvx512 and kAvx512Bf16 take the form of kAvx2, without neon_dot those of kNeon the
// reference.
struct CpuFeatures {
    bool avx2 = false, fma = false, avx_vnni = false, avx512 = false, avx512_vnni = false, avx512_bf16 = false;
    bool neon = false, neon_dot = false;
};

const char* Name(CpuPath path);
CpuFeatures DetectCpuFeatures();  // of this processor
bool IsSupported(CpuPath path, const CpuFeatures& features);
CpuPath BestCpuPath(const CpuFeatures& features);
bool IsSupported(CpuPath path);
CpuPath BestCpuPath();

// name may be null or empty (the best path). An unknown name or a path this processor lacks is an error that lists what there is.
Status SelectCpuPath(const char* name, CpuPath* path);

}  // namespace longcat
