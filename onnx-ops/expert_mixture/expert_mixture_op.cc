#include "expert_mixture_op.h"

namespace longcat::ops {

ExpertMixtureOp::ExpertMixtureOp(const Attributes& attributes) : path_(SelectPath()) {
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
    gate.HasShape({experts, -1, p.hidden});
    p.intermediate = gate.Dimension(1);
    p.x = x.Floats();
    p.router = context.In(1, "router").HasShape({all, p.hidden}).Floats();
    if (context.HasInput(2)) {
        p.correction_bias = context.In(2, "correction_bias").HasShape({all}).Floats();
    }
    p.gate = gate.AsWeights();
    p.up = context.In(4, "up").HasShape({experts, p.intermediate, p.hidden}).AsWeights();
    p.down = context.In(5, "down").HasShape({experts, p.hidden, p.intermediate}).AsWeights();
    p.y = static_cast<float*>(context.Out(0, {p.tokens, p.hidden}));
    Check(ExpertMixture(path_, p, context.Scratch(ExpertMixtureWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
