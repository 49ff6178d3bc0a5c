#pragma once

#include "../ort/custom_op.h"

namespace longcat::ops {

// longcat::MatMul: see longcat/matmul.h and section 4 of docs/design.md.
class MatMulOp {
  public:
    static constexpr const char* kName = "MatMul";
    static constexpr Port kInputs[] = {
        {"A", kFloat}, {"B", kAny}, {"bias", kFloat, INPUT_OUTPUT_OPTIONAL}, {"residual", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"Y", kFloat}};

    explicit MatMulOp(const Attributes&) : path_(SelectPath()) {}
    void Compute(Context& context) const;

  private:
    CpuPath path_;
};

}  // namespace longcat::ops
