#include "check.h"

#include <cmath>

namespace longcat {

Status CheckW4A8Sizes(const W4A8MatMulArguments& p, const W4A8Limits& limits) {
    using L = long long;
    const W4A8Layout& layout = p.layout;
    if (p.m < 0 || layout.n < 0 || layout.k < 0 || p.m > limits.most || layout.n > limits.most || layout.k > limits.most) {
        return Status::Error(StatusCode::kInvalidArgument, "sizes m %lld, n %lld, k %lld: expected 0..%lld", L{p.m}, L{layout.n}, L{layout.k},
                             L{limits.most});
    }
    if (layout.group < 8 || layout.group % 8 != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "group is %lld, expected a multiple of 8", L{layout.group});
    }
    if (layout.group_scale_bytes < 0 || layout.group_scale_bytes > 2) {
        return Status::Error(StatusCode::kInvalidArgument, "group_scale_bytes is %d, expected 0, 1 or 2", layout.group_scale_bytes);
    }
    if (layout.group_scale_bytes == 0 && layout.group < layout.k) {
        return Status::Error(StatusCode::kInvalidArgument, "group is %lld without group scales, expected one group of at least k = %lld",
                             L{layout.group}, L{layout.k});
    }
    return {};
}

Status CheckW4A8(const W4A8MatMulArguments& p, const W4A8Limits& limits) {
    if (Status status = CheckW4A8Sizes(p, limits); !status.ok()) {
        return status;
    }
    if (!(p.static_scale >= 0) || !std::isfinite(p.static_scale)) {
        return Status::Error(StatusCode::kInvalidArgument, "the static scale is %g, expected a positive number, or 0 for dynamic scales",
                             static_cast<double>(p.static_scale));
    }
    if (p.x != nullptr && p.xq != nullptr) {
        return Status::Error(StatusCode::kInvalidArgument, "both x and xq are given, expected one of them");
    }
    if (p.xq != nullptr && p.static_scale > 0) {
        return Status::Error(StatusCode::kInvalidArgument, "the static scale is %g beside quantized rows, which bring their own scales",
                             static_cast<double>(p.static_scale));
    }
    if (p.m == 0 || p.layout.n == 0) {
        return {};
    }
    if (p.y == nullptr || p.scale == nullptr || (p.layout.k > 0 && ((p.x == nullptr && p.xq == nullptr) || p.weights == nullptr))) {
        return Status::Error(StatusCode::kInvalidArgument, "x (or xq), weights, scale and y must not be null");
    }
    if (p.xq != nullptr && (p.x_scale == nullptr || (limits.sums && p.x_sums == nullptr))) {
        return Status::Error(StatusCode::kInvalidArgument, "%s must not be null beside xq", limits.sums ? "x_scale and x_sums" : "x_scale");
    }
    if (reinterpret_cast<uintptr_t>(p.weights) % limits.alignment != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "weights lie at %p, expected an address that is a multiple of %zu",
                             static_cast<const void*>(p.weights), limits.alignment);
    }
    return {};
}

}  // namespace longcat
