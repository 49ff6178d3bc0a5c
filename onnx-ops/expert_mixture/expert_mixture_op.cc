#include "expert_mixture_op.h"

namespace longcat::ops {

ExpertMixtureOp::ExpertMixtureOp(const Attributes& attributes) : path_(SelectPath()), layout_(attributes.Layout("layout")) {
    if (layout_ == WeightLayout::kPanels) {
        attributes_.intermediate = attributes.Positive("intermediate_size");
    }
    attributes_.top_k = attributes.Positive("top_k");
    attributes_.experts = attributes.Positive("num_experts");
    int64_t zero = attributes.Integer("num_zero_experts");
    if (zero < 0 || zero > INT32_MAX - attributes_.experts) {
        Fail("attribute num_zero_experts is %lld, expected 0 or more", static_cast<long long>(zero));
    }
    attributes_.zero_experts = static_cast<int>(zero);
    attributes_.routed_scaling_factor = attributes.Number("routed_scaling_factor");
    attributes_.normalize = attributes.Integer("normalize") != 0;
    std::string type = attributes.String("zero_expert_type");
    if (type != "identity" && type != "drop") {
        Fail("attribute zero_expert_type is '%s', expected 'identity' or 'drop'", type.c_str());
    }
    attributes_.identity = type == "identity";
    if (attributes_.top_k > attributes_.experts + attributes_.zero_experts) {
        Fail("attribute top_k is %d, expected 1..%d (num_experts + num_zero_experts)", attributes_.top_k,
             attributes_.experts + attributes_.zero_experts);
    }
}

void ExpertMixtureOp::Compute(Context& context) const {
    ExpertMixtureArguments p = attributes_;
    int64_t experts = p.experts, all = experts + p.zero_experts;
    Input x = context.In(0, "x"), gate = context.In(3, "gate");
    x.HasRank(2);
    p.tokens = x.Dimension(0);
    p.hidden = x.Dimension(1);
    if (layout_ == WeightLayout::kRows) {
        gate.HasShape({experts, -1, p.hidden});
        p.intermediate = gate.Dimension(1);
    }
    p.x = x.Floats();
    p.router = context.In(1, "router").HasShape({all, p.hidden}).Floats();
    if (context.HasInput(2)) {
        p.correction_bias = context.In(2, "correction_bias").HasShape({all}).Floats();
    }
    auto stack = [&](const Input& input, int64_t outputs, int64_t inputs) {
        Weights weights = input.AsWeights();
        weights.layout = layout_;
        Shape shape = layout_ == WeightLayout::kRows ? Shape{outputs, inputs} : PanelShape(weights.type, outputs, inputs);
        shape.insert(shape.begin(), experts);
        input.HasShape(shape);
        return weights;
    };
    p.gate = stack(gate, p.intermediate, p.hidden);
    p.up = stack(context.In(4, "up"), p.intermediate, p.hidden);
    p.down = stack(context.In(5, "down"), p.hidden, p.intermediate);
    p.y = static_cast<float*>(context.Out(0, {p.tokens, p.hidden}));
    p.selected = static_cast<int32_t*>(context.OptionalOut(1, {p.tokens, p.top_k}));
    p.inner = static_cast<float*>(context.OptionalOut(2, {p.tokens, p.top_k, p.intermediate}));
    Check(ExpertMixture(path_, p, context.Scratch(ExpertMixtureWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
