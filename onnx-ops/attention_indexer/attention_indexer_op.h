#pragma once

#include "../ort/custom_op.h"
#include "longcat/attention_indexer.h"

namespace longcat::ops {

// longcat::AttentionIndexer: see longcat/attention_indexer.h and section 4 of docs/design.md.
// The type of the cache decides that of cache_out, and ONNX Runtime infers types from registrations: one class per cache type.
class AttentionIndexerOp {
  public:
    static constexpr const char* kName = "AttentionIndexer";

    explicit AttentionIndexerOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    AttentionIndexerArguments attributes_;  // only what attributes hold
};

template <ONNXTensorElementDataType Cache>
class AttentionIndexerOpOf : public AttentionIndexerOp {
  public:
    static constexpr Port kInputs[] = {
        {"query", kFloat},        {"key", kFloat},         {"weights", kFloat},        {"key_norm", kFloat},    {"inv_freq", kFloat},
        {"position_ids", kInt64}, {"query_start", kInt32}, {"context_length", kInt32}, {"block_table", kInt32}, {"cache", Cache}};
    static constexpr Port kOutputs[] = {{"selected", kInt32}, {"cache_out", Cache}};
    using AttentionIndexerOp::AttentionIndexerOp;
};

}  // namespace longcat::ops
