#include "rms_norm_quantize_op.h"

#include <cmath>

namespace longcat::ops {

RmsNormQuantizeOp::RmsNormQuantizeOp(const Attributes& attributes)
    : path_(SelectPath()), quantizer_(attributes), epsilon_(attributes.Number("epsilon")), weight_(attributes.Constant(1, "weight")) {
    if (!(epsilon_ >= 0) || !std::isfinite(epsilon_)) {
        Fail("attribute epsilon is %g, expected 0 or more", static_cast<double>(epsilon_));
    }
}

void RmsNormQuantizeOp::Compute(Context& context) const {
    Input x = context.In(0, "x");
    x.HasRank(2);
    const Shape& shape = x.shape();
    RmsNormQuantizeArguments p;
    p.epsilon = epsilon_;
    p.x = x.Floats();
    p.weight = (weight_ ? *weight_ : context.In(1, "weight")).HasShape({shape[1]}).Floats();
    if (context.HasInput(2)) {
        p.skip = context.In(2, "skip").HasShape(shape).Floats();
    }
    p.rows = quantizer_.Outputs(context, shape[0], shape[1]);
    p.normed = static_cast<float*>(context.OptionalOut(3, shape));
    p.sum = static_cast<float*>(context.OptionalOut(4, shape));
    Check(RmsNormQuantize(path_, p, context.Scratch(QuantizeWorkspace(p.rows)), context.Threads()));
}

}  // namespace longcat::ops
