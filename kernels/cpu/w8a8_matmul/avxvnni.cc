#include "../simd/ints_avxvnni.h"
#include "vectorised.h"

namespace longcat {

void W8A8MatMulAvxVnni(const W8A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel) {
    if (arguments.activation_bits == 8) {
        W8A8Run<1>(arguments, workspace, parallel).Run();
    } else {
        W8A8Run<2>(arguments, workspace, parallel).Run();
    }
}

}  // namespace longcat
