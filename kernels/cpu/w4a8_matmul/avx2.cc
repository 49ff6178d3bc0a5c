#include "../simd/bytes_avx2.h"
#include "../simd/ints_avx2.h"
#include "vectorised.h"

namespace longcat {

void W4A8MatMulAvx2(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel) {
    W4A8Run(arguments, workspace, parallel).Run();
}

}  // namespace longcat
