#include "lora_matmul_op.h"

namespace longcat::ops {

void LoraMatMulOp::Compute(Context& context) const {
    Input x = context.In(0, "x"), base = context.In(1, "base"), a = context.In(2, "A"), b = context.In(3, "B");
    a.HasRank(2);
    if (x.shape().empty() || x.shape().back() != a.Dimension(0)) {
        Fail("input 0 (x) has shape %s, expected its last dimension to be %lld (input 2 (A) has shape %s, [K, ranks]: transposed against PEFT)",
             Text(x.shape()).c_str(), static_cast<long long>(a.Dimension(0)), Text(a.shape()).c_str());
    }
    b.HasShape({a.Dimension(1), -1});
    LoraMatMulArguments p;
    p.k = a.Dimension(0), p.ranks = a.Dimension(1), p.n = b.Dimension(1);
    Shape shape = x.shape();
    shape.pop_back();
    p.m = Product(shape);
    shape.push_back(p.n);
    base.HasShape(shape);

    p.x = x.Floats(), p.base = base.Floats(), p.a = a.Floats(), p.b = b.Floats();
    if (context.HasInput(4)) {
        p.row_adapter = context.In(4, "row_adapter").HasShape({p.m}).Ints();
    }
    if (context.HasInput(5)) {
        Input start = context.In(5, "adapter_start");
        start.HasRank(1);
        if (start.Dimension(0) < 1) {
            Fail("input 5 (adapter_start) is empty, expected a number more than there are adapters");
        }
        p.adapters = start.Dimension(0) - 1;
        p.adapter_start = start.Ints();
    }
    if (context.HasInput(6)) {
        p.gain = context.In(6, "gain").HasShape({p.adapters, p.n}).Floats();
    }
    if (context.HasInput(7)) {
        p.bias = context.In(7, "bias").HasShape({p.n}).Floats();
    }
    if (context.HasInput(8)) {
        p.residual = context.In(8, "residual").HasShape(shape).Floats();
    }
    p.y = static_cast<float*>(context.Out(0, shape));
    Check(LoraMatMul(path_, p, context.Scratch(LoraMatMulWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
