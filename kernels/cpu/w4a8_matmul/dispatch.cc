#include <cstdlib>

#include "../common/dot_product.h"
#include "check.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr W4A8Limits kLimits = {int64_t{1} << 31, true, 1};

// k of the packed form: every group filled up to whole steps. Only the last one can be short.
int64_t PackedDepth(const W4A8Layout& layout) { return CeilDivide(layout.k, kW4A8StepDepth) * kW4A8StepDepth; }

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t W4A8Groups(const W4A8Layout& layout) { return CeilDivide(layout.k, layout.group); }

int64_t W4A8PanelBytes(const W4A8Layout& layout) {
    return PackedDepth(layout) / kW4A8StepDepth * 256 + W4A8Groups(layout) * layout.group_scale_bytes * kW4A8PanelColumns;
}

int64_t W4A8PackedBytes(const W4A8Layout& layout) { return CeilDivide(layout.n, kW4A8PanelColumns) * W4A8PanelBytes(layout); }

void W4A8Pack(const W4A8Layout& layout, const int8_t* q, const int16_t* group_scales, uint8_t* packed) {
    int64_t groups = W4A8Groups(layout);
    for (int64_t panel = 0; panel * kW4A8PanelColumns < layout.n; panel++) {
        for (int64_t g = 0; g < groups; g++) {
            int64_t first = g * layout.group, length = Smaller(layout.group, layout.k - first);
            for (int64_t step = 0; step * kW4A8StepDepth < length; step++) {
                for (int64_t column = 0; column < kW4A8PanelColumns; column++) {
                    int64_t n = panel * kW4A8PanelColumns + column;
                    auto value = [&](int64_t i) { return n < layout.n && i < length ? q[n * layout.k + first + i] + 8 : 8; };
                    for (int64_t j = 0; j < 4; j++) {
                        packed[column * 4 + j] =
                            static_cast<uint8_t>(value(step * kW4A8StepDepth + j) | value(step * kW4A8StepDepth + 4 + j) << 4);
                    }
                }
                packed += 256;
            }
            for (int64_t column = 0; column < kW4A8PanelColumns && layout.group_scale_bytes > 0; column++) {
                int64_t n = panel * kW4A8PanelColumns + column;
                uint16_t scale = n < layout.n ? static_cast<uint16_t>(group_scales[n * groups + g]) : 0;
                packed[column * layout.group_scale_bytes] = static_cast<uint8_t>(scale);
                if (layout.group_scale_bytes == 2) {
                    packed[column * 2 + 1] = static_cast<uint8_t>(scale >> 8);
                }
            }
            packed += layout.group_scale_bytes * kW4A8PanelColumns;
        }
    }
}

int64_t W4A8Bound(const W4A8Layout& layout, const int16_t* group_scales) {
    if (group_scales == nullptr) {
        return 127 * 8 * layout.k;
    }
    int64_t groups = W4A8Groups(layout), most = 0;
    for (int64_t n = 0; n < layout.n; n++) {
        int64_t sum = 0;
        for (int64_t g = 0; g < groups; g++) {
            sum += Smaller(layout.group, layout.k - g * layout.group) * std::abs(int{group_scales[n * groups + g]});
        }
        most = Larger(most, 127 * 8 * sum);
    }
    return most;
}

W4A8Plan PlanW4A8(const W4A8MatMulArguments& p) {
    W4A8Plan plan;
    plan.groups = W4A8Groups(p.layout);
    plan.depth = PackedDepth(p.layout);
    plan.rows = Aligned(static_cast<size_t>(p.m) * sizeof(float));
    plan.bytes = plan.rows + Aligned(static_cast<size_t>(p.m * (plan.depth / 4 + plan.groups)) * sizeof(int32_t));
    return plan;
}

size_t W4A8MatMulWorkspace(const W4A8MatMulArguments& p) { return CheckW4A8Sizes(p, kLimits).ok() ? PlanW4A8(p).bytes : 0; }

Status W4A8MatMul(CpuPath path, const W4A8MatMulArguments& p, [[maybe_unused]] void* workspace, const ParallelFor& parallel) {
    if (Status status = CheckW4A8(p, kLimits); !status.ok()) {
        return status;
    }
    if (p.m == 0 || p.layout.n == 0) {
        return {};
    }
    switch (path) {
        case CpuPath::kReference:
            W4A8MatMulReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
            W4A8MatMulAvx2(p, workspace, parallel);
            break;
        case CpuPath::kAvxVnni:
            W4A8MatMulAvxVnni(p, workspace, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            // Processors with AVX-512 but without VNNI take the path of AVX2.
            HasAvx512Vnni() ? W4A8MatMulVnni(p, workspace, parallel) : W4A8MatMulAvx2(p, workspace, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            HasNeonDotProduct() ? W4A8MatMulNeonDot(p, workspace, parallel) : W4A8MatMulReference(p, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
