#include "../simd/avx2.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void AttentionIndexerAvx2(const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel) {
    AttentionIndexerRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
