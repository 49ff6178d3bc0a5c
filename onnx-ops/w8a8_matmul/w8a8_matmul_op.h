#pragma once

#include "../ort/custom_op.h"
#include "longcat/w8a8_matmul.h"

namespace longcat::ops {

// longcat::W8A8MatMul: see longcat/w8a8_matmul.h and section 4 of docs/design.md.
class W8A8MatMulOp {
  public:
    static constexpr const char* kName = "W8A8MatMul";
    static constexpr Port kInputs[] = {{"A", kFloat}, {"B", kUInt8}, {"scale", kFloat}, {"bias", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"Y", kFloat}};

    explicit W8A8MatMulOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    int64_t in_features_, out_features_;
    int activation_bits_;
};

// [ceil(out_features / 64), ceil(in_features / 4), 64, 4]: how 8-bit weights lie.
Shape Int8PanelShape(int64_t out_features, int64_t in_features);

}  // namespace longcat::ops
