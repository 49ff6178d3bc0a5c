#pragma once

#include "../ort/custom_op.h"
#include "longcat/w4a8_matmul.h"

namespace longcat::ops {

// longcat::W4A8MatMul: see longcat/w4a8_matmul.h and section 4 of docs/design.md.
class W4A8MatMulOp {
  public:
    static constexpr const char* kName = "W4A8MatMul";
    static constexpr Port kInputs[] = {{"A", kAny},
                                       {"a_scale", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"a_sums", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"B", kUInt8},
                                       {"scale", kFloat},
                                       {"bias", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"residual", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"Y", kFloat}};

    explicit W4A8MatMulOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    void ReadActivations(const Context& context, const Input& a, W4A8MatMulArguments& p) const;
    const uint8_t* Panels(const Input& b) const;
    const float* PerOutput(const Input& scale_or_bias) const;

    CpuPath path_;
    W4A8Layout layout_;
    float activation_scale_;
    // Inputs that never change are checked once.
    const uint8_t* panels_ = nullptr;
    const float *scale_ = nullptr, *bias_ = nullptr;
};

}  // namespace longcat::ops
