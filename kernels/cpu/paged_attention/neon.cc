#include "../simd/neon.h"

#include "float_blocks.h"
#include "paths.h"
#include "sparse.h"

namespace longcat {

void PagedAttentionNeon(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    RunPagedAttention<FloatBlocks>(arguments, workspace, parallel);
}

}  // namespace longcat
