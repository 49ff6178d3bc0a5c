#include "../simd/avx2.h"
#include "vectorised.h"
#include "paths.h"

namespace longcat {

void MatMulAvx2(const MatMulArguments& arguments, const ParallelFor& parallel) { MatMulVectorised(arguments, parallel); }

}  // namespace longcat
