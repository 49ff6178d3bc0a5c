#include "matmul_op.h"

#include "longcat/matmul.h"

namespace longcat::ops {

void MatMulOp::Compute(Context& context) const {
    Input a = context.In(0, "A"), b = context.In(1, "B");
    b.HasRank(2);
    if (a.shape().empty() || a.shape().back() != b.Dimension(1)) {
        Fail("input 0 (A) has shape %s, expected its last dimension to be %lld (input 1 (B) has shape %s)", Text(a.shape()).c_str(),
             static_cast<long long>(b.Dimension(1)), Text(b.shape()).c_str());
    }

    MatMulArguments p;
    p.n = b.Dimension(0);
    p.k = b.Dimension(1);
    p.m = 1;
    Shape shape = a.shape();
    shape.pop_back();
    for (int64_t dimension : shape) {
        p.m *= dimension;
    }
    shape.push_back(p.n);

    p.a = a.Floats();
    p.b = b.AsWeights();
    if (context.HasInput(2)) {
        p.bias = context.In(2, "bias").HasShape({p.n}).Floats();
    }
    if (context.HasInput(3)) {
        p.residual = context.In(3, "residual").HasShape(shape).Floats();
    }
    p.y = static_cast<float*>(context.Out(0, shape));
    Check(MatMul(path_, p, context.Threads()));
}

}  // namespace longcat::ops
