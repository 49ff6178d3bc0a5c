#include "../simd/neon.h"

#include "hash.h"
#include "paths.h"
#include "vectorised.h"

namespace longcat {

void NGramIdsNeon(const NGramEmbeddingArguments& arguments, int64_t* ids, const ParallelFor& parallel) {
    NGramHash(arguments, ids, parallel);
}

void NGramProjectNeon(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel) {
    NGramProjectVectorised(arguments, ids, rows, parallel);
}

}  // namespace longcat
