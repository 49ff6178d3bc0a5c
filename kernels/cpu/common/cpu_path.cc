#include "longcat/cpu_path.h"

#include <cstring>

#if defined(LONGCAT_ARM64) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "dot_product.h"

namespace longcat {
namespace {

constexpr CpuPath kPaths[] = {CpuPath::kReference, CpuPath::kAvx2, CpuPath::kAvxVnni, CpuPath::kAvx512, CpuPath::kAvx512Bf16, CpuPath::kNeon};

}  // namespace

const char* Name(CpuPath path) {
    switch (path) {
        case CpuPath::kReference:
            return "reference";
        case CpuPath::kAvx2:
            return "avx2";
        case CpuPath::kAvxVnni:
            return "avxvnni";
        case CpuPath::kAvx512:
            return "avx512";
        case CpuPath::kAvx512Bf16:
            return "avx512bf16";
        case CpuPath::kNeon:
            return "neon";
    }
    return "?";
}

CpuFeatures DetectCpuFeatures() {
    CpuFeatures features;
#if defined(LONGCAT_X86)
    // These tests include the operating system's part (XGETBV): registers that are not saved on a context switch count as absent.
    features.avx2 = __builtin_cpu_supports("avx2");
    features.fma = __builtin_cpu_supports("fma");
    features.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
    features.avx512_vnni = __builtin_cpu_supports("avx512vnni");
    features.avx512_bf16 = __builtin_cpu_supports("avx512bf16");
#if defined(LONGCAT_AVXVNNI_AS_EVEX)
    features.avx_vnni = features.avx512 && features.avx512_vnni;  // tests only: the same instructions in AVX-512's encoding
#else
    features.avx_vnni = __builtin_cpu_supports("avxvnni");
#endif
#elif defined(LONGCAT_ARM64)
    features.neon = true;                          // part of 64-bit ARM
#if defined(__linux__)
    constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP
    features.neon_dot = (getauxval(AT_HWCAP) & kAsimdDp) != 0;
#elif defined(__ARM_FEATURE_DOTPROD)
    features.neon_dot = true;  // all processors that this is compiled for have them
#endif
#endif
    return features;
}

bool IsSupported(CpuPath path, const CpuFeatures& features) {
    const bool avx2 = features.avx2 && features.fma;
    switch (path) {
        case CpuPath::kReference:
            return true;
        case CpuPath::kAvx2:
            return avx2;
        case CpuPath::kAvxVnni:
            return avx2 && features.avx_vnni;
        case CpuPath::kAvx512:
            return avx2 && features.avx512;
        case CpuPath::kAvx512Bf16:
            return avx2 && features.avx512 && features.avx512_bf16;
        case CpuPath::kNeon:
            return features.neon;
    }
    return false;
}

// AVX-512 before AVX-VNNI, for floats are twice as fast in it. (A processor with AVX-512 that has AVX-VNNI has AVX-512's dot products too.)
CpuPath BestCpuPath(const CpuFeatures& features) {
    constexpr CpuPath kBestFirst[] = {CpuPath::kNeon, CpuPath::kAvx512Bf16, CpuPath::kAvx512, CpuPath::kAvxVnni, CpuPath::kAvx2};
    for (CpuPath path : kBestFirst) {
        if (IsSupported(path, features)) {
            return path;
        }
    }
    return CpuPath::kReference;
}

bool IsSupported(CpuPath path) { return IsSupported(path, DetectCpuFeatures()); }
CpuPath BestCpuPath() { return BestCpuPath(DetectCpuFeatures()); }

bool HasAvx512Vnni() {
    CpuFeatures features = DetectCpuFeatures();
    return IsSupported(CpuPath::kAvx512, features) && features.avx512_vnni;
}

bool HasFreeShifts() {
#if defined(LONGCAT_X86)
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

bool HasNeonDotProduct() { return DetectCpuFeatures().neon_dot; }

Status SelectCpuPath(const char* name, CpuPath* path) {
    if (name == nullptr || *name == '\0') {
        *path = BestCpuPath();
        return {};
    }
    for (CpuPath candidate : kPaths) {
        if (std::strcmp(name, Name(candidate)) != 0) {
            continue;
        }
        if (!IsSupported(candidate)) {
            return Status::Error(StatusCode::kUnsupported, "LONGCAT_KERNEL=%s: this processor lacks it; its best path is %s", name,
                                 Name(BestCpuPath()));
        }
        *path = candidate;
        return {};
    }
    return Status::Error(StatusCode::kInvalidArgument, "LONGCAT_KERNEL=%.60s is unknown; expected reference, avx2, avxvnni, avx512, avx512bf16 or neon",
                         name);
}

}  // namespace longcat
