#include "quantized_rows.h"

#include <cmath>

namespace longcat::ops {
namespace {

constexpr int64_t kMostColumns = int64_t{1} << 24;

}  // namespace

int64_t GroupSize(const Attributes& attributes) {
    int64_t size = attributes.Integer("group_size", 0);
    if (size < 0 || size % 8 != 0 || size > kMostColumns) {
        Fail("attribute group_size is %lld, expected 0 (one group) or a multiple of 8 up to %lld", static_cast<long long>(size),
             static_cast<long long>(kMostColumns));
    }
    return size;
}

float ActivationScale(const Attributes& attributes) {
    float scale = attributes.Number("activation_scale", 0);
    if (!(scale == 0 || scale >= 0x1p-100f) || !std::isfinite(scale)) {
        Fail("attribute activation_scale is %g, expected a number of at least 2^-100, or 0 for dynamic scales", static_cast<double>(scale));
    }
    return scale;
}

int64_t InFeatures(const Attributes& attributes) {
    int64_t features = attributes.Positive("in_features");
    if (features > kMostColumns) {
        Fail("attribute in_features is %lld, expected 1..%lld", static_cast<long long>(features), static_cast<long long>(kMostColumns));
    }
    return features;
}

RowQuantizer::RowQuantizer(const Attributes& attributes) : group_size_(GroupSize(attributes)), static_scale_(ActivationScale(attributes)) {}

QuantizedRows RowQuantizer::Outputs(const Context& context, int64_t m, int64_t k) const {
    if (k > kMostColumns) {
        Fail("rows of %lld values, expected at most %lld", static_cast<long long>(k), static_cast<long long>(kMostColumns));
    }
    QuantizedRows rows;
    rows.m = m, rows.k = k, rows.group = GroupOf(group_size_, k), rows.static_scale = static_scale_;
    rows.a = static_cast<int8_t*>(context.Out(0, {m, k}));
    rows.scale = static_cast<float*>(context.Out(1, {m}));
    rows.sums = static_cast<int32_t*>(context.OptionalOut(2, {m, (k + rows.group - 1) / rows.group}));
    return rows;
}

}  // namespace longcat::ops
