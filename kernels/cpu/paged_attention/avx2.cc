#include "../simd/avx2.h"

#include "float_blocks.h"
#include "paths.h"
#include "sparse.h"

namespace longcat {

void PagedAttentionAvx2(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    RunPagedAttention<FloatBlocks>(arguments, workspace, parallel);
}

}  // namespace longcat
