#include "longcat/cuda/w4a8_matmul.h"

#include "../../cpu/w4a8_matmul/check.h"
#include "../common/launch.h"
#include "../quantize_rows/pitched.h"
#include "finish.cuh"
#include "stream.cuh"
#include "tile.cuh"

namespace longcat::cuda {
namespace {

constexpr W4A8Limits kLimits = {INT32_MAX - 128, false, 16};
constexpr int64_t kMostStreamTokens = 32;  // above this the matrix instructions, not the weights, set the pace

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }
int64_t Ceil(int64_t value, int64_t by) { return (value + by - 1) / by; }
size_t Rounded(size_t bytes) { return (bytes + 255) / 256 * 256; }

struct Plan {
    bool stream = true;
    int tiles = 1;  // of 8 tokens: in a block (stream), in a warp (tile)
    int64_t panels = 0, panels_per_block = 1, splits = 1, pitch = 0;
    size_t rows = 0, scales = 0, partial = 0;  // bytes of scratch
};

Plan PlanOf(const Device& device, const W4A8MatMulArguments& p) {
    Plan plan;
    const W4A8Layout& layout = p.layout;
    int64_t multiprocessors = LargerOf(device.multiprocessors, 1);
    plan.panels = Ceil(layout.n, kW4A8PanelColumns);
    plan.pitch = Ceil(layout.k, 16) * 16;
    plan.stream = p.m <= kMostStreamTokens || !FitsTiles(layout);
    int64_t blocks, wanted, most;
    if (plan.stream) {
        plan.tiles = p.m <= 8 ? 1 : p.m <= 16 ? 2 : 4;
        // Panels that share a block share its activations in the first-level cache.
        plan.panels_per_block = plan.tiles;
        int64_t over_tokens = Ceil(p.m, 8 * plan.tiles);
        while (plan.panels_per_block > 1 && Ceil(plan.panels, plan.panels_per_block) * over_tokens < multiprocessors) {
            plan.panels_per_block /= 2;
        }
        blocks = Ceil(plan.panels, plan.panels_per_block) * over_tokens;
        wanted = multiprocessors * (plan.tiles == 1 ? kStreamBlocks<1> : plan.tiles == 2 ? kStreamBlocks<2> : kStreamBlocks<4>);
        W4A8Parameters sizes;
        sizes.k = layout.k, sizes.group = layout.group, sizes.groups = W4A8Groups(layout);
        most = SlabsOf(sizes) * plan.panels_per_block / kStreamWarps;  // a slab for each warp
    } else {
        plan.tiles = p.m <= 64 ? 2 : 4;
        blocks = Ceil(plan.panels, kTilePanels) * Ceil(p.m, plan.tiles == 2 ? kTileTokens<2> : kTileTokens<4>);
        wanted = multiprocessors * (plan.tiles == 2 ? 2 : 1);
        most = Ceil(layout.k, 128) / kStages;
    }
    plan.splits = LargerOf(1, SmallerOf(SmallerOf(wanted / LargerOf(blocks, 1), most), 16));
    plan.rows = Rounded(static_cast<size_t>(p.m) * static_cast<size_t>(plan.pitch));
    plan.scales = Rounded(static_cast<size_t>(p.m) * sizeof(float));
    plan.partial = plan.splits == 1 ? 0 : Rounded(static_cast<size_t>(plan.splits) * static_cast<size_t>(p.m) * static_cast<size_t>(layout.n) * sizeof(int32_t));
    return plan;
}

template <int kScaleBytes>
Status Product(const Execution& execution, const Plan& plan, const W4A8Parameters& p) {
    LaunchShape shape;
    if (plan.stream) {
        shape.x = Ceil(plan.panels, plan.panels_per_block), shape.y = plan.splits, shape.z = Ceil(p.m, 8 * plan.tiles);
        shape.threads = kStreamWarps * kWarp;
        shape.shared = static_cast<size_t>(plan.panels_per_block) * 8 * static_cast<size_t>(plan.tiles) * kPanelOutputs8 * sizeof(int32_t);
        return Start("W4A8MatMul (stream)",
                     plan.tiles == 1   ? W4A8Stream<1, kScaleBytes>
                     : plan.tiles == 2 ? W4A8Stream<2, kScaleBytes>
                                       : W4A8Stream<4, kScaleBytes>,
                     shape, p, execution);
    }
    shape.x = Ceil(p.m, plan.tiles == 2 ? kTileTokens<2> : kTileTokens<4>), shape.y = Ceil(plan.panels, kTilePanels), shape.z = plan.splits;
    shape.threads = kTileThreads, shape.shared = plan.tiles == 2 ? kTileShared<2> : kTileShared<4>;
    return Start("W4A8MatMul (tile)", plan.tiles == 2 ? W4A8Tile<2, kScaleBytes> : W4A8Tile<4, kScaleBytes>, shape, p, execution);
}

}  // namespace

