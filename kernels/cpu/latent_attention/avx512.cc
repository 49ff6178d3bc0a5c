#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LatentAttentionAvx512(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    AttendInNumbers(arguments, workspace, parallel);
}

}  // namespace longcat
