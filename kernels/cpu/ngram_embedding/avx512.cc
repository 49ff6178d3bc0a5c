#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void NGramProjectAvx512(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel) {
    NGramProjectVectorised(arguments, ids, rows, parallel);
}

}  // namespace longcat
