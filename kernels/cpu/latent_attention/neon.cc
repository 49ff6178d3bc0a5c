#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LatentAttentionNeon(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    AttendInNumbers(arguments, workspace, parallel);
}

}  // namespace longcat
