#include "matmul_op.h"

namespace longcat::ops {

MatMulOp::MatMulOp(const Attributes& attributes) : path_(SelectPath()), layout_(attributes.Layout("layout")) {
    if (layout_ == WeightLayout::kPanels) {
        out_features_ = attributes.Positive("out_features");
    }
}

// Sizes out of panels.
void MatMulOp::FitPanels(const Input& a, const Input& b, MatMulArguments& p) const {
    WeightType type = b.AsWeights().type;
    bool pairs = type == WeightType::kBFloat16;
    b.HasShape(PanelShape(type, out_features_, -1));
    p.n = out_features_;
    p.k = a.shape().empty() ? -1 : a.shape().back();
    int64_t steps = b.Dimension(1);
    if (p.k < 0 || (pairs ? p.k / 2 + p.k % 2 : p.k) != steps) {
        std::string odd = pairs && steps > 0 ? std::to_string(2 * steps - 1) + " or " : "";
        Fail("input 0 (A) has shape %s, expected its last dimension to be %s%lld (input 1 (B) has shape %s in panels)",
             Text(a.shape()).c_str(), odd.c_str(), static_cast<long long>(pairs ? 2 * steps : steps), Text(b.shape()).c_str());
    }
}

void MatMulOp::Compute(Context& context) const {
    Input a = context.In(0, "A"), b = context.In(1, "B");
    MatMulArguments p;
    if (layout_ == WeightLayout::kPanels) {
        FitPanels(a, b, p);
    } else {
        b.HasRank(2);
        if (a.shape().empty() || a.shape().back() != b.Dimension(1)) {
            Fail("input 0 (A) has shape %s, expected its last dimension to be %lld (input 1 (B) has shape %s)", Text(a.shape()).c_str(),
                 static_cast<long long>(b.Dimension(1)), Text(b.shape()).c_str());
        }
        p.n = b.Dimension(0);
        p.k = b.Dimension(1);
    }

    Shape shape = a.shape();
    shape.pop_back();
    p.m = Product(shape);
    shape.push_back(p.n);

    p.a = a.Floats();
    p.b = b.AsWeights();
    p.b.layout = layout_;
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
