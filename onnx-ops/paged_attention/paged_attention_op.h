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
    int64_t attention_;                   // which one it is to sparse rows; -1: none
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
                                       {"cache", Cache},
                                       {"sparse_rows", kUInt8, INPUT_OUTPUT_OPTIONAL},
                                       {"sparse_attention", kInt32, INPUT_OUTPUT_OPTIONAL},
                                       {"sparse_anchors", kUInt8, INPUT_OUTPUT_OPTIONAL},
                                       {"block_means", kFloat, INPUT_OUTPUT_OPTIONAL},
                                       {"blocks", kInt32, INPUT_OUTPUT_OPTIONAL}};
    static constexpr Port kOutputs[] = {{"output", kFloat},
                                        {"cache_out", Cache},
                                        {"block_means_out", kFloat, INPUT_OUTPUT_OPTIONAL},
                                        {"blocks_out", kInt32, INPUT_OUTPUT_OPTIONAL}};
    using PagedAttentionOp::PagedAttentionOp;
};

}  // namespace longcat::ops
