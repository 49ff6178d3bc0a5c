#include "longcat/cuda/attention_indexer.h"

#include "../../cpu/attention_indexer/paths.h"
#include "../common/launch.h"
#include "score.cuh"
#include "select.cuh"

namespace longcat::cuda {
namespace {

constexpr int kMostDim = 128;
constexpr int64_t kScoreBytes = int64_t{256} << 20;
constexpr int kTileTokens = 16;

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }
int64_t Ceil(int64_t value, int64_t by) { return (value + by - 1) / by; }
size_t Rounded(int64_t bytes) { return (static_cast<size_t>(bytes) + 255) / 256 * 256; }

Status CheckSizes(const AttentionIndexerArguments& a) {
    if (Status status = CheckIndexerSizes(a); !status.ok()) {
        return status;
    }
    if (a.cache_type != WeightType::kBFloat16) {
        return Status::Error(StatusCode::kUnsupported, "the cache is float32, expected bfloat16 on a GPU");
    }
    if (a.head_dim % 8 != 0 || a.head_dim > kMostDim) {
        return Status::Error(StatusCode::kUnsupported, "head_dim is %d, expected a multiple of 8, 8..%d, on a GPU", a.head_dim, kMostDim);
    }
    if (a.block_table_width * a.page_size > INT32_MAX) {
        return Status::Error(StatusCode::kUnsupported, "block_table has %lld columns of pages of %lld: expected fewer than 2^31 positions",
                             static_cast<long long>(a.block_table_width), static_cast<long long>(a.page_size));
    }
    return {};
}

struct Plan {
    int64_t stride = 0, chunk = 0;  // scores of a token, tokens that are scored at a time
    size_t queries = 0, scores = 0;
};

Plan PlanOf(const AttentionIndexerArguments& a) {
    Plan plan;
    plan.stride = Ceil(a.block_table_width * a.page_size, kBlockKeys) * kBlockKeys;
    const bool choose = a.block_table_width * a.page_size > a.top_k && a.top_k > a.init_tokens + a.local_tokens;
    plan.chunk = choose ? LargerOf(1, SmallerOf(SmallerOf(a.tokens, kMostBlocksYZ), kScoreBytes / (plan.stride * 4) / kTileTokens * kTileTokens)) : a.tokens;
    plan.queries = Rounded(a.tokens * a.num_heads * a.head_dim * 2);
    plan.scores = choose ? Rounded(plan.chunk * plan.stride * 4) : 0;
    return plan;
}

}  // namespace

size_t AttentionIndexerWorkspace(const Device&, const AttentionIndexerArguments& a) {
    if (!CheckSizes(a).ok()) {
        return 0;  // AttentionIndexer refuses them before it touches the workspace
    }
    const Plan plan = PlanOf(a);
    return plan.queries + plan.scores;
}

Status AttentionIndexer(const Execution& execution, const AttentionIndexerArguments& a, void* workspace, int32_t* fault) {
    if (Status status = CheckSizes(a); !status.ok() || a.tokens == 0) {
        return status;
    }
    if (a.query == nullptr || a.key == nullptr || a.weights == nullptr || a.key_norm == nullptr || (a.rope_dim > 0 && a.inv_freq == nullptr) || a.selected == nullptr ||
        a.position_ids == nullptr || a.query_start == nullptr || a.block_table == nullptr) {
        return Status::Error(StatusCode::kInvalidArgument, "query, key, weights, key_norm, inv_freq, position_ids, query_start, block_table and selected must not be null");
    }
    if (a.cache == nullptr || !Aligned(a.cache)) {
        return Status::Error(StatusCode::kInvalidArgument, "the cache lies at %p, expected an address that is a multiple of 16", a.cache);
    }
    const Plan plan = PlanOf(a);
    IndexerParameters p;
    p.a = a, p.stride = plan.stride, p.fault = fault;
    p.queries = static_cast<uint16_t*>(workspace), p.scores = reinterpret_cast<float*>(static_cast<uint8_t*>(workspace) + plan.queries);
    LaunchShape prepare;
    prepare.x = a.tokens, prepare.threads = kIndexPrepareThreads;
    prepare.shared = static_cast<size_t>(a.rope_dim + kIndexPrepareThreads / kWarp) * sizeof(float);
    Status status = Start("AttentionIndexer (prepare)", IndexerPrepare, prepare, p, execution);
    // Tokens of one sequence share its keys; in decoding each sequence has one.
    p.tile_tokens = a.tokens >= 4 * a.sequences ? kTileTokens : 1;
    for (p.first = 0; status.ok() && p.first < a.tokens; p.first += plan.chunk) {
        p.count = SmallerOf(plan.chunk, a.tokens - p.first);
        LaunchShape shape;
        if (plan.scores > 0) {
            shape.x = plan.stride / kBlockKeys, shape.y = Ceil(p.count, p.tile_tokens), shape.threads = kScoreThreads;
            shape.shared = a.head_dim <= 64 ? kScoreShared<64> : kScoreShared<128>;
            status = Start("AttentionIndexer (score)", a.head_dim <= 64 ? IndexerScore<64> : IndexerScore<128>, shape, p, execution);
        }
        shape.x = p.count, shape.y = 1, shape.threads = kSelectThreads, shape.shared = kSelectShared;
        status = status.ok() ? Start("AttentionIndexer (select)", IndexerSelect, shape, p, execution) : status;
    }
    return status;
}

}  // namespace longcat::cuda
