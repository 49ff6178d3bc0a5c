#include "../common/numbers.h"
#include "../common/parallel.h"
#include "paths.h"

namespace longcat {

void NGramProjectReference(const NGramEmbeddingArguments& p, const int64_t* ids, float*, const ParallelFor& parallel) {
    int tables = p.split_num * (p.neighbor_num - 1);
    For(parallel, static_cast<size_t>(p.tokens), [&](size_t index) {
        int64_t t = static_cast<int64_t>(index);
        for (int64_t h = 0; h < p.hidden; h++) {
            double sum = WeightAt(p.word, p.input_ids[t] * p.hidden + h);
            for (int i = 0; i < tables; i++) {
                const NGramTable& table = p.tables[i];
                int64_t row = ids[i * p.tokens + t];
                const int8_t* scaled = table.scaled_rows == nullptr ? nullptr : table.scaled_rows + row * (p.table_width + 4);
                for (int64_t d = 0; d < p.table_width; d++) {
                    float value = scaled == nullptr ? WeightAt(table.rows, row * p.table_width + d)
                                                    : static_cast<float>(scaled[d]) * ScaleBehind(scaled, p.table_width);
                    sum += static_cast<double>(value) * WeightOf(table.projection, h, d, p.table_width);
                }
            }
            p.embedding[t * p.hidden + h] = static_cast<float>(sum / (1 + tables));
        }
    });
}

}  // namespace longcat
