#include "../simd/avx2.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void MatMulAvx2(const MatMulArguments& arguments, const ParallelFor& parallel) { MatMulVectorised(arguments, parallel); }

}  // namespace longcat
