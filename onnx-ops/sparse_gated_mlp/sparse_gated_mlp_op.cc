#include "sparse_gated_mlp_op.h"

namespace longcat::ops {

void SparseGatedMlpOp::Compute(Context& context) const {
    constexpr size_t kUpBias = 6, kDownBias = 7, kResidual = 8, kSparseRows = 9, kTau = 10;
    SparseGatedMlpArguments p;
    Input x = context.In(0, "x"), activation = context.In(1, "activation");
    p.hidden = hidden_, p.inner = inner_;
    if (x.shape().empty() || x.shape().back() != hidden_) {
        Fail("input 0 (x) has shape %s, expected its last dimension to be %lld (hidden_size)", Text(x.shape()).c_str(),
             static_cast<long long>(hidden_));
    }
    Shape shape = x.shape(), inner = x.shape();
    inner.pop_back();
    p.m = Product(inner);
    inner.push_back(inner_);
    p.x = x.Floats(), p.activation = activation.HasShape(inner).Floats();

    WeightType type = context.In(2, "up").AsWeights().type;
    auto weights = [&](size_t index, const Shape& expected, WeightLayout layout) {
        Input input = context.In(index, kInputs[index].name);
        Weights result = input.AsWeights();
        if (result.type != type) {
            Fail("input %zu (%s) and input 2 (up) have two types, expected one", index, kInputs[index].name);
        }
        input.HasShape(expected);
        result.layout = layout;
        return result;
    };
    p.up = weights(2, PanelShape(type, p.inner, p.hidden), WeightLayout::kPanels);
    p.down = weights(3, PanelShape(type, p.hidden, p.inner), WeightLayout::kPanels);
    p.up_channels = weights(4, {p.inner, ChannelStride(p.hidden)}, WeightLayout::kRows);
    p.down_channels = weights(5, {p.inner, ChannelStride(p.hidden)}, WeightLayout::kRows);

    auto optional = [&](size_t index, const Shape& expected) {
        return context.HasInput(index) ? context.In(index, kInputs[index].name).HasShape(expected).Floats() : nullptr;
    };
    p.up_bias = optional(kUpBias, {p.inner});
    p.down_bias = optional(kDownBias, {p.hidden});
    p.residual = optional(kResidual, shape);
    for (size_t index : {kSparseRows, kTau}) {
        if (!context.HasInput(index)) {
            Fail("input %zu (%s) is missing", index, kInputs[index].name);
        }
    }
    p.sparse_rows = context.In(kSparseRows, "sparse_rows").HasShape({p.m}).Bytes();
    p.tau = context.In(kTau, "tau").HasShape({1}).Floats()[0];
    if (!(p.tau >= 0)) {
        Fail("input %zu (tau) is %g, expected 0 (no channel is skipped) or more", kTau, static_cast<double>(p.tau));
    }
    p.y = static_cast<float*>(context.Out(0, shape));
    Check(SparseGatedMlp(path_, p, context.Scratch(SparseGatedMlpWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
