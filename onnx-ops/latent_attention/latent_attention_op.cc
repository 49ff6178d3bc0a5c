#include "latent_attention_op.h"

#include <cstring>

#include "../attention_pattern/attention_pattern.h"
#include "../sparse_blocks/sparse_blocks_ports.h"

namespace longcat::ops {

LatentAttentionOp::LatentAttentionOp(const Attributes& attributes) : path_(SelectPath()) {
    attributes_.num_heads = attributes.Positive("num_heads");
    attributes_.nope = attributes.Positive("qk_nope_head_dim");
    attributes_.rope = attributes.Positive("qk_rope_head_dim");
    attributes_.v = attributes.Positive("v_head_dim");
    attributes_.rank = attributes.Positive("kv_lora_rank");
    attributes_.epsilon = attributes.Number("epsilon");
    attributes_.query_scale = attributes.Number("query_scale");
    attributes_.latent_scale = attributes.Number("latent_scale");
    attributes_.softmax_scale = attributes.Number("softmax_scale");
    attributes_.rope_multiplier = attributes.Number("rope_multiplier");
    attributes_.streaming = ReadPattern(attributes);
    attention_ = attributes.Integer("attention", -1);
}

void LatentAttentionOp::Compute(Context& context) const {
    LatentAttentionArguments p = attributes_;
    int64_t heads = p.num_heads, width = int64_t{p.rank} + p.rope;
    Input query = context.In(0, "query"), start = context.In(6, "query_start"), table = context.In(8, "block_table"),
          cache = context.In(9, "cache");
    query.HasShape({-1, heads * (int64_t{p.nope} + p.rope)});
    start.HasRank(1);
    if (start.Dimension(0) < 1) {
        Fail("input 6 (query_start) is empty, expected S + 1 entries");
    }
    p.cache_type = cache.AsCache();
    int64_t line_bytes = LatentLineBytes(p.cache_type, p.rank, p.rope);
    cache.HasShape({-1, -1, line_bytes / SizeOf(p.cache_type)});

    p.tokens = query.Dimension(0);
    p.sequences = start.Dimension(0) - 1;
    table.HasShape({p.sequences, -1});
    p.block_table_width = table.Dimension(1);
    p.pages = cache.Dimension(0);
    p.page_size = cache.Dimension(1);
    p.query = query.Floats();
    p.latent = context.In(1, "latent").HasShape({p.tokens, width}).Floats();
    p.latent_norm = context.In(2, "latent_norm").HasShape({p.rank}).Floats();
    p.kv_b = context.In(3, "kv_b").HasShape({heads * (int64_t{p.nope} + p.v), p.rank}).AsWeights();
    p.inv_freq = context.In(4, "inv_freq").HasShape({p.rope / 2}).Floats();
    p.position_ids = context.In(5, "position_ids").HasShape({p.tokens}).Longs();
    p.query_start = start.Ints();
    p.context_length = context.In(7, "context_length").HasShape({p.sequences}).Ints();
    p.block_table = table.Ints();
    if (context.HasInput(10)) {
        Input adapted = context.In(10, "kv_b_adapted");
        adapted.HasShape({-1, heads * (int64_t{p.nope} + p.v), p.rank});
        p.adapters = adapted.Dimension(0);
        p.kv_b_adapted = adapted.Floats();
        p.row_adapter = context.In(11, "row_adapter").HasShape({p.tokens}).Ints();
    }
    if (context.HasInput(12)) {
        Input selected = context.In(12, "selected");
        selected.HasShape({p.tokens, -1});
        p.selected_width = selected.Dimension(1);
        p.selected = selected.Ints();
    }
    p.output = static_cast<float*>(context.Out(0, {p.tokens, heads * p.v}));

    // The engine binds cache and cache_out to one buffer and the new lines are written in place. Where the buffers differ the pool is
    // copied first, so that the graph stays pure for whoever runs it another way.
    p.cache = context.Out(1, cache.shape());
    if (p.cache != cache.data()) {
        std::memcpy(p.cache, cache.data(), static_cast<size_t>(p.pages * p.page_size * line_bytes));
    }
    p.sparse = ReadSparseBlocks(
        context, {13, 2, attention_, p.tokens, p.sequences, p.pages, p.page_size, p.block_table_width, 1, width});
    Check(LatentAttention(path_, p, context.Scratch(LatentAttentionWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
