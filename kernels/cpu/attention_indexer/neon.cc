#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void AttentionIndexerNeon(const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel) {
    AttentionIndexerRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
