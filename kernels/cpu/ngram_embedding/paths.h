#pragma once

#include <cstring>

#include "longcat/ngram_embedding.h"

namespace longcat {

// The scale behind the integers of a scaled row.
static inline float ScaleBehind(const int8_t* row, int64_t width) {
    float scale;
    std::memcpy(&scale, row + width, sizeof(scale));
    return scale;
}

void NGramIdsReference(const NGramEmbeddingArguments& arguments, int64_t* ids);
void NGramIdsAvx2(const NGramEmbeddingArguments& arguments, int64_t* ids, const ParallelFor& parallel);
void NGramIdsAvx512(const NGramEmbeddingArguments& arguments, int64_t* ids, const ParallelFor& parallel);
void NGramIdsNeon(const NGramEmbeddingArguments& arguments, int64_t* ids, const ParallelFor& parallel);

// ids [tables · tokens] are valid rows; rows [tokens · tables · table_width] is scratch.
void NGramProjectReference(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel);
void NGramProjectAvx2(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel);
void NGramProjectAvx512(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel);
void NGramProjectNeon(const NGramEmbeddingArguments& arguments, const int64_t* ids, float* rows, const ParallelFor& parallel);

}  // namespace longcat
