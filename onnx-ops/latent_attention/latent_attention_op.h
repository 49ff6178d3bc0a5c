#pragma once

#include "../ort/custom_op.h"
#include "longcat/latent_attention.h"

namespace longcat::ops {

// longcat::LatentAttention: see longcat/latent_attention.h and section 4 of docs/design.md.
// The type of the cache decides that of cache_out, and ONNX Runtime infers types from registrations: one class per cache type.
class LatentAttentionOp {
  public:
    static constexpr const char* kName = "LatentAttention";

    explicit LatentAttentionOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    LatentAttentionArguments attributes_;  // only what attributes hold
    int64_t attention_;                   // which one it is to sparse rows; -1: none
};

template <ONNXTensorElementDataType Cache>
class LatentAttentionOpOf : public LatentAttentionOp {
  public:
    static constexpr Port kInputs[] = {
        {"query", kFloat},        {"latent", kFloat},      {"latent_norm", kFloat},    {"kv_b", kAny},          {"inv_freq", kFloat},
        {"position_ids", kInt64}, {"query_start", kInt32}, {"context_length", kInt32}, {"block_table", kInt32}, {"cache", Cache},
        {"kv_b_adapted", kFloat, INPUT_OUTPUT_OPTIONAL}, {"row_adapter", kInt32, INPUT_OUTPUT_OPTIONAL},
        {"selected", kInt32, INPUT_OUTPUT_OPTIONAL},
        {"sparse_rows", kUInt8, INPUT_OUTPUT_OPTIONAL},    {"sparse_attention", kInt32, INPUT_OUTPUT_OPTIONAL},
        {"sparse_anchors", kUInt8, INPUT_OUTPUT_OPTIONAL}, {"block_means", kFloat, INPUT_OUTPUT_OPTIONAL},
        {"blocks", kInt32, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"output", kFloat},
                                        {"cache_out", Cache},
                                        {"block_means_out", kFloat, INPUT_OUTPUT_OPTIONAL},
                                        {"blocks_out", kInt32, INPUT_OUTPUT_OPTIONAL}};
    using LatentAttentionOp::LatentAttentionOp;
};

}  // namespace longcat::ops
