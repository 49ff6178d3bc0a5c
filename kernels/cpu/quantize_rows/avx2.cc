#include "../simd/bytes_avx2.h"

#include "vectorised.h"

namespace longcat {

void QuantizeRowsAvx2(const QuantizeRowsArguments& arguments, const ParallelFor& parallel) { QuantizeRowsVectorised(arguments, parallel); }

void RmsNormQuantizeAvx2(const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    RmsNormQuantizeVectorised(arguments, workspace, parallel);
}

void SiluMulQuantizeAvx2(const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    SiluMulQuantizeVectorised(arguments, workspace, parallel);
}

}  // namespace longcat
