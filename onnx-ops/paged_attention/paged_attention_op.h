#pragma once

#include "../ort/custom_op.h"
#include "longcat/paged_attention.h"

namespace longcat::ops {

// longcat::PagedAttention: see longcat/paged_attention.h and section 4 of docs/design.md.
// The type of the cache decides that of cache_out, and ONNX Runtime infers types from registrations: one class per cache type.
class PagedAttentionOp {
  public:
    static constexpr const char* kName = "PagedAttention";

    explicit PagedAttentionOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    PagedAttentionArguments attributes_;  // only what attributes hold
};

template <ONNXTensorElementDataType Cache>
class PagedAttentionOpOf : public PagedAttentionOp {
  public:
    static constexpr Port kInputs[] = {{"query", kFloat},
                                       {"key", kFloat},
                                       {"value", kFloat},
                                       {"query_norm", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"key_norm", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"inv_freq", kFloat},
                                       {"position_ids", kInt64},
                                       {"query_start", kInt32},
                                       {"context_length", kInt32},
                                       {"block_table", kInt32},
                                       {"cache", Cache}};
    static constexpr Port kOutputs[] = {{"output", kFloat}, {"cache_out", Cache}};
    using PagedAttentionOp::PagedAttentionOp;
};

}  // namespace longcat::ops
