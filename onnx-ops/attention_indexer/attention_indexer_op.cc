#include "attention_indexer_op.h"

#include <cstring>

namespace longcat::ops {
namespace {

// 0 or more; the kernel knows the upper bounds.
int Size(const Attributes& attributes, const char* name) {
    int64_t value = attributes.Integer(name);
    if (value < 0 || value > INT32_MAX) {
        Fail("attribute %s is %lld, expected 0..2147483647", name, static_cast<long long>(value));
    }
    return static_cast<int>(value);
}

}  // namespace

AttentionIndexerOp::AttentionIndexerOp(const Attributes& attributes) : path_(SelectPath()) {
    attributes_.num_heads = attributes.Positive("num_heads");
    attributes_.head_dim = attributes.Positive("head_dim");
    attributes_.rope_dim = Size(attributes, "rope_dim");
    attributes_.top_k = attributes.Positive("top_k");
    attributes_.init_tokens = Size(attributes, "init_tokens");
    attributes_.local_tokens = Size(attributes, "local_tokens");
    attributes_.epsilon = attributes.Number("epsilon");
    attributes_.rope_multiplier = attributes.Number("rope_multiplier");
}

void AttentionIndexerOp::Compute(Context& context) const {
    AttentionIndexerArguments p = attributes_;
    int64_t heads = p.num_heads, dim = p.head_dim;
    Input query = context.In(0, "query"), start = context.In(6, "query_start"), table = context.In(8, "block_table"),
          cache = context.In(9, "cache");
    query.HasShape({-1, heads * dim});
    start.HasRank(1);
    if (start.Dimension(0) < 1) {
        Fail("input 6 (query_start) is empty, expected S + 1 entries");
    }
    cache.HasShape({-1, -1, dim});

    p.tokens = query.Dimension(0);
    p.sequences = start.Dimension(0) - 1;
    table.HasShape({p.sequences, -1});
    p.block_table_width = table.Dimension(1);
    p.pages = cache.Dimension(0);
    p.page_size = cache.Dimension(1);
    p.query = query.Floats();
    p.key = context.In(1, "key").HasShape({p.tokens, dim}).Floats();
    p.weights = context.In(2, "weights").HasShape({p.tokens, heads}).Floats();
    p.key_norm = context.In(3, "key_norm").HasShape({dim}).Floats();
    p.inv_freq = context.In(4, "inv_freq").HasShape({p.rope_dim / 2}).Floats();
    p.position_ids = context.In(5, "position_ids").HasShape({p.tokens}).Longs();
    p.query_start = start.Ints();
    p.context_length = context.In(7, "context_length").HasShape({p.sequences}).Ints();
    p.block_table = table.Ints();
    p.selected = static_cast<int32_t*>(context.Out(0, {p.tokens, p.top_k}));

    // In place where the engine binds cache and cache_out to one buffer; otherwise the pool is copied first, so that the graph stays pure.
    Weights pool = cache.AsWeights();
    p.cache = context.Out(1, cache.shape());
    p.cache_type = pool.type;
    if (p.cache != pool.data) {
        std::memcpy(p.cache, pool.data, static_cast<size_t>(p.pages * p.page_size * dim) * SizeOf(pool.type));
    }
    Check(AttentionIndexer(path_, p, context.Scratch(AttentionIndexerWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
