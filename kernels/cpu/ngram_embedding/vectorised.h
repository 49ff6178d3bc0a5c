// Stages (3) and (4) of longcat/ngram_embedding.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/tiles.h"
#include "longcat/ngram_embedding.h"

namespace longcat {
namespace {

constexpr int kEmbeddingColumns = 48;

inline void NGramProjectVectorised(const NGramEmbeddingArguments& p, const int64_t* ids, float* rows, const ParallelFor& parallel) {
    int tables = p.split_num * (p.neighbor_num - 1);
    int64_t gathered = tables * p.table_width;
    // The rows may have to come from the disk: tokens wait for theirs side by side.
    For(Unless(p.tokens * gathered < kInlineWork, parallel), static_cast<size_t>(p.tokens), [&](size_t index) {
        int64_t t = static_cast<int64_t>(index);
        for (int i = 0; i < tables; i++) {
            float* to = rows + t * gathered + i * p.table_width;
            int64_t from = ids[i * p.tokens + t] * p.table_width;
            for (int64_t d = 0; d < p.table_width; d++) {
                to[d] = WeightAt(p.tables[i].rows, from + d);
            }
        }
    });

    int64_t token_blocks = CeilDivide(p.tokens, kProductRows), column_blocks = CeilDivide(p.hidden, kEmbeddingColumns);
    For(Unless(p.tokens * p.hidden * gathered < kInlineWork, parallel), static_cast<size_t>(token_blocks * column_blocks),
        [&](size_t index) {
            int64_t token = static_cast<int64_t>(index) % token_blocks * kProductRows,
                    column = static_cast<int64_t>(index) / token_blocks * kEmbeddingColumns;
            int count = static_cast<int>(Smaller(kProductRows, p.tokens - token)),
                columns = static_cast<int>(Smaller(kEmbeddingColumns, p.hidden - column));
            float sum[kProductRows * kEmbeddingColumns], product[kProductRows * kEmbeddingColumns];
            for (int t = 0; t < count; t++) {
                for (int x = 0; x < columns; x++) {
                    sum[t * kEmbeddingColumns + x] = WeightAt(p.word, p.input_ids[token + t] * p.hidden + column + x);
                }
            }
            for (int i = 0; i < tables; i++) {
                const float* a[kProductRows];
                for (int t = 0; t < count; t++) {
                    a[t] = rows + (token + t) * gathered + i * p.table_width;
                }
                Product(a, count, p.tables[i].projection, column, columns, p.table_width, product, kEmbeddingColumns);
                for (int t = 0; t < count; t++) {
                    for (int x = 0; x < columns; x++) {
                        sum[t * kEmbeddingColumns + x] += product[t * kEmbeddingColumns + x];
                    }
                }
            }
            for (int t = 0; t < count; t++) {
                for (int x = 0; x < columns; x++) {
                    p.embedding[(token + t) * p.hidden + column + x] = sum[t * kEmbeddingColumns + x] / static_cast<float>(1 + tables);
                }
            }
        });
}

}  // namespace
}  // namespace longcat
