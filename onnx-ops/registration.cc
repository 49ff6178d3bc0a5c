// The two exported functions.
#include "attention_indexer/attention_indexer_op.h"
#include "expert_mixture/expert_mixture_op.h"
#include "int8_embedding/int8_embedding_op.h"
#include "latent_attention/latent_attention_op.h"
#include "lora_matmul/lora_matmul_op.h"
#include "matmul/matmul_op.h"
#include "ngram_embedding/ngram_embedding_op.h"
#include "paged_attention/paged_attention_op.h"
#include "rms_norm_quantize/rms_norm_quantize_op.h"
#include "silu_mul_quantize/silu_mul_quantize_op.h"
#include "sparse_gated_mlp/sparse_gated_mlp_op.h"
#include "w4a8_matmul/w4a8_matmul_op.h"
#include "w8a8_matmul/w8a8_matmul_op.h"

#if defined(_WIN32)
#define LONGCAT_EXPORT extern "C" __declspec(dllexport)
#else
#define LONGCAT_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace longcat::ops {
namespace {

// One domain for the life of the library: sessions keep pointers to it.
OrtCustomOpDomain* Domain() {
    static OrtCustomOpDomain* domain = [] {
        OrtCustomOpDomain* created;
        Check(api->CreateCustomOpDomain("longcat", &created));
        OrtCustomOp* const operators[] = {
            Describe<MatMulOp>(),
            Describe<LoraMatMulOp>(),
            Describe<NGramEmbeddingOp>(),
            Describe<AttentionIndexerOpOf<kFloat>>(),
            Describe<AttentionIndexerOpOf<kBFloat16>>(),
            Describe<LatentAttentionOpOf<kFloat>>(),
            Describe<LatentAttentionOpOf<kBFloat16>>(),
            Describe<LatentAttentionOpOf<kUInt8>>(),
            Describe<PagedAttentionOpOf<kFloat>>(),
            Describe<PagedAttentionOpOf<kBFloat16>>(),
            Describe<PagedAttentionOpOf<kUInt8>>(),
            Describe<ExpertMixtureOp>(),
            Describe<W4A8MatMulOp>(),
            Describe<W8A8MatMulOp>(),
            Describe<Int8EmbeddingOp>(),
            Describe<RmsNormQuantizeOp>(),
            Describe<SiluMulQuantizeOp>(),
            Describe<SparseGatedMlpOp>(),
        };
        for (OrtCustomOp* op : operators) {
            Check(api->CustomOpDomain_Add(created, op));
        }
        return created;
    }();
    return domain;
}

}  // namespace
}  // namespace longcat::ops

// Called by SessionOptions.RegisterCustomOpLibraryV2.
LONGCAT_EXPORT OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
    using namespace longcat::ops;
    const OrtApi* found = base->GetApi(kApiVersion);
    if (found == nullptr) {
        return nullptr;  // without an API there is no way to make a status; a runtime older than 1.17 then reports the unknown domain
    }
    api = found;
    return Guard("RegisterCustomOps", base->GetVersionString(), [&] {
        SelectPath();
        Check(api->AddCustomOpDomain(options, Domain()));
    });
}

// The library's version, for the error message of a caller that finds an older one.
LONGCAT_EXPORT const char* longcat_version() { return LONGCAT_VERSION; }
