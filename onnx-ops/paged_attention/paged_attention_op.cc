#include "paged_attention_op.h"

#include <cstring>

#include "../attention_pattern/attention_pattern.h"
#include "../sparse_blocks/sparse_blocks_ports.h"

namespace longcat::ops {

PagedAttentionOp::PagedAttentionOp(const Attributes& attributes) : path_(SelectPath()) {
    attributes_.num_heads = attributes.Positive("num_heads");
    attributes_.num_kv_heads = attributes.Positive("num_kv_heads");
    attributes_.head_dim = attributes.Positive("head_dim");
    attributes_.rotary_dim = attributes.Positive("rotary_dim", attributes_.head_dim);
    attributes_.epsilon = attributes.Number("epsilon");
    attributes_.softmax_scale = attributes.Number("softmax_scale");
    attributes_.rope_multiplier = attributes.Number("rope_multiplier");
    int64_t interleaved = attributes.Integer("interleaved", 0), window = attributes.Integer("window", 0);
    if (interleaved != 0 && interleaved != 1) {
        Fail("attribute interleaved is %lld, expected 0 (pairs half of rotary_dim apart) or 1 (neighbours)",
             static_cast<long long>(interleaved));
    }
    attributes_.interleaved = interleaved == 1;
    if (window < 0 || window > INT32_MAX) {
        Fail("attribute window is %lld, expected 1..%d, or 0 for all keys", static_cast<long long>(window), INT32_MAX);
    }
    attributes_.window = static_cast<int>(window);
    if (attributes_.num_heads % attributes_.num_kv_heads != 0) {
        Fail("attribute num_heads is %d, expected a multiple of num_kv_heads, which is %d", attributes_.num_heads,
             attributes_.num_kv_heads);
    }
    if (attributes_.rotary_dim % 2 != 0 || attributes_.rotary_dim > attributes_.head_dim) {
        Fail("attribute rotary_dim is %d, expected an even number of at most head_dim, which is %d", attributes_.rotary_dim,
             attributes_.head_dim);
    }
    attributes_.streaming = ReadPattern(attributes);
    attention_ = attributes.Integer("attention", -1);
    if (attributes_.window > 0 && attributes_.streaming.block_size > 0) {
        Fail("attribute window is %d with pattern 'streaming', expected pattern 'full' or no window", attributes_.window);
    }
}

void PagedAttentionOp::Compute(Context& context) const {
    PagedAttentionArguments p = attributes_;
    int64_t dim = p.head_dim, keys = p.num_kv_heads * dim;
    Input query = context.In(0, "query"), start = context.In(7, "query_start"), table = context.In(9, "block_table"),
          cache = context.In(10, "cache");
    query.HasShape({-1, p.num_heads * dim});
    start.HasRank(1);
    if (start.Dimension(0) < 1) {
        Fail("input 7 (query_start) is empty, expected S + 1 entries");
    }
    p.cache_type = cache.AsCache();
    int64_t line_bytes = PagedLineBytes(p.cache_type, p.num_kv_heads, dim);
    cache.HasShape({-1, -1, line_bytes / SizeOf(p.cache_type)});

    p.tokens = query.Dimension(0);
    p.sequences = start.Dimension(0) - 1;
    table.HasShape({p.sequences, -1});
    p.block_table_width = table.Dimension(1);
    p.pages = cache.Dimension(0);
    p.page_size = cache.Dimension(1);
    p.query = query.Floats();
    p.key = context.In(1, "key").HasShape({p.tokens, keys}).Floats();
    p.value = context.In(2, "value").HasShape({p.tokens, keys}).Floats();
    if (context.HasInput(3)) {
        p.query_norm = context.In(3, "query_norm").HasShape({dim}).Floats();
    }
    if (context.HasInput(4)) {
        p.key_norm = context.In(4, "key_norm").HasShape({dim}).Floats();
    }
    p.inv_freq = context.In(5, "inv_freq").HasShape({p.rotary_dim / 2}).Floats();
    p.position_ids = context.In(6, "position_ids").HasShape({p.tokens}).Longs();
    p.query_start = start.Ints();
    p.context_length = context.In(8, "context_length").HasShape({p.sequences}).Ints();
    p.block_table = table.Ints();
    p.output = static_cast<float*>(context.Out(0, {p.tokens, p.num_heads * dim}));

    // The engine binds cache and cache_out to one buffer and the new lines are written in place. Where the buffers differ the pool is
    // copied first, so that the graph stays pure for whoever runs it another way.
    p.cache = context.Out(1, cache.shape());
    if (p.cache != cache.data()) {
        std::memcpy(p.cache, cache.data(), static_cast<size_t>(p.pages * p.page_size * line_bytes));
    }
    p.sparse = ReadSparseBlocks(
        context, {11, 2, attention_, p.tokens, p.sequences, p.pages, p.page_size, p.block_table_width, p.num_kv_heads, keys});
    Check(PagedAttention(path_, p, context.Scratch(PagedAttentionWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
