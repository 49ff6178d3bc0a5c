#include "longcat/cuda/expert_mixture.h"

#include <initializer_list>

#include "../../cpu/expert_mixture/routing.h"
#include "../common/launch.h"
#include "../quantize_rows/pitched.h"
#include "bfloat16_product.cuh"
#include "combine.cuh"
#include "router.cuh"
#include "w4a8_product.cuh"

namespace longcat::cuda {
namespace {

constexpr int64_t kMostWidth = int64_t{1} << 24;  // 127 times as many fit 32 bits
constexpr int64_t kOneToken = 1, kFewTokens = 32;

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }
int64_t Ceil(int64_t value, int64_t by) { return (value + by - 1) / by; }

// What the workspace's size is computed from.
Status CheckSizes(const ExpertMixtureArguments& p) {
    using L = long long;
    if (Status status = CheckMixture(p); !status.ok()) {
        return status;
    }
    if (p.experts > kMostExperts - p.zero_experts) {
        return Status::Error(StatusCode::kUnsupported, "%d experts and %d zero experts, expected at most %d together on a GPU", p.experts, p.zero_experts, kMostExperts);
    }
    if (p.hidden > kMostWidth || p.intermediate > kMostWidth) {
        return Status::Error(StatusCode::kUnsupported, "hidden %lld, intermediate %lld: expected at most %lld on a GPU", L{p.hidden}, L{p.intermediate}, L{kMostWidth});
    }
    if (p.adapters != nullptr) {
        return Status::Error(StatusCode::kUnsupported, "adapters of experts: not on a GPU");
    }
    if (p.w4a8 != nullptr) {
        return {};
    }
    for (const Weights* stack : {&p.gate, &p.up, &p.down}) {
        if (stack->type != WeightType::kBFloat16 || stack->layout != WeightLayout::kRows) {
            return Status::Error(StatusCode::kUnsupported, "the experts are %s in %s, expected bfloat16 in rows, or 4 bits, on a GPU",
                                 stack->type == WeightType::kFloat32 ? "float32" : "bfloat16", stack->layout == WeightLayout::kRows ? "rows" : "panels");
        }
    }
    if (p.hidden % 8 != 0 || p.intermediate % 8 != 0) {
        return Status::Error(StatusCode::kUnsupported, "hidden %lld, intermediate %lld: expected multiples of 8 with bfloat16 experts on a GPU", L{p.hidden},
                             L{p.intermediate});
    }
    return {};
}

Status Check(const ExpertMixtureArguments& p) {
    if (Status status = CheckSizes(p); !status.ok()) {
        return status;
    }
    if (Status status = CheckSkippingSizes(p); !status.ok() || p.tokens == 0) {
        return status;
    }
    if (p.x == nullptr || p.router == nullptr || p.y == nullptr) {
        return Status::Error(StatusCode::kInvalidArgument, "x, router and y must not be null");
    }
    const void* stacks[] = {p.gate.data, p.up.data, p.down.data};
    if (p.w4a8 != nullptr) {
        stacks[0] = p.w4a8->gate, stacks[1] = p.w4a8->up, stacks[2] = p.w4a8->down;
    }
    const char* names[] = {"gate", "up", "down"};
    for (int i = 0; i < 3 && p.experts > 0; i++) {
        if (stacks[i] == nullptr || !Aligned(stacks[i])) {
            return Status::Error(StatusCode::kInvalidArgument, "%s lies at %p, expected an address that is a multiple of 16", names[i], stacks[i]);
        }
    }
    return {};
}

// Sizes and places in scratch memory; all of it follows from the shapes.
struct Plan {
    int64_t pairs = 0, chunks = 0;  // pairs at most
    int64_t tile_rows = 16, tiles = 0;
    bool stream = true;             // of 4-bit experts
    int64_t x_pitch = 0, inner_pitch = 0;  // bytes of a row of integers
    size_t logits = 0, squares = 0, chosen = 0, place = 0, weight = 0, zero_weight = 0, starts = 0, token = 0, count = 0, list = 0;
    size_t x = 0, x_scale = 0, inner = 0, inner_scale = 0, gate = 0, up = 0, product = 0, value = 0;
    size_t bytes = 0;
};

Plan PlanOf(const ExpertMixtureArguments& p) {
    Plan plan;
    const int64_t all = int64_t{p.experts} + p.zero_experts, slots = p.tokens * p.top_k;
    plan.pairs = p.tokens * SmallerOf(p.top_k, p.experts);
    plan.chunks = Ceil(p.tokens, kChunkTokens);
    // Tiles as high as an expert has tokens on average, so that its weights are read about once and few rows stay empty.
    const int64_t average = plan.pairs / LargerOf(p.experts, 1);
    if (p.w4a8 != nullptr) {
        plan.stream = average < 40 || !FitsTiles(GateLayout(p)) || !FitsTiles(DownLayout(p));
        plan.tile_rows = plan.stream ? (average <= 6 ? 8 : average <= 12 ? 16 : 32) : average <= 96 ? kTileTokens<2> : kTileTokens<4>;
    } else {
        plan.tile_rows = average <= 16 ? 16 : 64;
    }
    plan.tiles = MostTiles(plan.pairs, p.experts, plan.tile_rows);
    size_t at = 0;
    auto take = [&](int64_t count, size_t size) {
        size_t here = at;
        at += (static_cast<size_t>(count) * size + 255) / 256 * 256;
        return here;
    };
    plan.logits = take(p.tokens * all, 4), plan.squares = take(all, 4);
    plan.chosen = take(slots, 4), plan.place = take(slots, 4), plan.weight = take(slots, 4), plan.zero_weight = take(p.tokens, 4);
    plan.starts = take(plan.chunks * p.experts, 4), plan.token = take(plan.pairs, 4), plan.count = take(1, 4), plan.list = take(plan.tiles, sizeof(ExpertTile));
    if (p.w4a8 != nullptr) {
        plan.x_pitch = Ceil(p.hidden, 16) * 16, plan.inner_pitch = Ceil(p.intermediate, 16) * 16;
        plan.x = take(p.tokens * plan.x_pitch, 1), plan.x_scale = take(p.tokens, 4);
        plan.inner = take(plan.pairs * plan.inner_pitch, 1), plan.inner_scale = take(plan.pairs, 4);
        // Down's products take the place of gate and up, which are integers by then.
        plan.product = plan.gate = at;
        take(plan.pairs * LargerOf(p.hidden, 2 * p.intermediate), 4);
        plan.up = plan.gate + static_cast<size_t>(plan.pairs * p.intermediate) * 4;
    } else {
        plan.x = take(p.tokens * p.hidden, 2), plan.inner = take(plan.pairs * p.intermediate, 2);
        plan.product = take(plan.pairs * p.hidden, 4);
    }
    plan.value = p.inner == nullptr ? 0 : take(plan.pairs * p.intermediate, 4);
    plan.bytes = at;
    return plan;
}

struct Scratch {
    uint8_t* memory;
    template <class T>
    T* At(size_t offset) const {
        return reinterpret_cast<T*>(memory + offset);
    }
};

Status Route(const Execution& execution, const ExpertMixtureArguments& p, const Plan& plan, const Scratch& scratch) {
    RouterParameters r;
    r.tokens = p.tokens, r.hidden = p.hidden, r.experts = p.experts, r.all = p.experts + p.zero_experts, r.top_k = p.top_k;
    r.factor = p.routed_scaling_factor, r.normalize = p.normalize, r.identity = p.identity;
    r.vector = p.hidden % 4 == 0 && Aligned(p.x) && Aligned(p.router);
    r.x = p.x, r.router = p.router, r.bias = p.correction_bias;
    if (p.skipping != nullptr && p.skipping->most > 0) {
        r.marks = p.skipping->rows, r.betas = p.skipping->betas, r.most_skipped = p.skipping->most;
    }
    r.logits = scratch.At<float>(plan.logits), r.squares = scratch.At<float>(plan.squares);
    r.chosen = scratch.At<int32_t>(plan.chosen), r.place = scratch.At<int32_t>(plan.place), r.weight = scratch.At<float>(plan.weight);
    r.zero_weight = scratch.At<float>(plan.zero_weight), r.selected = p.selected, r.shares = p.shares;
    const int tokens = p.tokens <= kOneToken ? 1 : p.tokens <= kFewTokens ? 4 : 8, experts = p.tokens <= kFewTokens ? 1 : 4;
    LaunchShape shape;
    shape.x = Ceil(p.tokens, tokens), shape.y = Ceil(r.all, kRouterWarps * experts), shape.threads = kRouterThreads;
    Status status = Start("ExpertMixture (logits)", tokens == 1 ? RouterLogits<1, 1> : tokens == 4 ? RouterLogits<4, 1> : RouterLogits<8, 4>, shape, r, execution);
    shape.x = p.tokens, shape.y = 1, shape.shared = RouterShared(r.all, r.top_k);
    return status.ok() ? Start("ExpertMixture (choice)", RouterSelect, shape, r, execution) : status;
}

Status Group(const Execution& execution, const ExpertMixtureArguments& p, const Plan& plan, const Scratch& scratch) {
    GroupParameters g;
    g.tokens = p.tokens, g.chunks = plan.chunks, g.most_tiles = plan.tiles, g.experts = p.experts, g.top_k = p.top_k;
    g.tile_rows = static_cast<int>(plan.tile_rows);
    g.chosen = scratch.At<int32_t>(plan.chosen), g.place = scratch.At<int32_t>(plan.place), g.starts = scratch.At<int32_t>(plan.starts);
    g.token = scratch.At<int32_t>(plan.token), g.pairs = scratch.At<int32_t>(plan.count), g.tiles = scratch.At<ExpertTile>(plan.list);
    LaunchShape shape, one;
    shape.x = plan.chunks, shape.threads = one.threads = kGroupThreads, shape.shared = one.shared = GroupShared(p.experts);
    if (plan.chunks == 1) {
        return Start("ExpertMixture (group)", GroupFew, one, g, execution);
    }
    Status status = Start("ExpertMixture (count)", GroupCount, shape, g, execution);
    status = status.ok() ? Start("ExpertMixture (experts)", GroupExperts, one, g, execution) : status;
    return status.ok() ? Start("ExpertMixture (tokens)", GroupTokens, shape, g, execution) : status;
}

template <bool kGated>
Status BFloat16Product(const Execution& execution, const Plan& plan, const ExpertProductParameters& p) {
    LaunchShape shape;
    shape.x = plan.tiles, shape.y = Ceil(p.outputs, kExpertOutputs<kGated>), shape.threads = kExpertThreads;
    shape.shared = plan.tile_rows == 16 ? kExpertShared<1> : kExpertShared<4>;
    return Start(kGated ? "ExpertMixture (gate and up)" : "ExpertMixture (down)", plan.tile_rows == 16 ? ExpertProduct<1, kGated> : ExpertProduct<4, kGated>, shape, p,
                 execution);
}

Status BFloat16Experts(const Execution& execution, const ExpertMixtureArguments& p, const Plan& plan, const Scratch& scratch) {
    LaunchShape shape;
    const int64_t pieces = p.tokens * p.hidden / 8;
    shape.x = Ceil(pieces, kCombineThreads), shape.threads = kCombineThreads;
    Status status = Start("ExpertMixture (x)", NarrowRows, shape, NarrowParameters{pieces, p.x, scratch.At<uint16_t>(plan.x)}, execution);
    if (!status.ok()) {
        return status;
    }
    ExpertProductParameters inside;
    inside.depth = p.hidden, inside.outputs = p.intermediate, inside.tiles = scratch.At<ExpertTile>(plan.list);
    inside.x = scratch.At<uint16_t>(plan.x), inside.rows = scratch.At<int32_t>(plan.token);
    inside.first = static_cast<const uint16_t*>(p.gate.data), inside.second = static_cast<const uint16_t*>(p.up.data);
    inside.inner = scratch.At<uint16_t>(plan.inner), inside.value = p.inner == nullptr ? nullptr : scratch.At<float>(plan.value);
    status = BFloat16Product<true>(execution, plan, inside);
    if (!status.ok()) {
        return status;
    }
    ExpertProductParameters down;
    down.depth = p.intermediate, down.outputs = p.hidden, down.tiles = inside.tiles, down.x = inside.inner;
    down.first = static_cast<const uint16_t*>(p.down.data), down.product = scratch.At<float>(plan.product);
    return BFloat16Product<false>(execution, plan, down);
}

template <int kScaleBytes>
Status W4A8Product(const char* name, const Execution& execution, const Plan& plan, const LaunchShape& shape, const W4A8ExpertParameters& p) {
    return Start(name,
                 !plan.stream            ? plan.tile_rows == kTileTokens<2> ? W4A8ExpertTile<2, kScaleBytes> : W4A8ExpertTile<4, kScaleBytes>
                 : plan.tile_rows == 8   ? W4A8ExpertStream<1, kScaleBytes>
                 : plan.tile_rows == 16  ? W4A8ExpertStream<2, kScaleBytes>
                                         : W4A8ExpertStream<4, kScaleBytes>,
                 shape, p, execution);
}

// The kernel and grid for products with `matrices` stacks of such a layout.
Status W4A8Product(const char* name, const Execution& execution, const Plan& plan, const W4A8Layout& layout, int matrices, W4A8ExpertParameters p) {
    LaunchShape shape;
    const int tiles = plan.stream ? static_cast<int>(plan.tile_rows / 8) : plan.tile_rows == kTileTokens<2> ? 2 : 4;
    int64_t panels_here = kTilePanels;
    shape.threads = kTileThreads, shape.shared = tiles == 2 ? kTileShared<2> : kTileShared<4>;
    if (plan.stream) {
        // Panels that share a block share its activations in the first-level cache.
        panels_here = tiles;
        while (panels_here > 1 && Ceil(p.product.panels, panels_here) * matrices * plan.tiles < execution.device.multiprocessors) {
            panels_here /= 2;
        }
        shape.threads = kStreamWarps * kWarp;
        shape.shared = static_cast<size_t>(panels_here * plan.tile_rows) * kPanelOutputs8 * sizeof(int32_t);
    }
    p.product.panels_per_block = panels_here;
    p.blocks = Ceil(p.product.panels, panels_here), p.matrix_bytes = W4A8PackedBytes(layout);
    shape.x = plan.tiles, shape.y = p.blocks * matrices;
    return layout.group_scale_bytes == 0   ? W4A8Product<0>(name, execution, plan, shape, p)
           : layout.group_scale_bytes == 1 ? W4A8Product<1>(name, execution, plan, shape, p)
                                           : W4A8Product<2>(name, execution, plan, shape, p);
}

Status W4A8Experts(const Execution& execution, const ExpertMixtureArguments& p, const Plan& plan, const Scratch& scratch) {
    const longcat::W4A8Experts& experts = *p.w4a8;
    QuantizeRowsArguments x;
    x.rows.m = p.tokens, x.rows.k = p.hidden, x.rows.group = p.hidden;
    x.rows.a = scratch.At<int8_t>(plan.x), x.rows.scale = scratch.At<float>(plan.x_scale), x.x = p.x;
    if (Status status = QuantizeRowsPitched(execution, x, plan.x_pitch); !status.ok()) {
        return status;
    }
    const W4A8Layout gate_layout = GateLayout(p), down_layout = DownLayout(p);
    W4A8ExpertParameters inside;
    inside.product = ParametersOf(gate_layout);
    inside.product.x = x.rows.a, inside.product.x_pitch = plan.x_pitch, inside.product.x_scale = x.rows.scale, inside.product.vector = p.intermediate % 4 == 0;
    inside.tiles = scratch.At<ExpertTile>(plan.list), inside.rows = scratch.At<int32_t>(plan.token);
    inside.first = experts.gate, inside.first_scale = experts.gate_scale, inside.first_y = scratch.At<float>(plan.gate);
    inside.second = experts.up, inside.second_scale = experts.up_scale, inside.second_y = scratch.At<float>(plan.up);
    if (Status status = W4A8Product("ExpertMixture (gate and up)", execution, plan, gate_layout, 2, inside); !status.ok()) {
        return status;
    }
    SiluMulQuantizeArguments inner;
    inner.rows.m = plan.pairs, inner.rows.k = p.intermediate, inner.rows.group = p.intermediate;
    inner.rows.a = scratch.At<int8_t>(plan.inner), inner.rows.scale = scratch.At<float>(plan.inner_scale);
    inner.gate = inside.first_y, inner.up = inside.second_y, inner.value = p.inner == nullptr ? nullptr : scratch.At<float>(plan.value);
    if (Status status = SiluMulQuantizePitched(execution, inner, plan.inner_pitch, scratch.At<int32_t>(plan.count)); !status.ok()) {
        return status;
    }
    W4A8ExpertParameters down;
    down.product = ParametersOf(down_layout);
    down.product.x = inner.rows.a, down.product.x_pitch = plan.inner_pitch, down.product.x_scale = inner.rows.scale, down.product.vector = p.hidden % 4 == 0;
    down.tiles = inside.tiles, down.first = experts.down, down.first_scale = experts.down_scale, down.first_y = scratch.At<float>(plan.product);
    return W4A8Product("ExpertMixture (down)", execution, plan, down_layout, 1, down);
}

}  // namespace

