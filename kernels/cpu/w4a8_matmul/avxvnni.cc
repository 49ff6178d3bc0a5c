#include "../simd/bytes_avx2.h"
#include "../simd/ints_avxvnni.h"
#include "vectorised.h"

namespace longcat {

void W4A8MatMulAvxVnni(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel) {
    W4A8Run(arguments, workspace, parallel).Run();
}

}  // namespace longcat