size_t W4A8MatMulWorkspace(const Device& device, const W4A8MatMulArguments& p) {
    if (!CheckW4A8Sizes(p, kLimits).ok()) {
        return 0;  // W4A8MatMul refuses them before it touches the workspace
    }
    Plan plan = PlanOf(device, p);
    return plan.rows + plan.scales + plan.partial;
}

Status W4A8MatMul(const Execution& execution, const W4A8MatMulArguments& arguments, void* workspace) {
    if (Status status = CheckW4A8(arguments, kLimits); !status.ok()) {
        return status;
    }
    if (arguments.m == 0 || arguments.layout.n == 0) {
        return {};
    }
    const W4A8Layout& layout = arguments.layout;
    Plan plan = PlanOf(execution.device, arguments);
    int8_t* rows = static_cast<int8_t*>(workspace);
    float* scales = reinterpret_cast<float*>(rows + plan.rows);

    W4A8Parameters p = ParametersOf(layout);
    p.m = arguments.m, p.panels_per_block = plan.panels_per_block, p.splits = plan.splits;
    p.weights = arguments.weights, p.x = arguments.xq, p.x_pitch = layout.k, p.x_scale = arguments.x_scale, p.scale = arguments.scale;
    p.bias = arguments.bias, p.residual = arguments.residual, p.y = arguments.y;
    p.partial = reinterpret_cast<int32_t*>(rows + plan.rows + plan.scales);
    p.vector = layout.n % 4 == 0 && Aligned(p.y) && Aligned(p.partial);
    if (arguments.x != nullptr || layout.k == 0) {
        QuantizeRowsArguments quantize;
        quantize.rows.m = p.m, quantize.rows.k = p.k, quantize.rows.group = LargerOf(p.k, 1), quantize.rows.static_scale = arguments.static_scale;
        quantize.rows.a = rows, quantize.rows.scale = scales, quantize.x = arguments.x;
        if (Status status = QuantizeRowsPitched(execution, quantize, plan.pitch); !status.ok()) {
            return status;
        }
        p.x = rows, p.x_pitch = plan.pitch, p.x_scale = scales;
    } else if (layout.k % 16 != 0 || !Aligned(arguments.xq)) {
        LaunchShape shape;
        shape.x = p.m, shape.threads = kFinishThreads;
        if (Status status = Start("W4A8MatMul (rows)", W4A8Pad, shape, PadParameters{p.m, p.k, plan.pitch, arguments.xq, rows}, execution);
            !status.ok()) {
            return status;
        }
        p.x = rows, p.x_pitch = plan.pitch;
    }
    Status status = layout.group_scale_bytes == 0   ? Product<0>(execution, plan, p)
                    : layout.group_scale_bytes == 1 ? Product<1>(execution, plan, p)
                                                    : Product<2>(execution, plan, p);
    if (status.ok() && plan.splits > 1) {
        LaunchShape shape;
        shape.x = Ceil(p.n, kFinishThreads), shape.y = SmallerOf(p.m, kMostFinishRows), shape.threads = kFinishThreads;
        status = Start("W4A8MatMul (finish)", W4A8Finish, shape, p, execution);
    }
    return status;
}

}  // namespace longcat::cuda
