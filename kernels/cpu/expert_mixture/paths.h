#pragma once

#include "routing.h"

namespace longcat {

// The specification's choices: logits, selection, lists of pairs.
void ReferenceRouting(const ExpertMixtureArguments& arguments, const Routing& routing, const ParallelFor& parallel);

// activation: scratch [tokens · top_k, intermediate].
void ExpertMixtureReference(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation,
                            const ParallelFor& parallel);
void ExpertMixtureAvx2(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, const ParallelFor& parallel);
void ExpertMixtureAvx512(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, const ParallelFor& parallel);
void ExpertMixtureNeon(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, const ParallelFor& parallel);

// W4A8 experts. workspace: of the reference [tokens, the longer of hidden and intermediate] floats, of the others as in w4a8_plan.h.
void W4A8MixtureReference(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, void* workspace,
                          const ParallelFor& parallel);
void W4A8MixtureAvx2(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, void* workspace,
                     const ParallelFor& parallel);
void W4A8MixtureAvxVnni(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, void* workspace,
                        const ParallelFor& parallel);
void W4A8MixtureVnni(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, void* workspace,
                     const ParallelFor& parallel);
void W4A8MixtureNeonDot(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, void* workspace,
                        const ParallelFor& parallel);

}  // namespace longcat