size_t ExpertMixtureWorkspace(const Device&, const ExpertMixtureArguments& p) {
    return CheckSizes(p).ok() ? PlanOf(p).bytes : 0;  // ExpertMixture refuses others before it touches the workspace
}

Status ExpertMixture(const Execution& execution, const ExpertMixtureArguments& p, void* workspace) {
    if (Status status = Check(p); !status.ok() || p.tokens == 0) {
        return status;
    }
    const Plan plan = PlanOf(p);
    const Scratch scratch = {static_cast<uint8_t*>(workspace)};
    Status status = Route(execution, p, plan, scratch);
    if (status.ok() && p.experts > 0) {
        status = Group(execution, p, plan, scratch);
        if (status.ok()) {
            status = p.w4a8 != nullptr ? W4A8Experts(execution, p, plan, scratch) : BFloat16Experts(execution, p, plan, scratch);
        }
    }
    if (!status.ok()) {
        return status;
    }
    CombineParameters c;
    c.hidden = p.hidden, c.intermediate = p.intermediate, c.top_k = p.top_k, c.x = p.x;
    c.place = scratch.At<int32_t>(plan.place), c.weight = scratch.At<float>(plan.weight), c.zero_weight = scratch.At<float>(plan.zero_weight);
    c.product = scratch.At<float>(plan.product), c.value = p.inner == nullptr ? nullptr : scratch.At<float>(plan.value), c.y = p.y, c.inner = p.inner;
    LaunchShape shape;
    shape.x = p.tokens, shape.y = Ceil(p.hidden, kCombineThreads), shape.threads = kCombineThreads;
    status = Start("ExpertMixture (combine)", CombineExperts, shape, c, execution);
    if (status.ok() && p.inner != nullptr) {
        shape.x = p.tokens * p.top_k, shape.y = 1;
        status = Start("ExpertMixture (inner)", CopyInner, shape, c, execution);
    }
    return status;
}

}  // namespace longcat::cuda
