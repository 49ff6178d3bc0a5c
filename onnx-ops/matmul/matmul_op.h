#pragma once

#include "../ort/custom_op.h"
#include "longcat/matmul.h"

namespace longcat::ops {

// longcat::MatMul: see longcat/matmul.h and section 4 of docs/design.md.
class MatMulOp {
  public:
    static constexpr const char* kName = "MatMul";
    static constexpr Port kInputs[] = {
        {"A", kFloat}, {"B", kAny}, {"bias", kFloat, INPUT_OUTPUT_OPTIONAL}, {"residual", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"Y", kFloat}};

    explicit MatMulOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    void FitPanels(const Input& a, const Input& b, MatMulArguments& p) const;

    CpuPath path_;
    WeightLayout layout_;
    int64_t out_features_ = 0;  // with panels, whose number leaves n open
};

}  // namespace longcat::ops
