#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void PagedAttentionNeon(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    PagedAttentionRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
