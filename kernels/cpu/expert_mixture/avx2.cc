#include "../simd/avx2.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void ExpertMixtureAvx2(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, const ParallelFor& parallel) {
    ExpertMixtureVectorised(arguments, routing, activation, parallel);
}

}  // namespace longcat
