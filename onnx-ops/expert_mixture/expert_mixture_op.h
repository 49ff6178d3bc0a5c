#pragma once

#include "../ort/custom_op.h"
#include "longcat/expert_mixture.h"

namespace longcat::ops {

// longcat::ExpertMixture: see longcat/expert_mixture.h and section 4 of docs/design.md.
class ExpertMixtureOp {
  public:
    static constexpr const char* kName = "ExpertMixture";
    static constexpr Port kInputs[] = {{"x", kFloat},  {"router", kFloat}, {"correction_bias", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"gate", kAny}, {"up", kAny},       {"down", kAny}};
    static constexpr Port kOutputs[] = {{"y", kFloat}, {"selected", kInt32, INPUT_OUTPUT_OPTIONAL}, {"inner", kFloat, INPUT_OUTPUT_OPTIONAL}};

    explicit ExpertMixtureOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    WeightLayout layout_;
    ExpertMixtureArguments attributes_;  // only what attributes hold
};

}  // namespace longcat::ops
