#include "../simd/bytes_avx512.h"
#include "../simd/ints_vnni.h"
#include "vectorised.h"

namespace longcat {

void W4A8MatMulVnni(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel) {
    W4A8Run(arguments, workspace, parallel).Run();
}

}  // namespace longcat
