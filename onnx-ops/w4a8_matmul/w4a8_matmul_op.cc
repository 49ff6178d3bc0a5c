#include "w4a8_matmul_op.h"

#include "../quantized_rows/quantized_rows.h"

namespace longcat::ops {

W4A8MatMulOp::W4A8MatMulOp(const Attributes& attributes) : path_(SelectPath()), activation_scale_(ActivationScale(attributes)) {
    attributes.OneOf("layout", {1}, 1);
    int64_t group_size = GroupSize(attributes);
    layout_.n = attributes.Positive("out_features");
    layout_.k = InFeatures(attributes);
    layout_.group = GroupOf(group_size, layout_.k);
    layout_.group_scale_bytes = static_cast<int>(attributes.OneOf("group_scale_bytes", {0, 1, 2}, 0));
    if (layout_.group_scale_bytes == 0 && layout_.group < layout_.k) {
        Fail("attribute group_scale_bytes is 0 with group_size %lld, expected 1 or 2: several groups have scales of their own",
             static_cast<long long>(group_size));
    }
    if (layout_.group_scale_bytes == 0 && W4A8Bound(layout_, nullptr) >= int64_t{1} << 31) {
        Fail("attribute in_features is %lld: sums of so many products (up to %lld) do not fit 32 bits, expected at most %lld",
             static_cast<long long>(layout_.k), static_cast<long long>(W4A8Bound(layout_, nullptr)),
             static_cast<long long>(((int64_t{1} << 31) - 1) / (127 * 8)));
    }
    if (std::optional<Input> b = attributes.Constant(3, "B")) {
        panels_ = Panels(*b);
    }
    if (std::optional<Input> scale = attributes.Constant(4, "scale")) {
        scale_ = PerOutput(*scale);
    }
    if (std::optional<Input> bias = attributes.Constant(5, "bias")) {
        bias_ = PerOutput(*bias);
    }
}

const uint8_t* W4A8MatMulOp::Panels(const Input& b) const {
    return b.HasShape({(layout_.n + kW4A8PanelColumns - 1) / kW4A8PanelColumns, W4A8PanelBytes(layout_)}).Bytes();
}

const float* W4A8MatMulOp::PerOutput(const Input& scale_or_bias) const { return scale_or_bias.HasShape({layout_.n}).Floats(); }

void W4A8MatMulOp::ReadActivations(const Context& context, const Input& a, W4A8MatMulArguments& p) const {
    const bool quantized = a.IsSignedBytes();
    const bool given = context.HasInput(1) || context.HasInput(2);
    if (!quantized) {
        if (!a.IsFloats()) {
            a.RefuseType("float32 or int8");
        }
        if (given) {
            Fail("input 0 (A) is float32, expected int8 with inputs 1 (a_scale) and 2 (a_sums)");
        }
        p.x = a.Floats();
        p.static_scale = activation_scale_;
        return;
    }
    if (activation_scale_ != 0) {
        Fail("input 0 (A) is int8, expected float32 with attribute activation_scale %g", static_cast<double>(activation_scale_));
    }
    p.xq = a.SignedBytes();
    p.x_scale = context.In(1, "a_scale").HasShape({p.m}).Floats();
    p.x_sums = context.In(2, "a_sums").HasShape({p.m, W4A8Groups(layout_)}).Ints();
}

void W4A8MatMulOp::Compute(Context& context) const {
    Input a = context.In(0, "A");
    Shape shape = a.shape();
    if (shape.empty() || shape.back() != layout_.k) {
        Fail("input 0 (A) has shape %s, expected its last dimension to be %lld (attribute in_features)", Text(shape).c_str(),
             static_cast<long long>(layout_.k));
    }
    shape.pop_back();
    W4A8MatMulArguments p;
    p.m = Product(shape);
    shape.push_back(layout_.n);
    p.layout = layout_;
    ReadActivations(context, a, p);
    p.weights = panels_ != nullptr ? panels_ : Panels(context.In(3, "B"));
    p.scale = scale_ != nullptr ? scale_ : PerOutput(context.In(4, "scale"));
    p.bias = bias_ != nullptr ? bias_ : context.HasInput(5) ? PerOutput(context.In(5, "bias")) : nullptr;
    if (context.HasInput(6)) {
        p.residual = context.In(6, "residual").HasShape(shape).Floats();
    }
    p.y = static_cast<float*>(context.Out(0, shape));
    Check(W4A8MatMul(path_, p, context.Scratch(W4A8MatMulWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
