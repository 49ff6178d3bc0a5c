#include "longcat/cuda/paged_attention.h"

#include "../common/launch.h"
#include "attend.cuh"

namespace longcat::cuda {
namespace {

constexpr int64_t kMost = INT32_MAX;
constexpr int kMostHeadDim = 256;

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }
int64_t Ceil(int64_t value, int64_t by) { return (value + by - 1) / by; }
size_t Rounded(int64_t bytes) { return (static_cast<size_t>(bytes) + 255) / 256 * 256; }

Status CheckSizes(const PagedAttentionArguments& a) {
    using L = long long;
    auto wrong = [](int64_t value) { return value < 0 || value > kMost; };
    if (wrong(a.tokens) || wrong(a.sequences) || wrong(a.pages) || a.page_size < 1 || wrong(a.page_size) || wrong(a.block_table_width)) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "%lld tokens, %lld sequences, %lld pages of %lld, block_table of %lld columns: expected 0..2^31-1, pages of 1 or more", L{a.tokens},
                             L{a.sequences}, L{a.pages}, L{a.page_size}, L{a.block_table_width});
    }
    if (a.num_heads < 1 || a.num_heads > 32'768 || a.num_kv_heads < 1 || a.num_heads % a.num_kv_heads != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "num_heads is %d, expected 1..32768 and a multiple of num_kv_heads, which is %d (1 or more)",
                             a.num_heads, a.num_kv_heads);
    }
    if (a.head_dim < 8 || a.head_dim > kMostHeadDim || a.head_dim % 8 != 0) {
        return Status::Error(StatusCode::kUnsupported, "head_dim is %d, expected a multiple of 8, 8..%d", a.head_dim, kMostHeadDim);
    }
    if (a.rotary_dim < 0 || a.rotary_dim > a.head_dim || a.rotary_dim % 2 != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "rotary_dim is %d, expected an even number, 0..%d (head_dim)", a.rotary_dim, a.head_dim);
    }
    if (a.window < 0 || (a.window > 0 && a.streaming.block_size > 0)) {
        return Status::Error(StatusCode::kInvalidArgument, "window is %d, expected 1 or more, or 0 for all keys, and no streaming pattern beside it", a.window);
    }
    const StreamingPattern& s = a.streaming;
    if (s.block_size < 0 || (s.block_size > 0 && (s.sink_blocks < 0 || s.local_blocks < 1))) {
        return Status::Error(StatusCode::kInvalidArgument, "block_size %d, sink_blocks %d, local_blocks %d: expected 1 or more, 0 or more, 1 or more", s.block_size,
                             s.sink_blocks, s.local_blocks);
    }
    if (a.cache_type != CacheType::kBFloat16) {
        return Status::Error(StatusCode::kUnsupported, "the cache is %s, expected bfloat16 on a GPU", a.cache_type == CacheType::kFloat32 ? "float32" : "int8");
    }
    if (a.sparse.means != nullptr) {
        return Status::Error(StatusCode::kUnsupported, "block_means of sparse rows: not on a GPU");
    }
    return {};
}

struct Plan {
    bool by_keys = true;  // tiles of 16 rows
    int rows = 16;
    int64_t tiles = 0, splits = 1;
    size_t queries = 0, partial = 0;  // bytes of scratch
};

