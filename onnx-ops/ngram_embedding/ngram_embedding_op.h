#pragma once

#include <atomic>
#include <vector>

#include "../ort/custom_op.h"
#include "longcat/ngram_embedding.h"

namespace longcat::ops {

// longcat::NGramEmbedding: see longcat/ngram_embedding.h and section 4 of docs/design.md.
class NGramEmbeddingOp {
  public:
    static constexpr const char* kName = "NGramEmbedding";
    static constexpr Port kInputs[] = {{"input_ids", kInt64},
                                       {"query_start", kInt32},
                                       {"ngram_context", kInt64},
                                       {"word", kAny},
                                       {"tables_and_projections", kAny, INPUT_OUTPUT_VARIADIC}};
    static constexpr Port kOutputs[] = {{"embedding", kFloat}};

    explicit NGramEmbeddingOp(const Attributes& attributes);
    void Compute(Context& context) const;

  private:
    CpuPath path_;
    int64_t hash_vocab_size_, eos_token_id_;
    int neighbor_num_, split_num_;
    std::vector<int64_t> table_rows_;
    WeightLayout layout_;
    bool int8_tables_;
    mutable std::atomic<const void*> advised_{nullptr};  // the first table that the system was told about

    Weights Projection(const Input& input, int64_t hidden, int64_t width) const;
    void Advise(const NGramEmbeddingArguments& p) const;
};

}  // namespace longcat::ops
