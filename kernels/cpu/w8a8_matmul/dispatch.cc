#include <cstring>

#include "../common/dot_product.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kMostSize = int64_t{1} << 31;

Status Check(const W8A8MatMulArguments& p) {
    using L = long long;
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.m > kMostSize || p.n > kMostSize) {
        return Status::Error(StatusCode::kInvalidArgument, "sizes m %lld, n %lld, k %lld: expected 0..2^31", L{p.m}, L{p.n}, L{p.k});
    }
    if (p.k > kW8A8MostInputs) {
        return Status::Error(StatusCode::kInvalidArgument, "k is %lld, expected at most %lld: sums of more products need not fit 32 bits",
                             L{p.k}, L{kW8A8MostInputs});
    }
    if (p.activation_bits != 8 && p.activation_bits != 16) {
        return Status::Error(StatusCode::kInvalidArgument, "activation_bits is %d, expected 8 or 16", p.activation_bits);
    }
    if (p.x != nullptr && p.xq != nullptr) {
        return Status::Error(StatusCode::kInvalidArgument, "both x and xq are given, expected one of them");
    }
    if (p.xq != nullptr && p.activation_bits == 16) {
        return Status::Error(StatusCode::kInvalidArgument, "activation_bits is 16 beside xq, whose values have 8");
    }
    if (p.m == 0 || p.n == 0) {
        return {};
    }
    if (p.y == nullptr || p.scale == nullptr || (p.k > 0 && ((p.x == nullptr && p.xq == nullptr) || p.weights == nullptr))) {
        return Status::Error(StatusCode::kInvalidArgument, "x (or xq), weights, scale and y must not be null");
    }
    if (p.xq != nullptr && (p.x_scale == nullptr || p.x_sums == nullptr)) {
        return Status::Error(StatusCode::kInvalidArgument, "x_scale and x_sums must not be null beside xq");
    }
    return {};
}

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t W8A8PanelBytes(int64_t k) { return CeilDivide(k, 4) * 4 * kW8A8PanelColumns; }

int64_t W8A8PackedBytes(int64_t n, int64_t k) { return CeilDivide(n, kW8A8PanelColumns) * W8A8PanelBytes(k); }

void W8A8Pack(int64_t n, int64_t k, const int8_t* q, uint8_t* packed) {
    std::memset(packed, 128, static_cast<size_t>(W8A8PackedBytes(n, k)));
    for (int64_t i = 0; i < n; i++) {
        uint8_t* column = packed + i / kW8A8PanelColumns * W8A8PanelBytes(k) + i % kW8A8PanelColumns * 4;
        for (int64_t j = 0; j < k; j++) {
            column[j / 4 * 4 * kW8A8PanelColumns + j % 4] = static_cast<uint8_t>(q[i * k + j] + 128);
        }
    }
}

int8_t W8A8Weight(int64_t k_total, const uint8_t* packed, int64_t n, int64_t k) {
    const uint8_t* column = packed + n / kW8A8PanelColumns * W8A8PanelBytes(k_total) + n % kW8A8PanelColumns * 4;
    return static_cast<int8_t>(column[k / 4 * 4 * kW8A8PanelColumns + k % 4] - 128);
}

W8A8Plan PlanW8A8(const W8A8MatMulArguments& p) {
    W8A8Plan plan;
    plan.depth = CeilDivide(p.k, 4) * 4;
    plan.digits = p.activation_bits / 8;
    plan.rows = Aligned(static_cast<size_t>(p.m) * sizeof(float));
    plan.bytes = plan.rows + Aligned(static_cast<size_t>(p.m * plan.digits * (1 + plan.depth / 4)) * sizeof(int32_t));
    return plan;
}

size_t W8A8MatMulWorkspace(const W8A8MatMulArguments& p) { return Check(p).ok() ? PlanW8A8(p).bytes : 0; }

Status W8A8MatMul(CpuPath path, const W8A8MatMulArguments& p, [[maybe_unused]] void* workspace, const ParallelFor& parallel) {
    if (Status status = Check(p); !status.ok()) {
        return status;
    }
    if (p.m == 0 || p.n == 0) {
        return {};
    }
    switch (path) {
        case CpuPath::kReference:
            W8A8MatMulReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
            W8A8MatMulAvx2(p, workspace, parallel);
            break;
        case CpuPath::kAvxVnni:
            W8A8MatMulAvxVnni(p, workspace, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            HasAvx512Vnni() ? W8A8MatMulVnni(p, workspace, parallel) : W8A8MatMulAvx2(p, workspace, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            HasNeonDotProduct() ? W8A8MatMulNeonDot(p, workspace, parallel) : W8A8MatMulReference(p, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
