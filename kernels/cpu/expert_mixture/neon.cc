#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void ExpertMixtureNeon(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, const ParallelFor& parallel) {
    ExpertMixtureVectorised(arguments, routing, activation, parallel);
}

}  // namespace longcat
