#include "../simd/bytes_avx512.h"

#include "vectorised.h"

namespace longcat {

void QuantizeRowsAvx512(const QuantizeRowsArguments& arguments, const ParallelFor& parallel) { QuantizeRowsVectorised(arguments, parallel); }

void RmsNormQuantizeAvx512(const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    RmsNormQuantizeVectorised(arguments, workspace, parallel);
}

void SiluMulQuantizeAvx512(const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    SiluMulQuantizeVectorised(arguments, workspace, parallel);
}

}  // namespace longcat
