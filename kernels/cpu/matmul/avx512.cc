#include "../simd/avx512.h"
#include "vectorised.h"
#include "paths.h"

namespace longcat {

void MatMulAvx512(const MatMulArguments& arguments, const ParallelFor& parallel) { MatMulVectorised(arguments, parallel); }

}  // namespace longcat
