#include "expert_mixture_op.h"

#include <algorithm>

#include "../quantized_rows/quantized_rows.h"

namespace longcat::ops {

ExpertMixtureOp::ExpertMixtureOp(const Attributes& attributes)
    : path_(SelectPath()), layout_(static_cast<int>(attributes.OneOf("layout", {kRows, kPanels, kW4A8}, kRows))) {
    if (layout_ != kRows) {
        attributes_.intermediate = attributes.Positive("intermediate_size");
    }
    if (layout_ == kW4A8) {
        ReadW4A8Attributes(attributes);
    }
    sparse_layer_ = attributes.Integer("sparse_layer", 0);
    if (sparse_layer_ < 0) {
        Fail("attribute sparse_layer is %lld, expected 0 or more", static_cast<long long>(sparse_layer_));
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

void ExpertMixtureOp::ReadW4A8Attributes(const Attributes& attributes) {
    attributes_.hidden = attributes.Positive("hidden_size");
    w4a8_.group = GroupSize(attributes);
    w4a8_.group_scale_bytes = static_cast<int>(attributes.OneOf("group_scale_bytes", {0, 1, 2}, 0));
    int64_t longest = std::max(attributes_.hidden, attributes_.intermediate);
    if (w4a8_.group_scale_bytes == 0 && w4a8_.group > 0 && w4a8_.group < longest) {
        Fail("attribute group_scale_bytes is 0 with group_size %lld, expected 1 or 2: several groups have scales of their own",
             static_cast<long long>(w4a8_.group));
    }
    // What a group scale of 1 gives; with larger ones the exporter has shown that the sums fit.
    if (int64_t most = ((int64_t{1} << 31) - 1) / (127 * 8); longest > most) {
        Fail("attribute %s is %lld: sums of so many products do not fit 32 bits, expected at most %lld",
             longest == attributes_.hidden ? "hidden_size" : "intermediate_size", static_cast<long long>(longest),
             static_cast<long long>(most));
    }
}

void ExpertMixtureOp::ReadFloatExperts(const Context& context, ExpertMixtureArguments& p) const {
    for (size_t scale = 6; scale <= 8; scale++) {
        if (context.HasInput(scale)) {
            Fail("input %zu (%s) belongs to layout %d, expected none with layout %d", scale, kInputs[scale].name, kW4A8, layout_);
        }
    }
    Input gate = context.In(3, "gate");
    if (layout_ == kRows) {
        gate.HasShape({p.experts, -1, p.hidden});
        p.intermediate = gate.Dimension(1);
    }
    auto stack = [&](const Input& input, int64_t outputs, int64_t inputs) {
        Weights weights = input.AsWeights();
        weights.layout = static_cast<WeightLayout>(layout_);
        Shape shape = layout_ == kRows ? Shape{outputs, inputs} : PanelShape(weights.type, outputs, inputs);
        shape.push_front(p.experts);
        input.HasShape(shape);
        return weights;
    };
    p.gate = stack(gate, p.intermediate, p.hidden);
    p.up = stack(context.In(4, "up"), p.intermediate, p.hidden);
    p.down = stack(context.In(5, "down"), p.hidden, p.intermediate);
}

void ExpertMixtureOp::ReadW4A8Experts(const Context& context, const ExpertMixtureArguments& p, W4A8Experts& experts) const {
    auto stack = [&](size_t index, const W4A8Layout& layout) {
        int64_t bytes = W4A8PanelBytes(layout), panels = W4A8PackedBytes(layout) / bytes;
        return context.In(index, kInputs[index].name).HasShape({p.experts, panels, bytes}).Bytes();
    };
    auto scales = [&](size_t index, int64_t outputs) {
        return context.In(index, kInputs[index].name).HasShape({p.experts, outputs}).Floats();
    };
    experts.gate = stack(3, GateLayout(p)), experts.gate_scale = scales(6, p.intermediate);
    experts.up = stack(4, GateLayout(p)), experts.up_scale = scales(7, p.intermediate);
    experts.down = stack(5, DownLayout(p)), experts.down_scale = scales(8, p.hidden);
}

bool ExpertMixtureOp::ReadAdapters(const Context& context, const ExpertMixtureArguments& p, ExpertAdapters& adapters) const {
    constexpr size_t kFirst = 9, kRowAdapter = 15, kFirstStart = 16, kFirstGain = 19;
    ExpertLowRank* all[] = {&adapters.gate, &adapters.up, &adapters.down};
    bool any = false, counted = false;
    for (size_t i = 0; i < 3; i++) {
        size_t start = kFirstStart + i;
        if (!context.HasInput(start)) {
            continue;
        }
        Input input = context.In(start, kInputs[start].name);
        input.HasRank(1);
        if (input.Dimension(0) < 1) {
            Fail("input %zu (%s) is empty, expected a number more than there are adapters", start, kInputs[start].name);
        }
        adapters.count = counted ? adapters.count : input.Dimension(0) - 1;
        input.HasShape({adapters.count + 1});
        all[i]->start = input.Ints();
        counted = any = true;
    }
    for (size_t i = 0; i < 3; i++) {
        size_t a = kFirst + 2 * i, gain = kFirstGain + i;
        int64_t k = i < 2 ? p.hidden : p.intermediate, n = i < 2 ? p.intermediate : p.hidden;
        if (context.HasInput(a) != context.HasInput(a + 1)) {
            Fail("input %zu (%s) and input %zu (%s) belong together, expected both or none", a, kInputs[a].name, a + 1,
                 kInputs[a + 1].name);
        }
        if (context.HasInput(a)) {
            Input low = context.In(a, kInputs[a].name).HasShape({p.experts, k, -1});
            all[i]->ranks = low.Dimension(2), all[i]->a = low.Floats();
            all[i]->b = context.In(a + 1, kInputs[a + 1].name).HasShape({p.experts, all[i]->ranks, n}).Floats();
            any = true;
        }
        if (context.HasInput(gain)) {
            all[i]->gain = context.In(gain, kInputs[gain].name).HasShape({p.experts, adapters.count, n}).Floats();
            any = true;
        }
    }
    if (context.HasInput(kRowAdapter)) {
        adapters.row_adapter = context.In(kRowAdapter, "row_adapter").HasShape({p.tokens}).Ints();
    }
    return any;
}

bool ExpertMixtureOp::ReadSkipping(const Context& context, const ExpertMixtureArguments& p, ExpertSkipping& skipping) const {
    constexpr size_t kSparseRows = 22, kMost = 23, kBetas = 24;
    bool any = false;
    for (size_t i = kSparseRows; i <= kBetas; i++) {
        any = any || context.HasInput(i);
    }
    for (size_t i = kSparseRows; any && i <= kBetas; i++) {
        if (!context.HasInput(i)) {
            Fail("input %zu (%s) is missing, expected sparse_rows, sparse_experts and sparse_expert_betas together or none of them", i,
                 kInputs[i].name);
        }
    }
    if (!any) {
        return false;
    }
    skipping.rows = context.In(kSparseRows, "sparse_rows").HasShape({p.tokens}).Bytes();
    skipping.most = context.In(kMost, "sparse_experts").HasShape({1}).Ints()[0];
    if (skipping.most < 0 || skipping.most >= p.top_k) {
        Fail("input %zu (sparse_experts) is %d, expected 0..%d (top_k - 1)", kMost, skipping.most, p.top_k - 1);
    }
    Input betas = context.In(kBetas, "sparse_expert_betas");
    betas.HasShape({-1, p.top_k - 1});
    if (betas.Dimension(0) <= sparse_layer_) {
        Fail("input %zu (sparse_expert_betas) has shape %s, expected a row for every mixture: this one reads row %lld", kBetas,
             Text(betas.shape()).c_str(), static_cast<long long>(sparse_layer_));
    }
    skipping.betas = betas.Floats() + sparse_layer_ * (p.top_k - 1);
    return true;
}

void ExpertMixtureOp::Compute(Context& context) const {
    ExpertMixtureArguments p = attributes_;
    int64_t all = int64_t{p.experts} + p.zero_experts;
    Input x = context.In(0, "x");
    if (layout_ == kW4A8) {
        x.HasShape({-1, p.hidden});
    } else {
        x.HasRank(2);
    }
    p.tokens = x.Dimension(0);
    p.hidden = x.Dimension(1);
    p.x = x.Floats();
    p.router = context.In(1, "router").HasShape({all, p.hidden}).Floats();
    if (context.HasInput(2)) {
        p.correction_bias = context.In(2, "correction_bias").HasShape({all}).Floats();
    }
    W4A8Experts experts = w4a8_;
    if (layout_ == kW4A8) {
        p.w4a8 = &experts;
        ReadW4A8Experts(context, p, experts);
    } else {
        ReadFloatExperts(context, p);
    }
    ExpertAdapters adapters;
    if (ReadAdapters(context, p, adapters)) {
        p.adapters = &adapters;
    }
    ExpertSkipping skipping;
    if (ReadSkipping(context, p, skipping)) {
        p.skipping = &skipping;
    }
    p.y = static_cast<float*>(context.Out(0, {p.tokens, p.hidden}));
    p.selected = static_cast<int32_t*>(context.OptionalOut(1, {p.tokens, p.top_k}));
    p.inner = static_cast<float*>(context.OptionalOut(2, {p.tokens, p.top_k, p.intermediate}));
    p.shares = static_cast<float*>(context.OptionalOut(3, {p.tokens, p.top_k}));
    Check(ExpertMixture(path_, p, context.Scratch(ExpertMixtureWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
