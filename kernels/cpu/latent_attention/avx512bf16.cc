#include "../simd/avx512.h"
#include "../simd/pairs_avx512.h"

#include "pair_block.h"
#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LatentAttentionAvx512Bf16(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    LatentAttentionRun<PairBlock>(arguments, workspace, parallel).Run();
}

}  // namespace longcat
