#include "../simd/bytes_neon.h"

#include "vectorised.h"

namespace longcat {

void QuantizeRowsNeon(const QuantizeRowsArguments& arguments, const ParallelFor& parallel) { QuantizeRowsVectorised(arguments, parallel); }

void RmsNormQuantizeNeon(const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    RmsNormQuantizeVectorised(arguments, workspace, parallel);
}

void SiluMulQuantizeNeon(const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel) {
    SiluMulQuantizeVectorised(arguments, workspace, parallel);
}

}  // namespace longcat
