#include "../simd/avx512.h"
#include "vectorised.h"
#include "paths.h"

namespace longcat {

void NGramProjectAvx512(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel) {
    NGramProjectVectorised(arguments, ids, rows, parallel);
}

}  // namespace longcat
