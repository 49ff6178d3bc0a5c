#include "../simd/bytes_neon.h"
#include "../simd/ints_neon.h"
#include "vectorised.h"

namespace longcat {

void W4A8MatMulNeonDot(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel) {
    W4A8Run(arguments, workspace, parallel).Run();
}

}  // namespace longcat
