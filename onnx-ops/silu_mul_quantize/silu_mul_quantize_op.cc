#include "silu_mul_quantize_op.h"

namespace longcat::ops {

SiluMulQuantizeOp::SiluMulQuantizeOp(const Attributes& attributes) : path_(SelectPath()), quantizer_(attributes) {}

void SiluMulQuantizeOp::Compute(Context& context) const {
    Input gate = context.In(0, "gate");
    gate.HasRank(2);
    const Shape& shape = gate.shape();
    SiluMulQuantizeArguments p;
    p.gate = gate.Floats();
    p.up = context.In(1, "up").HasShape(shape).Floats();
    p.rows = quantizer_.Outputs(context, shape[0], shape[1]);
    p.value = static_cast<float*>(context.OptionalOut(3, shape));
    Check(SiluMulQuantize(path_, p, context.Scratch(QuantizeWorkspace(p.rows)), context.Threads()));
}

}  // namespace longcat::ops
