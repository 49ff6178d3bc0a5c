#include "../simd/avx2.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void PagedAttentionAvx2(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    PagedAttentionRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
