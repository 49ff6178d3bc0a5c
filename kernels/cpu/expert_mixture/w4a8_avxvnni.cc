#include "../simd/bytes_avx2.h"
#include "../simd/ints_avxvnni.h"
#include "paths.h"
#include "w4a8_vectorised.h"

namespace longcat {

void W4A8MixtureAvxVnni(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, void* workspace,
                        const ParallelFor& parallel) {
    W4A8Mixture(arguments, routing, activation, workspace, parallel).Run();
}

}  // namespace longcat
