// Int8Embedding: rows of a table that lies as W8A8MatMul's weights (longcat/w8a8_matmul.h), so that a tied table is stored once.
//
//   y[t, k] = scale[ids[t]] · q[ids[t], k]
//
// A row lies in pieces of 4 bytes, 256 bytes apart: it touches k / 4 lines of its panel, few beside what the output head reads of all panels.
#pragma once

#include <cstdint>

#include "longcat/parallel.h"
#include "longcat/status.h"

namespace longcat {

struct Int8EmbeddingArguments {
    int64_t tokens = 0, vocabulary = 0, hidden = 0;
    const int64_t* ids = nullptr;      // [tokens]
    const uint8_t* weights = nullptr;  // packed, W8A8PackedBytes(vocabulary, hidden)
    const float* scale = nullptr;      // [vocabulary]
    float* y = nullptr;                // [tokens, hidden]
};

// kInvalidArgument: sizes, missing pointers. kOutOfRange: an id outside 0..vocabulary-1; nothing is written then.
Status Int8Embedding(const Int8EmbeddingArguments& arguments, const ParallelFor& parallel);

}  // namespace longcat
