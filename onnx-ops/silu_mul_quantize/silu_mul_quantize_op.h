#pragma once

#include "../ort/custom_op.h"
#include "../quantized_rows/quantized_rows.h"

namespace longcat::ops {

// longcat::SiluMulQuantize: see longcat/quantize_rows.h and section 4 of docs/design.md.
class SiluMulQuantizeOp {
  public:
    static constexpr const char* kName = "SiluMulQuantize";
    static constexpr Port kInputs[] = {{"gate", kFloat}, {"up", kFloat}};
    static constexpr Port kOutputs[] = {{"y", kInt8}, {"y_scale", kFloat}, {"y_sums", kInt32, INPUT_OUTPUT_OPTIONAL}, {"value", kFloat, INPUT_OUTPUT_OPTIONAL}};

    explicit SiluMulQuantizeOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    RowQuantizer quantizer_;
};

}  // namespace longcat::ops
