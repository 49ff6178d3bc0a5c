#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void PagedAttentionAvx512(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    PagedAttentionRun(arguments, workspace, parallel).Run();
}

}  // namespace longcat
