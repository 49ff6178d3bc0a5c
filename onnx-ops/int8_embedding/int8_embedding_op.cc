#include "int8_embedding_op.h"

#include "../w8a8_matmul/w8a8_matmul_op.h"

namespace longcat::ops {

Int8EmbeddingOp::Int8EmbeddingOp(const Attributes& attributes)
    : in_features_(attributes.Positive("in_features")), out_features_(attributes.Positive("out_features")) {
    SelectPath();  // an unknown LONGCAT_KERNEL is refused by every operator
    attributes.OneOf("layout", {1}, 1);
}

void Int8EmbeddingOp::Compute(Context& context) const {
    Input ids = context.In(0, "ids");
    ids.HasRank(1);
    Int8EmbeddingArguments p;
    p.tokens = ids.Dimension(0), p.vocabulary = out_features_, p.hidden = in_features_;
    p.ids = ids.Longs();
    p.weights = context.In(1, "B").HasShape(Int8PanelShape(out_features_, in_features_)).Bytes();
    p.scale = context.In(2, "scale").HasShape({out_features_}).Floats();
    p.y = static_cast<float*>(context.Out(0, {p.tokens, p.hidden}));
    Check(Int8Embedding(p, context.Threads()));
}

}  // namespace longcat::ops
