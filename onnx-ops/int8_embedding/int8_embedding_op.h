#pragma once

#include "../ort/custom_op.h"
#include "longcat/int8_embedding.h"

namespace longcat::ops {

// longcat::Int8Embedding: see longcat/int8_embedding.h and section 4 of docs/design.md.
class Int8EmbeddingOp {
  public:
    static constexpr const char* kName = "Int8Embedding";
    static constexpr Port kInputs[] = {{"ids", kInt64}, {"B", kUInt8}, {"scale", kFloat}};
    static constexpr Port kOutputs[] = {{"Y", kFloat}};

    explicit Int8EmbeddingOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    int64_t in_features_, out_features_;
};

}  // namespace longcat::ops
