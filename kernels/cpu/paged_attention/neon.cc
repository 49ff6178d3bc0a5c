#include "../simd/neon.h"

#include "paths.h"
#include "sparse.h"

namespace longcat {

void PagedAttentionNeon(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    RunPagedAttention(arguments, workspace, parallel);
}

}  // namespace longcat
