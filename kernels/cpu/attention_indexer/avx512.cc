#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void AttentionIndexerAvx512(const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel) {
    AttentionIndexerRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
