#pragma once

#include "../ort/custom_op.h"
#include "longcat/lora_matmul.h"

namespace longcat::ops {

// longcat::LoraMatMul: see longcat/lora_matmul.h and section 4 of docs/design.md.
class LoraMatMulOp {
  public:
    static constexpr const char* kName = "LoraMatMul";
    static constexpr Port kInputs[] = {{"x", kFloat},
                                       {"base", kFloat},
                                       {"A", kFloat},
                                       {"B", kFloat},
                                       {"row_adapter", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"adapter_start", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"gain", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"bias", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"residual", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"Y", kFloat}};

    explicit LoraMatMulOp(const Attributes&) : path_(SelectPath()) {}
    void Compute(Context& context) const;

  private:
    CpuPath path_;
};

}  // namespace longcat::ops
