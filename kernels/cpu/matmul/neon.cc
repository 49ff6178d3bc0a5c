#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void MatMulNeon(const MatMulArguments& arguments, const ParallelFor& parallel) { MatMulVectorised(arguments, parallel); }

}  // namespace longcat
