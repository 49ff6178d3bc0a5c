#include "longcat/cpu_path.h"

#include <cstring>

#if defined(LONGCAT_ARM64) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "dot_product.h"

namespace longcat {
namespace {

constexpr CpuPath kPaths[] = {CpuPath::kReference, CpuPath::kAvx2, CpuPath::kAvx512, CpuPath::kNeon};

}  // namespace

const char* Name(CpuPath path) {
    switch (path) {
        case CpuPath::kReference:
            return "reference";
        case CpuPath::kAvx2:
            return "avx2";
        case CpuPath::kAvx512:
            return "avx512";
        case CpuPath::kNeon:
            return "neon";
    }
    return "?";
}

bool IsSupported(CpuPath path) {
#if defined(LONGCAT_X86)
    // These tests include the operating system's part (XGETBV): registers that are not saved on a context switch count as absent.
    switch (path) {
        case CpuPath::kReference:
            return true;
        case CpuPath::kAvx2:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        case CpuPath::kAvx512:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
        case CpuPath::kNeon:
            return false;
    }
    return false;
#elif defined(LONGCAT_ARM64)
    return path == CpuPath::kReference || path == CpuPath::kNeon;  // NEON is part of 64-bit ARM
#else
    return path == CpuPath::kReference;
#endif
}

bool HasAvx512Vnni() {
#if defined(LONGCAT_X86)
    return IsSupported(CpuPath::kAvx512) && __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

bool HasNeonDotProduct() {
#if defined(LONGCAT_ARM64) && defined(__linux__)
    constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP
    return (getauxval(AT_HWCAP) & kAsimdDp) != 0;
#elif defined(LONGCAT_ARM64) && defined(__ARM_FEATURE_DOTPROD)
    return true;  // all processors that this is compiled for have them
#else
    return false;
#endif
}

CpuPath BestCpuPath() {
    constexpr CpuPath kBestFirst[] = {CpuPath::kNeon, CpuPath::kAvx512, CpuPath::kAvx2};
    for (CpuPath path : kBestFirst) {
        if (IsSupported(path)) {
            return path;
        }
    }
    return CpuPath::kReference;
}

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
    return Status::Error(StatusCode::kInvalidArgument, "LONGCAT_KERNEL=%.60s is unknown; expected reference, avx2, avx512 or neon", name);
}

}  // namespace longcat
