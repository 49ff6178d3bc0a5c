#pragma once

#include "routing.h"

namespace longcat {

// activation: scratch [tokens · top_k, intermediate].
void ExpertMixtureReference(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation,
                            const ParallelFor& parallel);
void ExpertMixtureAvx2(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, const ParallelFor& parallel);
void ExpertMixtureAvx512(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, const ParallelFor& parallel);

}  // namespace longcat
