#pragma once

#include "../ort/custom_op.h"
#include "../quantized_rows/quantized_rows.h"

namespace longcat::ops {

// longcat::RmsNormQuantize: see longcat/quantize_rows.h and section 4 of docs/design.md.
class RmsNormQuantizeOp {
  public:
    static constexpr const char* kName = "RmsNormQuantize";
    static constexpr Port kInputs[] = {{"x", kFloat}, {"weight", kFloat}, {"skip", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"y", kInt8},
                                        {"y_scale", kFloat},
                                        {"y_sums", kInt32, INPUT_OUTPUT_OPTIONAL},
                                        {"normed", kFloat, INPUT_OUTPUT_OPTIONAL},
                                        {"sum", kFloat, INPUT_OUTPUT_OPTIONAL}};

    explicit RmsNormQuantizeOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    RowQuantizer quantizer_;
    float epsilon_;
    std::optional<Input> weight_;  // where it never changes
};

}  // namespace longcat::ops
