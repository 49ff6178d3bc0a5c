#include "longcat/cuda/latent_attention.h"

#include "../common/launch.h"
#include "attend.cuh"
#include "head_product.cuh"

namespace longcat::cuda {
namespace {

constexpr int64_t kMost = INT32_MAX;
constexpr int kMostRank = 512, kMostHeads = 32'768;

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }
int64_t Ceil(int64_t value, int64_t by) { return (value + by - 1) / by; }
size_t Rounded(int64_t bytes) { return (static_cast<size_t>(bytes) + 255) / 256 * 256; }

Status CheckSizes(const LatentAttentionArguments& a) {
    using L = long long;
    auto wrong = [](int64_t value) { return value < 0 || value > kMost; };
    if (wrong(a.tokens) || wrong(a.sequences) || wrong(a.pages) || a.page_size < 1 || wrong(a.page_size) || wrong(a.block_table_width)) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "%lld tokens, %lld sequences, %lld pages of %lld, block_table of %lld columns: expected 0..2^31-1, pages of 1 or more", L{a.tokens},
                             L{a.sequences}, L{a.pages}, L{a.page_size}, L{a.block_table_width});
    }
    if (a.num_heads < 1 || a.num_heads > kMostHeads) {
        return Status::Error(StatusCode::kInvalidArgument, "num_heads is %d, expected 1..%d", a.num_heads, kMostHeads);
    }
    auto odd = [](int value, int most) { return value < 8 || value > most || value % 8 != 0; };
    if (odd(a.nope, 1024) || odd(a.v, 1024) || odd(a.rank, kMostRank) || odd(a.rope, kRopeWidth)) {
        return Status::Error(StatusCode::kUnsupported,
                             "qk_nope_head_dim %d, v_head_dim %d, kv_lora_rank %d, qk_rope_head_dim %d: expected multiples of 8, at most 1024, 1024, %d and %d",
                             a.nope, a.v, a.rank, a.rope, kMostRank, kRopeWidth);
    }
    const StreamingPattern& s = a.streaming;
    if (s.block_size < 0 || (s.block_size > 0 && (s.sink_blocks < 0 || s.local_blocks < 1))) {
        return Status::Error(StatusCode::kInvalidArgument, "block_size %d, sink_blocks %d, local_blocks %d: expected 1 or more, 0 or more, 1 or more", s.block_size,
                             s.sink_blocks, s.local_blocks);
    }
    if (a.cache_type != CacheType::kBFloat16 || a.kv_b.type != WeightType::kBFloat16 || a.kv_b.layout != WeightLayout::kRows) {
        return Status::Error(StatusCode::kUnsupported, "the cache is %s and kv_b %s%s, expected both bfloat16 on a GPU, kv_b in rows",
                             a.cache_type == CacheType::kFloat32 ? "float32" : a.cache_type == CacheType::kInt8 ? "int8" : "bfloat16",
                             a.kv_b.type == WeightType::kFloat32 ? "float32" : "bfloat16", a.kv_b.layout == WeightLayout::kRows ? "" : " in panels");
    }
    if (a.adapters > 0) {
        return Status::Error(StatusCode::kUnsupported, "%lld adapters of kv_b: not on a GPU", L{a.adapters});
    }
    if (a.selected != nullptr && (a.selected_width < 1 || a.selected_width > kMost || s.block_size != 0)) {
        return Status::Error(StatusCode::kInvalidArgument, "selected has %lld columns, block_size is %d: expected 1 or more columns, and no streaming pattern beside them",
                             L{a.selected_width}, s.block_size);
    }
    if (a.sparse.means != nullptr) {
        return Status::Error(StatusCode::kUnsupported, "block_means of sparse rows: not on a GPU");
    }
    return {};
}

struct Plan {
    bool wide = false, tall = true;  // latents above 128; tiles of 64 rows
    int rows = 64;
    int64_t tiles = 0, splits = 1;
    size_t queries = 0, means = 0, partial = 0;  // bytes of scratch
};

