// Which path is chosen for which processor.
#include "../cpu/common/dot_product.h"
#include "harness.h"

using namespace longcat;
using namespace longcat::test;

namespace {

CpuFeatures Of(bool avx2, bool fma, bool avx_vnni, bool avx512, bool avx512_vnni, bool avx512_bf16) {
    CpuFeatures features;
    features.avx2 = avx2, features.fma = fma, features.avx_vnni = avx_vnni, features.avx512 = avx512, features.avx512_vnni = avx512_vnni;
    features.avx512_bf16 = avx512_bf16;
    return features;
}

void Expect(const char* processor, const CpuFeatures& features, CpuPath best) {
    CpuPath got = BestCpuPath(features);
    EXPECT(got == best, "%s: %s, expected %s", processor, Name(got), Name(best));
}

void Known() {
    Expect("Nehalem", Of(false, false, false, false, false, false), CpuPath::kReference);
    Expect("Haswell", Of(true, true, false, false, false, false), CpuPath::kAvx2);
    Expect("Alder Lake", Of(true, true, true, false, false, false), CpuPath::kAvxVnni);
    Expect("Skylake-X", Of(true, true, false, true, false, false), CpuPath::kAvx512);
    Expect("Ice Lake", Of(true, true, false, true, true, false), CpuPath::kAvx512);
    Expect("Zen 4", Of(true, true, false, true, true, true), CpuPath::kAvx512Bf16);
    Expect("Zen 5, Sapphire Rapids", Of(true, true, true, true, true, true), CpuPath::kAvx512Bf16);
    CpuFeatures arm;
    Expect("no processor of ours", arm, CpuPath::kReference);
    arm.neon = true;
    Expect("Cortex-A72", arm, CpuPath::kNeon);
    arm.neon_dot = true;
    Expect("Neoverse N1", arm, CpuPath::kNeon);
}

// Whatever combination a hypervisor shows: no path without all that it needs, and none better is left aside.
void Combinations() {
    for (int bits = 0; bits < 64; bits++) {
        CpuFeatures f = Of(bits & 1, bits & 2, bits & 4, bits & 8, bits & 16, bits & 32);
        bool avx2 = f.avx2 && f.fma;
        EXPECT(IsSupported(CpuPath::kReference, f) && !IsSupported(CpuPath::kNeon, f), "%d", bits);
        EXPECT(IsSupported(CpuPath::kAvx2, f) == avx2, "%d", bits);
        EXPECT(IsSupported(CpuPath::kAvxVnni, f) == (avx2 && f.avx_vnni), "%d", bits);
        EXPECT(IsSupported(CpuPath::kAvx512, f) == (avx2 && f.avx512), "%d", bits);
        EXPECT(IsSupported(CpuPath::kAvx512Bf16, f) == (avx2 && f.avx512 && f.avx512_bf16), "%d", bits);
        CpuPath want = !avx2                        ? CpuPath::kReference
                       : f.avx512 && f.avx512_bf16 ? CpuPath::kAvx512Bf16
                       : f.avx512                  ? CpuPath::kAvx512
                       : f.avx_vnni                ? CpuPath::kAvxVnni
                                                   : CpuPath::kAvx2;
        EXPECT(BestCpuPath(f) == want, "%d: %s", bits, Name(BestCpuPath(f)));
    }
}

void Names() {
    CpuPath path = CpuPath::kReference;
    EXPECT(SelectCpuPath(nullptr, &path).ok() && path == BestCpuPath(), "%s", Name(path));
    EXPECT(SelectCpuPath("", &path).ok() && path == BestCpuPath(), "%s", Name(path));
    for (CpuPath candidate : {CpuPath::kReference, CpuPath::kAvx2, CpuPath::kAvxVnni, CpuPath::kAvx512, CpuPath::kAvx512Bf16, CpuPath::kNeon}) {
        Status status = SelectCpuPath(Name(candidate), &path);
        EXPECT(status.ok() == IsSupported(candidate), "%s: '%s'", Name(candidate), status.message);
        EXPECT(!status.ok() || path == candidate, "%s, expected %s", Name(path), Name(candidate));
        if (!status.ok()) {
            EXPECT_ERROR(status, "this processor lacks it; its best path is ");
            EXPECT_ERROR(status, Name(candidate));
        }
    }
    EXPECT_ERROR(SelectCpuPath("AVXVNNI", &path), "expected reference, avx2, avxvnni, avx512, avx512bf16 or neon");
}

}  // namespace

int main() {
    Known();
    Combinations();
    Names();
    EXPECT(!HasAvx512Vnni() || IsSupported(CpuPath::kAvx512), "dot products without their path");
    EXPECT(!HasNeonDotProduct() || IsSupported(CpuPath::kNeon), "dot products without their path");
    CpuFeatures features = DetectCpuFeatures();
    std::printf("best path %s; dot products: AVX-VNNI %d, AVX-512 %d, of bfloat16 %d, NEON %d\n", Name(BestCpuPath()), features.avx_vnni,
                features.avx512_vnni, features.avx512_bf16, features.neon_dot);
    return Report();
}
