#include "ngram_embedding_op.h"

#include "../ort/pages.h"

namespace longcat::ops {
namespace {

const void* DataOf(const NGramTable& table) { return table.scaled_rows != nullptr ? table.scaled_rows : table.rows.data; }

}  // namespace

NGramEmbeddingOp::NGramEmbeddingOp(const Attributes& attributes)
    : path_(SelectPath()),
      hash_vocab_size_(attributes.Positive("hash_vocab_size")),
      eos_token_id_(attributes.Integer("eos_token_id")),
      neighbor_num_(attributes.Positive("neighbor_num")),
      split_num_(attributes.Positive("split_num")),
      table_rows_(attributes.Integers("table_rows")),
      layout_(attributes.Layout("layout")),
      int8_tables_(attributes.String("table_type", "") == "int8") {
    if (std::string type = attributes.String("table_type", ""); type != "" && type != "int8") {
        Fail("attribute table_type is '%s', expected 'int8' or none", type.c_str());
    }
    if (std::string fusion = attributes.String("fusion"); fusion != "mean") {
        Fail("attribute fusion is '%s', expected 'mean'", fusion.c_str());
    }
    if (neighbor_num_ < 2 || neighbor_num_ > 1024 || split_num_ > 1024) {
        Fail("attributes neighbor_num %d and split_num %d, expected 2..1024 and 1..1024", neighbor_num_, split_num_);
    }
    if (table_rows_.size() != static_cast<size_t>(split_num_) * (neighbor_num_ - 1)) {
        Fail("attribute table_rows has %zu entries, expected %d (split_num · (neighbor_num - 1))", table_rows_.size(),
             split_num_ * (neighbor_num_ - 1));
    }
}

// [hidden, width], or in panels: float32 [ceil(hidden / 16), width, 16], bfloat16 [ceil(hidden / 16), ceil(width / 2), 16, 2].
Weights NGramEmbeddingOp::Projection(const Input& input, int64_t hidden, int64_t width) const {
    Weights weights = input.AsWeights();
    weights.layout = layout_;
    if (layout_ == WeightLayout::kRows) {
        input.HasShape({hidden, width});
    } else {
        int64_t panels = (hidden + kPanelOutputs - 1) / kPanelOutputs;
        bool pairs = weights.type == WeightType::kBFloat16;
        input.HasShape(pairs ? Shape{panels, (width + 1) / 2, kPanelOutputs, 2} : Shape{panels, width, kPanelOutputs});
    }
    return weights;
}

void NGramEmbeddingOp::Advise(const NGramEmbeddingArguments& p) const {
    size_t tables = table_rows_.size();
    if (advised_.exchange(DataOf(p.tables[0])) == DataOf(p.tables[0])) {
        return;
    }
    ReadScattered(p.word.data, static_cast<size_t>(p.vocabulary) * p.hidden * SizeOf(p.word.type));
    for (size_t i = 0; i < tables; i++) {
        ReadScattered(DataOf(p.tables[i]), static_cast<size_t>(p.tables[i].row_count * RowBytes(p.tables[i], p.table_width)));
    }
}

void NGramEmbeddingOp::Compute(Context& context) const {
    size_t tables = table_rows_.size();
    if (context.InputCount() != 4 + 2 * tables) {
        Fail("got %zu inputs, expected %zu (4, then %zu tables, then %zu projections)", context.InputCount(), 4 + 2 * tables, tables,
             tables);
    }
    Input ids = context.In(0, "input_ids"), start = context.In(1, "query_start"), history = context.In(2, "ngram_context");
    Input word = context.In(3, "word");
    ids.HasRank(1);
    start.HasRank(1);
    word.HasRank(2);
    if (start.Dimension(0) < 1) {
        Fail("input 1 (query_start) is empty, expected S + 1 entries");
    }

    NGramEmbeddingArguments p;
    p.tokens = ids.Dimension(0);
    p.sequences = start.Dimension(0) - 1;
    p.vocabulary = word.Dimension(0);
    p.hidden = word.Dimension(1);
    p.hash_vocab_size = hash_vocab_size_;
    p.eos_token_id = eos_token_id_;
    p.neighbor_num = neighbor_num_;
    p.split_num = split_num_;
    p.input_ids = ids.Longs();
    p.query_start = start.Ints();
    p.ngram_context = history.HasShape({p.sequences, neighbor_num_ - 1}).Longs();
    p.word = word.AsWeights();

    std::vector<NGramTable> list(tables);
    for (size_t i = 0; i < tables; i++) {
        Input rows = context.In(4 + i, "table");
        rows.HasRank(2);
        const int64_t behind = int8_tables_ ? 4 : 0;  // bytes of the scale
        if (i == 0) {
            p.table_width = rows.Dimension(1) - behind;
            if (int8_tables_ && p.table_width < 1) {
                Fail("input 4 (table) has shape %s, expected rows of at least 5 bytes: integers, then 4 of their scale", Text(rows.shape()).c_str());
            }
        }
        rows.HasShape({-1, p.table_width + behind});
        if (int8_tables_) {
            list[i].scaled_rows = reinterpret_cast<const int8_t*>(rows.Bytes());
        } else {
            list[i].rows = rows.AsWeights();
        }
        list[i].row_count = rows.Dimension(0);
        list[i].modulus = table_rows_[i];
        list[i].projection = Projection(context.In(4 + tables + i, "projection"), p.hidden, p.table_width);
    }
    p.tables = list.data();
    Advise(p);
    p.embedding = static_cast<float*>(context.Out(0, {p.tokens, p.hidden}));
    Check(NGramEmbedding(path_, p, context.Scratch(NGramEmbeddingWorkspace(p)), context.Threads()));
}

}  // namespace longcat::ops
