#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LatentAttentionAvx512(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    LatentAttentionRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