Plan PlanOf(const Device& device, const PagedAttentionArguments& a) {
    Plan plan;
    int64_t heads = a.num_heads / a.num_kv_heads;
    plan.by_keys = a.tokens * heads <= 32 * LargerOf(a.sequences, 1);  // rows of a sequence, about
    plan.rows = plan.by_keys ? kAttendRows<16> : kAttendRows<kChunk>;
    plan.tiles = TilesOf(a.tokens, a.sequences, heads, plan.rows);
    // Blocks of keys that a row can see at most.
    int64_t context = a.block_table_width * a.page_size;
    if (a.window > 0) {
        context = SmallerOf(context, int64_t{a.window} + kChunk);
    } else if (a.streaming.block_size > 0) {
        context = SmallerOf(context, (int64_t{a.streaming.sink_blocks} + a.streaming.local_blocks) * a.streaming.block_size + 2 * kChunk);
    }
    // Two blocks on every multiprocessor, each with two chunks of keys at least.
    int64_t wanted = 2 * LargerOf(device.multiprocessors, 1) / LargerOf(plan.tiles * a.num_kv_heads, 1);
    plan.splits = LargerOf(1, SmallerOf(SmallerOf(wanted, Ceil(context, 2 * kChunk)), 128));
    plan.queries = Rounded(a.tokens * a.num_heads * a.head_dim * 2);
    plan.partial = plan.splits == 1 ? 0 : Rounded(plan.tiles * a.num_kv_heads * plan.splits * plan.rows * (a.head_dim + 2) * 4);
    return plan;
}

template <int kWarpKeys>
Status Attend(const Execution& execution, const Plan& plan, const PagedParameters& p) {
    LaunchShape shape;
    shape.x = plan.tiles, shape.y = p.a.num_kv_heads, shape.z = plan.splits, shape.threads = kAttendThreads;
    auto start = [&](void (*kernel)(PagedParameters), size_t shared) {
        shape.shared = shared;
        return Start("PagedAttention (attend)", kernel, shape, p, execution);
    };
    Status status = p.a.head_dim <= 64    ? start(PagedAttend<64, kWarpKeys>, kAttendShared<64, kWarpKeys>)
                    : p.a.head_dim <= 128 ? start(PagedAttend<128, kWarpKeys>, kAttendShared<128, kWarpKeys>)
                                          : start(PagedAttend<256, kWarpKeys>, kAttendShared<256, kWarpKeys>);
    if (status.ok() && plan.splits > 1) {
        shape.z = 1, shape.shared = 0;
        status = Start("PagedAttention (merge)", PagedMerge<kAttendRows<kWarpKeys>>, shape, p, execution);
    }
    return status;
}

}  // namespace

size_t PagedAttentionWorkspace(const Device& device, const PagedAttentionArguments& a) {
    if (!CheckSizes(a).ok()) {
        return 0;  // PagedAttention refuses them before it touches the workspace
    }
    Plan plan = PlanOf(device, a);
    return plan.queries + plan.partial;
}

Status PagedAttention(const Execution& execution, const PagedAttentionArguments& a, void* workspace, int32_t* fault) {
    if (Status status = CheckSizes(a); !status.ok()) {
        return status;
    }
    if (a.tokens == 0 || a.sequences == 0) {
        return {};
    }
    if (a.query == nullptr || a.key == nullptr || a.value == nullptr || a.cache == nullptr || a.output == nullptr || a.position_ids == nullptr ||
        a.query_start == nullptr || a.context_length == nullptr || a.block_table == nullptr || (a.inv_freq == nullptr && a.rotary_dim > 0)) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "query, key, value, inv_freq, position_ids, query_start, context_length, block_table, cache and output must not be null");
    }
    if (!Aligned(a.cache)) {
        return Status::Error(StatusCode::kInvalidArgument, "the cache lies at %p, expected an address that is a multiple of 16", a.cache);
    }
    Plan plan = PlanOf(execution.device, a);
    PagedParameters p;
    p.a = a, p.pattern.window = a.window, p.pattern.streaming = a.streaming;
    p.tiles = plan.tiles, p.splits = plan.splits, p.fault = fault;
    p.queries = static_cast<uint16_t*>(workspace);
    p.partial = reinterpret_cast<float*>(static_cast<uint8_t*>(workspace) + plan.queries);
    LaunchShape shape;
    shape.x = a.tokens, shape.threads = kPrepareThreads, shape.shared = static_cast<size_t>(a.rotary_dim) * sizeof(float);
    if (Status status = Start("PagedAttention (prepare)", PagedPrepare, shape, p, execution); !status.ok()) {
        return status;
    }
    return plan.by_keys ? Attend<16>(execution, plan, p) : Attend<kChunk>(execution, plan, p);
}

}  // namespace longcat::cuda
