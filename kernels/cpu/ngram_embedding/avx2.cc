#include "../simd/avx2.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void NGramProjectAvx2(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel) {
    NGramProjectVectorised(arguments, ids, rows, parallel);
}

}  // namespace longcat
