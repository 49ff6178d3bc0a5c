// Stages (3) and (4) of longcat/ngram_embedding.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/panels.h"
#include "../simd/tiles.h"
#include "longcat/ngram_embedding.h"

namespace longcat {
namespace {

constexpr int kEmbeddingColumns = 48;
constexpr int64_t kEmbeddingPanels = 8;
constexpr int kGatherTables = 16;

template <class T>
void CopyRow(const T* from, int64_t count, float* to) {
    int64_t i = 0;
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        Simd::Store(to + i, Simd::Load(from + i));
    }
    if (i < count) {
        Simd::Store(to + i, Simd::Load(from + i, count - i), count - i);
    }
}

// Integers, then their scale.
inline void CopyScaledRow(const int8_t* from, int64_t count, float* to) {
    const float scale = ScaleBehind(from, count);
    const Simd::Vector factor = Simd::All(scale);
    int64_t i = 0;
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        Simd::Store(to + i, Simd::Multiply(Simd::Load(from + i), factor));
    }
    for (; i < count; i++) {
        to[i] = static_cast<float>(from[i]) * scale;
    }
}

// sum[t, x] = the word's part, then each table's in ascending order, then the mean: for a block of tokens and columns.
template <int kStride, class Part>
void ProjectBlock(const NGramEmbeddingArguments& p, int tables, int64_t token, int count, int64_t column, int columns, float* sum,
                  const Part& part) {
    for (int t = 0; t < count; t++) {
        for (int x = 0; x < columns; x++) {
            sum[t * kStride + x] = WeightAt(p.word, p.input_ids[token + t] * p.hidden + column + x);
        }
    }
    for (int i = 0; i < tables; i++) {
        const float* product = part(i);
        for (int t = 0; t < count; t++) {
            for (int x = 0; x < columns; x++) {
                sum[t * kStride + x] += product[t * kStride + x];
            }
        }
    }
    for (int t = 0; t < count; t++) {
        for (int x = 0; x < columns; x++) {
            p.embedding[(token + t) * p.hidden + column + x] = sum[t * kStride + x] / static_cast<float>(1 + tables);
        }
    }
}

inline void ProjectRows(const NGramEmbeddingArguments& p, const float* rows, int tables, int64_t token, int count, int64_t column,
                        int columns) {
    float sum[kProductRows * kEmbeddingColumns], product[kProductRows * kEmbeddingColumns];
    ProjectBlock<kEmbeddingColumns>(p, tables, token, count, column, columns, sum, [&](int i) {
        const float* a[kProductRows];
        for (int t = 0; t < count; t++) {
            a[t] = rows + ((token + t) * tables + i) * p.table_width;
        }
        Product(a, count, p.tables[i].projection, column, columns, p.table_width, product, kEmbeddingColumns);
        return product;
    });
}

inline void ProjectPanels(const NGramEmbeddingArguments& p, const float* rows, int tables, int64_t token, int count, int64_t column,
                          int columns) {
    constexpr int kStride = static_cast<int>(kEmbeddingPanels * kPanelOutputs);
    alignas(64) float sum[kMostRows * kStride], product[kMostRows * kStride];
    ProjectBlock<kStride>(p, tables, token, count, column, columns, sum, [&](int i) {
        const float* a[kMostRows];
        for (int t = 0; t < count; t++) {
            a[t] = rows + ((token + t) * tables + i) * p.table_width;
        }
        PanelProduct(a, count, p.tables[i].projection, column / kPanelOutputs, static_cast<int>(CeilDivide(columns, kPanelOutputs)),
                     p.table_width, product, kStride);
        return product;
    });
}

inline void NGramProjectVectorised(const NGramEmbeddingArguments& p, const int64_t* ids, float* rows, const ParallelFor& parallel) {
    int tables = p.split_num * (p.neighbor_num - 1);
    int64_t gathered = tables * p.table_width;
    // The rows may have to come from the disk: tokens wait for theirs side by side.
    For(Unless(p.tokens * gathered < kInlineWork, parallel), static_cast<size_t>(p.tokens), [&](size_t index) {
        int64_t t = static_cast<int64_t>(index);
        const char* from[kGatherTables];
        for (int i = 0; i < tables; i += kGatherTables) {
            int count = static_cast<int>(Smaller(kGatherTables, tables - i));
            for (int j = 0; j < count; j++) {
                const NGramTable& table = p.tables[i + j];
                int64_t row = ids[(i + j) * p.tokens + t], bytes = RowBytes(table, p.table_width);
                const void* first = table.scaled_rows != nullptr ? table.scaled_rows : table.rows.data;
                from[j] = static_cast<const char*>(first) + row * bytes;
                // All lines of all rows are on their way before the first is waited for: they lie anywhere in gigabytes.
                for (int64_t line = 0; line < bytes; line += 64) {
                    __builtin_prefetch(from[j] + line);
                }
            }
            for (int j = 0; j < count; j++) {
                float* to = rows + t * gathered + (i + j) * p.table_width;
                if (p.tables[i + j].scaled_rows != nullptr) {
                    CopyScaledRow(reinterpret_cast<const int8_t*>(from[j]), p.table_width, to);
                } else if (p.tables[i + j].rows.type == WeightType::kFloat32) {
                    CopyRow(reinterpret_cast<const float*>(from[j]), p.table_width, to);
                } else {
                    CopyRow(reinterpret_cast<const uint16_t*>(from[j]), p.table_width, to);
                }
            }
        }
    });

    // All projections have one layout (NGramEmbedding checks it).
    bool panels = p.tables[0].projection.layout == WeightLayout::kPanels;
    int64_t most_rows = panels ? kMostRows : kProductRows, width = panels ? kEmbeddingPanels * kPanelOutputs : kEmbeddingColumns;
    int64_t token_blocks = CeilDivide(p.tokens, most_rows), block_rows = CeilDivide(p.tokens, token_blocks);
    int64_t column_blocks = CeilDivide(p.hidden, width);
    For(Unless(p.tokens * p.hidden * gathered < kInlineWork, parallel), static_cast<size_t>(token_blocks * column_blocks),
        [&](size_t index) {
            int64_t token = static_cast<int64_t>(index) % token_blocks * block_rows,
                    column = static_cast<int64_t>(index) / token_blocks * width;
            int count = static_cast<int>(Smaller(block_rows, p.tokens - token)),
                columns = static_cast<int>(Smaller(width, p.hidden - column));
            if (panels) {
                ProjectPanels(p, rows, tables, token, count, column, columns);
            } else {
                ProjectRows(p, rows, tables, token, count, column, columns);
            }
        });
}

}  // namespace
}  // namespace longcat
