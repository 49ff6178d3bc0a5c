#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void MatMulAvx512(const MatMulArguments& arguments, const ParallelFor& parallel) { MatMulVectorised(arguments, parallel); }

}  // namespace longcat
