#include "../simd/avx512.h"
#include "../simd/pairs_avx512.h"

#include "pair_blocks.h"
#include "paths.h"
#include "sparse.h"

namespace longcat {

void PagedAttentionAvx512Bf16(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    RunPagedAttention<PairBlocks>(arguments, workspace, parallel);
}

}  // namespace longcat
