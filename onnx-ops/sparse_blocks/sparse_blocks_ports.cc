#include "sparse_blocks_ports.h"

#include <cstring>

namespace longcat::ops {

SparseBlocks ReadSparseBlocks(const Context& context, const SparsePorts& ports) {
    if (!context.HasInput(ports.input)) {
        return {};
    }
    for (size_t i = 1; i < 4; i++) {
        if (!context.HasInput(ports.input + i)) {
            Fail("input %zu is missing: sparse_rows go with sparse_attention, sparse_anchors and block_means", ports.input + i);
        }
    }
    Input anchors = context.In(ports.input + 2, "sparse_anchors"), means = context.In(ports.input + 3, "block_means");
    anchors.HasRank(1);
    if (ports.attention < 0 || ports.attention >= anchors.Dimension(0)) {
        Fail("attribute attention is %lld, expected 0..%lld: sparse_anchors has %lld entries", static_cast<long long>(ports.attention),
             static_cast<long long>(anchors.Dimension(0) - 1), static_cast<long long>(anchors.Dimension(0)));
    }
    means.HasShape({ports.pages, ports.width});

    SparseBlocks sparse;
    sparse.rows = context.In(ports.input, "sparse_rows").HasShape({ports.tokens}).Bytes();
    const int32_t* budget = context.In(ports.input + 1, "sparse_attention").HasShape({5}).Ints();
    sparse.block_size = budget[0], sparse.dense_tokens = budget[1], sparse.rho = budget[2];
    sparse.sink_blocks = budget[3], sparse.local_blocks = budget[4];
    sparse.words = SparseWords(ports.block_table_width, ports.page_size, sparse.block_size);
    Shape sets{ports.sequences, ports.heads, sparse.words};
    sparse.choose = !context.HasInput(ports.input + 4) || anchors.Bytes()[ports.attention] != 0;
    if (context.HasInput(ports.input + 4)) {
        sparse.given = context.In(ports.input + 4, "blocks").HasShape(sets).Ints();
    }

    // In place like the cache.
    const float* pool = means.Floats();
    static float no_page;
    float* own = static_cast<float*>(context.Out(ports.output, means.shape()));
    if (own != pool && ports.pages > 0) {
        std::memcpy(own, pool, static_cast<size_t>(ports.pages * ports.width) * sizeof(float));
    }
    sparse.means = own != nullptr ? own : &no_page;  // a tensor without elements may lie nowhere
    sparse.blocks = static_cast<int32_t*>(context.Out(ports.output + 1, sets));
    return sparse;
}

}  // namespace longcat::ops
