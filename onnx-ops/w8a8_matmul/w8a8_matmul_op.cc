#include "w8a8_matmul_op.h"

namespace longcat::ops {

Shape Int8PanelShape(int64_t out_features, int64_t in_features) {
    return {(out_features + kW8A8PanelColumns - 1) / kW8A8PanelColumns, (in_features + 3) / 4, kW8A8PanelColumns, 4};
}

W8A8MatMulOp::W8A8MatMulOp(const Attributes& attributes)
    : path_(SelectPath()),
      in_features_(attributes.Positive("in_features")),
      out_features_(attributes.Positive("out_features")),
      activation_bits_(static_cast<int>(attributes.OneOf("activation_bits", {8, 16}, 8))) {
    attributes.OneOf("layout", {1}, 1);
    if (in_features_ > kW8A8MostInputs) {
        Fail("attribute in_features is %lld: sums of so many products do not fit 32 bits, expected at most %lld",
             static_cast<long long>(in_features_), static_cast<long long>(kW8A8MostInputs));
    }
}

void W8A8MatMulOp::Compute(Context& context) const {
    Input a = context.In(0, "A");
    Shape shape = a.shape();
    if (shape.empty() || shape.back() != in_features_) {
        Fail("input 0 (A) has shape %s, expected its last dimension to be %lld (attribute in_features)", Text(shape).c_str(),
             static_cast<long long>(in_features_));
    }
    shape.pop_back();
    W8A8MatMulArguments p;
    p.m = Product(shape), p.n = out_features_, p.k = in_features_, p.activation_bits = activation_bits_;
    shape.push_back(out_features_);
    p.x = a.Floats();
    p.weights = context.In(1, "B").HasShape(Int8PanelShape(out_features_, in_features_)).Bytes();
    p.scale = context.In(2, "scale").HasShape({out_features_}).Floats();
    if (context.HasInput(3)) {
        p.bias = context.In(3, "bias").HasShape({out_features_}).Floats();
    }
    p.y = static_cast<float*>(context.Out(0, shape));
    Check(W8A8MatMul(path_, p, context.Scratch(W8A8MatMulWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
