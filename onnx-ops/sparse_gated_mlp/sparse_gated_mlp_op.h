#pragma once

#include "../ort/custom_op.h"
#include "longcat/sparse_gated_mlp.h"

namespace longcat::ops {

// longcat::SparseGatedMlp: see longcat/sparse_gated_mlp.h and section 4 of docs/design.md.
class SparseGatedMlpOp {
  public:
    static constexpr const char* kName = "SparseGatedMlp";
    static constexpr Port kInputs[] = {{"x", kFloat},
                                       {"activation", kFloat},
                                       {"up", kAny},
                                       {"down", kAny},
                                       {"up_channels", kAny},
                                       {"down_channels", kAny},
                                       {"up_bias", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"down_bias", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"residual", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"sparse_rows", kUInt8, INPUT_OUTPUT_OPTIONAL},
                                       {"tau", kFloat, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"y", kFloat}};

    explicit SparseGatedMlpOp(const Attributes& attributes)
        : path_(SelectPath()), hidden_(attributes.Positive("hidden_size")), inner_(attributes.Positive("intermediate_size")) {}
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    int64_t hidden_, inner_;
};

}  // namespace longcat::ops
