#include <cmath>
#include <cstring>

#include "../common/numbers.h"
#include "../common/parallel.h"
#include "longcat/matmul.h"
#include "paths.h"

namespace longcat {
namespace {

using L = long long;

// Above this share of all channels streaming the panels is faster than picking channels, which turns bfloat16 into floats first. Which way
// a step takes changes no bit.
constexpr double kMostLive = 0.5, kMostLiveHalves = 0.4;

constexpr int64_t kMost = int64_t{1} << 31;

Status Check(const SparseGatedMlpArguments& p) {
    if (p.m < 0 || p.m > kMost || p.hidden < 0 || p.hidden > kMost || p.inner < 0 || p.inner > kMost) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld rows, hidden %lld, inner %lld: expected sizes of 0..2^31", L{p.m},
                             L{p.hidden}, L{p.inner});
    }
    if (!(p.tau >= 0)) {
        return Status::Error(StatusCode::kInvalidArgument, "tau is %g, expected 0 (no channel is skipped) or more",
                             static_cast<double>(p.tau));
    }
    if (p.up.layout != WeightLayout::kPanels || p.down.layout != WeightLayout::kPanels || p.up_channels.layout != WeightLayout::kRows ||
        p.down_channels.layout != WeightLayout::kRows) {
        return Status::Error(StatusCode::kInvalidArgument, "up and down must lie in panels, up_channels and down_channels in rows");
    }
    if (p.up.type != p.down.type || p.up.type != p.up_channels.type || p.up.type != p.down_channels.type) {
        return Status::Error(StatusCode::kInvalidArgument, "up, down, up_channels and down_channels must have one type");
    }
    if (p.m > 0 && (p.sparse_rows == nullptr || (p.hidden > 0 && (p.x == nullptr || p.y == nullptr)) ||
                    (p.inner > 0 &&
                     (p.activation == nullptr || (p.hidden > 0 && (p.up.data == nullptr || p.down.data == nullptr ||
                                                                   p.up_channels.data == nullptr || p.down_channels.data == nullptr)))))) {
        return Status::Error(StatusCode::kInvalidArgument, "x, activation, the weights, sparse_rows and y must not be null");
    }
    return {};
}

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }
int64_t HiddenStride(const SparseGatedMlpArguments& p) { return CeilDivide(p.inner, kChannelBlock) * kChannelBlock; }
int64_t Cuts(const SparseGatedMlpArguments& p) { return CeilDivide(p.inner, kChannelCut); }

Status Whole(CpuPath path, const SparseGatedMlpArguments& p, float* h, const ParallelFor& parallel) {
    MatMulArguments up;
    up.m = p.m, up.n = p.inner, up.k = p.hidden, up.a = p.x, up.b = p.up, up.bias = p.up_bias, up.y = h;
    if (Status status = MatMul(path, up, parallel); !status.ok()) {
        return status;
    }
    For(Unless(p.m * p.inner < kInlineWork, parallel), static_cast<size_t>(p.m), [&](size_t row) {
        const float* activation = p.activation + static_cast<int64_t>(row) * p.inner;
        float* to = h + static_cast<int64_t>(row) * p.inner;
        float tau = p.sparse_rows[row] != 0 ? p.tau : 0;  // no magnitude is below 0
        for (int64_t i = 0; i < p.inner; i++) {
            to[i] = std::fabs(activation[i]) < tau ? 0 : activation[i] * to[i];
        }
    });
    MatMulArguments down;
    down.m = p.m, down.n = p.hidden, down.k = p.inner, down.a = h, down.b = p.down, down.bias = p.down_bias, down.residual = p.residual;
    down.y = p.y;
    return MatMul(path, down, parallel);
}

// Whether all rows are sparse and few channels are kept; then which.
bool ListChannels(const SparseGatedMlpArguments& p, uint8_t* kept, int32_t* channel, int32_t* cut, LiveChannels* live) {
    if (!(p.tau > 0) || p.inner == 0 || p.hidden == 0) {
        return false;
    }
    for (int64_t row = 0; row < p.m; row++) {
        if (p.sparse_rows[row] == 0) {
            return false;
        }
    }
    std::memset(kept, 0, static_cast<size_t>(p.inner));
    for (int64_t row = 0; row < p.m; row++) {
        const float* activation = p.activation + row * p.inner;
        for (int64_t i = 0; i < p.inner; i++) {
            kept[i] = static_cast<uint8_t>(kept[i] | (std::fabs(activation[i]) < p.tau ? 0 : 1));
        }
    }
    int64_t count = 0;
    for (int64_t i = 0; i < p.inner; i++) {
        if (i % kChannelCut == 0) {
            cut[i / kChannelCut] = static_cast<int32_t>(count);
        }
        channel[count] = static_cast<int32_t>(i);
        count += kept[i];
    }
    cut[Cuts(p)] = static_cast<int32_t>(count);
    live->count = count, live->channel = channel, live->cut = cut;
    live->stride = CeilDivide(count, kChannelBlock) * kChannelBlock;
    double most = p.up.type == WeightType::kFloat32 ? kMostLive : kMostLiveHalves;
    return static_cast<double>(count) <= most * static_cast<double>(p.inner);
}

}  // namespace

size_t SparseGatedMlpWorkspace(const SparseGatedMlpArguments& p) {
    if (!Check(p).ok()) {
        return 0;  // SparseGatedMlp refuses them before it touches the workspace
    }
    return Aligned(static_cast<size_t>(p.m) * static_cast<size_t>(HiddenStride(p)) * sizeof(float)) +
           Aligned(static_cast<size_t>(p.inner)) + Aligned(static_cast<size_t>(p.inner + 1) * sizeof(int32_t)) +
           Aligned(static_cast<size_t>(Cuts(p) + 1) * sizeof(int32_t));
}

Status SparseGatedMlp(CpuPath path, const SparseGatedMlpArguments& p, void* workspace, const ParallelFor& parallel) {
    if (Status status = Check(p); !status.ok()) {
        return status;
    }
    if (p.m == 0 || p.hidden == 0) {
        return {};
    }
    char* at = static_cast<char*>(workspace);
    auto take = [&](size_t bytes) {
        void* here = at;
        at += Aligned(bytes);
        return here;
    };
    float* h = static_cast<float*>(take(static_cast<size_t>(p.m) * static_cast<size_t>(HiddenStride(p)) * sizeof(float)));
    uint8_t* kept = static_cast<uint8_t*>(take(static_cast<size_t>(p.inner)));
    int32_t* channel = static_cast<int32_t*>(take(static_cast<size_t>(p.inner + 1) * sizeof(int32_t)));
    int32_t* cut = static_cast<int32_t*>(take(static_cast<size_t>(Cuts(p) + 1) * sizeof(int32_t)));
    LiveChannels live;
    live.h = h;
    if (path == CpuPath::kReference || !ListChannels(p, kept, channel, cut, &live)) {
        return Whole(path, p, h, parallel);
    }
    switch (path) {
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            SparseChannelsAvx2(p, live, parallel);
            return {};
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            SparseChannelsAvx512(p, live, parallel);
            return {};
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            SparseChannelsNeon(p, live, parallel);
            return {};
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
}

}  // namespace longcat
