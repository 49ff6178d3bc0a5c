#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LatentAttentionNeon(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    LatentAttentionRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