Plan PlanOf(const Device& device, const LatentAttentionArguments& a) {
    Plan plan;
    plan.wide = a.rank > 128;
    // Few rows a sequence need no more; blocks of small shared memory can hold no more.
    plan.tall = (a.selected != nullptr ? a.num_heads > 16 : a.tokens * a.num_heads > 16 * LargerOf(a.sequences, 1)) &&
                device.shared_bytes >= (plan.wide ? LatentShared<512, 4>::kAll : LatentShared<128, 4>::kAll);
    plan.rows = plan.tall ? 64 : 16;
    plan.tiles = a.selected != nullptr ? a.tokens * Ceil(a.num_heads, plan.rows) : TilesOf(a.tokens, a.sequences, a.num_heads, plan.rows);
    int64_t context = a.block_table_width * a.page_size;
    if (a.selected != nullptr) {
        context = SmallerOf(context, a.selected_width);
    }
    if (a.streaming.block_size > 0) {
        context = SmallerOf(context, (int64_t{a.streaming.sink_blocks} + a.streaming.local_blocks) * a.streaming.block_size + 2 * kLines);
    }
    int64_t wanted = LargerOf(device.multiprocessors, 1) / LargerOf(plan.tiles, 1);
    plan.splits = LargerOf(1, SmallerOf(SmallerOf(wanted, Ceil(context, 4 * kLines)), 128));
    plan.queries = Rounded(a.tokens * a.num_heads * (a.rank + a.rope) * 2);
    plan.means = Rounded(a.tokens * a.num_heads * a.rank * 2);
    plan.partial = plan.splits == 1 ? 0 : Rounded(plan.tiles * plan.splits * plan.rows * (a.rank + 2) * 4);
    return plan;
}

template <int kRank, int kGroups>
Status Attend(const Execution& execution, const Plan& plan, const LatentParameters& p) {
    LaunchShape shape;
    shape.x = plan.tiles, shape.z = plan.splits, shape.threads = kLatentThreads, shape.shared = LatentShared<kRank, kGroups>::kAll;
    Status status = Start("LatentAttention (attend)", LatentAttend<kRank, kGroups>, shape, p, execution);
    if (status.ok() && plan.splits > 1) {
        shape.y = kMergeBlocks, shape.z = 1, shape.shared = 0;
        status = Start("LatentAttention (merge)", LatentMerge<16 * kGroups>, shape, p, execution);
    }
    return status;
}

template <bool kFold>
Status Multiply(const Execution& execution, const LatentParameters& p) {
    LaunchShape shape;
    shape.x = Ceil(p.a.tokens, kProductTokens), shape.y = p.a.num_heads, shape.z = Ceil(kFold ? p.a.rank : p.a.v, kProductColumns);
    shape.threads = kProductThreads, shape.shared = kProductShared;
    return Start(kFold ? "LatentAttention (fold)" : "LatentAttention (unfold)", LatentProduct<kFold>, shape, p, execution);
}

}  // namespace

size_t LatentAttentionWorkspace(const Device& device, const LatentAttentionArguments& a) {
    if (!CheckSizes(a).ok()) {
        return 0;  // LatentAttention refuses them before it touches the workspace
    }
    Plan plan = PlanOf(device, a);
    return plan.queries + plan.means + plan.partial;
}

Status LatentAttention(const Execution& execution, const LatentAttentionArguments& a, void* workspace, int32_t* fault) {
    if (Status status = CheckSizes(a); !status.ok()) {
        return status;
    }
    if (a.tokens == 0 || a.sequences == 0) {
        return {};
    }
    if (a.query == nullptr || a.latent == nullptr || a.latent_norm == nullptr || a.kv_b.data == nullptr || a.inv_freq == nullptr || a.cache == nullptr ||
        a.output == nullptr || a.position_ids == nullptr || a.query_start == nullptr || a.context_length == nullptr || a.block_table == nullptr) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "query, latent, latent_norm, kv_b, inv_freq, position_ids, query_start, context_length, block_table, cache and output must not be null");
    }
    if (!Aligned(a.cache) || !Aligned(a.kv_b.data)) {
        return Status::Error(StatusCode::kInvalidArgument, "the cache lies at %p and kv_b at %p, expected addresses that are multiples of 16", a.cache, a.kv_b.data);
    }
    Plan plan = PlanOf(execution.device, a);
    LatentParameters p;
    p.a = a, p.pattern.streaming = a.streaming, p.tiles = plan.tiles, p.splits = plan.splits, p.fault = fault;
    p.factor = a.query_scale * a.softmax_scale * 1.44269504f;
    uint8_t* scratch = static_cast<uint8_t*>(workspace);
    p.queries = reinterpret_cast<uint16_t*>(scratch), p.means = reinterpret_cast<uint16_t*>(scratch + plan.queries);
    p.partial = reinterpret_cast<float*>(scratch + plan.queries + plan.means);
    LaunchShape shape;
    shape.x = a.tokens, shape.threads = kLatentPrepareThreads;
    shape.shared = (static_cast<size_t>(a.rope) + kLatentPrepareThreads / kWarp) * sizeof(float);
    Status status = Start("LatentAttention (prepare)", LatentPrepare, shape, p, execution);
    status = status.ok() ? Multiply<true>(execution, p) : status;
    if (status.ok()) {
        status = plan.wide ? plan.tall ? Attend<512, 4>(execution, plan, p) : Attend<512, 1>(execution, plan, p)
                 : plan.tall ? Attend<128, 4>(execution, plan, p)
                             : Attend<128, 1>(execution, plan, p);
    }
    return status.ok() ? Multiply<false>(execution, p) : status;
}

}  // namespace longcat::cuda
