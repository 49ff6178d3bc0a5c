#pragma once

#include "../ort/custom_op.h"
#include "longcat/expert_mixture.h"

namespace longcat::ops {

// longcat::ExpertMixture: see longcat/expert_mixture.h and section 4 of docs/design.md.
class ExpertMixtureOp {
  public:
    static constexpr const char* kName = "ExpertMixture";
    static constexpr Port kInputs[] = {{"x", kFloat},
                                       {"router", kFloat},
                                       {"correction_bias", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"gate", kAny},
                                       {"up", kAny},
                                       {"down", kAny},
                                       {"gate_scale", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"up_scale", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"down_scale", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"gate_A", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"gate_B", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"up_A", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"up_B", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"down_A", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"down_B", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"row_adapter", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"gate_start", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"up_start", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"down_start", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"gate_gain", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"up_gain", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"down_gain", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"sparse_rows", kUInt8, INPUT_OUTPUT_OPTIONAL},
                                       {"sparse_experts", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"sparse_expert_betas", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"y", kFloat},
                                        {"selected", kInt32, INPUT_OUTPUT_OPTIONAL},
                                        {"inner", kFloat, INPUT_OUTPUT_OPTIONAL},
                                        {"shares", kFloat, INPUT_OUTPUT_OPTIONAL}};

    explicit ExpertMixtureOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    static constexpr int kRows = 0, kPanels = 1, kW4A8 = 2;  // attribute layout

    void ReadW4A8Attributes(const Attributes& attributes);
    void ReadFloatExperts(const Context& context, ExpertMixtureArguments& p) const;
    void ReadW4A8Experts(const Context& context, const ExpertMixtureArguments& p, W4A8Experts& experts) const;

    // Whether the inputs behind the weights name adapters.
    bool ReadAdapters(const Context& context, const ExpertMixtureArguments& p, ExpertAdapters& adapters) const;

    // Whether there are inputs that say what marked rows skip.
    bool ReadSkipping(const Context& context, const ExpertMixtureArguments& p, ExpertSkipping& skipping) const;

    CpuPath path_;
    int layout_;
    int64_t sparse_layer_;               // the node's row of sparse_expert_betas
    ExpertMixtureArguments attributes_;  // only what attributes hold
    W4A8Experts w4a8_;                   // the same
};

}  // namespace longcat::ops
