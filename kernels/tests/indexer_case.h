// A step of AttentionIndexer over random numbers, with the scattered pages of paged_case.h.
#pragma once

#include <memory>

#include "longcat/attention_indexer.h"
#include "paged_case.h"

namespace longcat::test {

struct IndexerShape {
    int heads, dim, rope, top_k, init, local;
};

struct IndexerCase {
    std::unique_ptr<PagedCase> step;
    AttentionIndexerArguments p;
    std::vector<float> query, key, weights, norm, frequencies, cache;
    std::vector<int32_t>&start, &lengths, &table;
    std::vector<int64_t>& positions;

    IndexerCase(Random& random, const IndexerShape& d, const std::vector<PagedSequence>& sequences, int64_t page, WeightType cache_type)
        : step(std::make_unique<PagedCase>(random, PagedShape{1, 1, 1, 0, false, false, 0}, sequences, page, CacheType::kFloat32)),
          start(step->start),
          lengths(step->lengths),
          table(step->table),
          positions(step->positions) {
        p.num_heads = d.heads, p.head_dim = d.dim, p.rope_dim = d.rope, p.top_k = d.top_k, p.init_tokens = d.init, p.local_tokens = d.local;
        p.epsilon = 1e-5f, p.rope_multiplier = 1.1f, p.cache_type = cache_type;
        const PagedAttentionArguments& s = step->p;
        p.tokens = s.tokens, p.sequences = s.sequences, p.pages = s.pages, p.page_size = s.page_size,
        p.block_table_width = s.block_table_width;
        p.position_ids = s.position_ids, p.query_start = s.query_start, p.context_length = s.context_length, p.block_table = s.block_table;
        query = random.Floats(p.tokens * d.heads * d.dim), key = random.Floats(p.tokens * d.dim),
        weights = random.Floats(p.tokens * d.heads);
        norm = random.Floats(d.dim), frequencies = random.Floats(d.rope / 2), cache = random.Floats(p.pages * page * d.dim);
        p.query = query.data(), p.key = key.data(), p.weights = weights.data(), p.key_norm = norm.data(), p.inv_freq = frequencies.data();
    }
    IndexerCase(const IndexerCase&) = delete;

    // A fresh copy of the cache in its type.
    std::vector<uint8_t> Pool() const {
        Tensor pool(p.cache_type, cache);
        const uint8_t* data = static_cast<const uint8_t*>(pool.weights().data);
        return {data, data + cache.size() * SizeOf(p.cache_type)};
    }

    // The scores of all keys up to token t's own in double precision; the layout of a page is the one in longcat/attention_indexer.h.
    std::vector<double> Scores(const std::vector<uint8_t>& pool, int64_t sequence, int64_t t) const {
        int64_t position = positions[static_cast<size_t>(t)];
        std::vector<double> scores;
        for (int64_t j = 0; j <= position; j++) {
            int64_t page = table[static_cast<size_t>(sequence * p.block_table_width + j / p.page_size)], slot = j % p.page_size;
            int64_t panel = slot / 16 * 16, wide = std::min<int64_t>(16, p.page_size - panel);
            double score = 0;
            for (int h = 0; h < p.num_heads; h++) {
                const float* q = p.query + (t * p.num_heads + h) * p.head_dim;
                double product = 0;
                for (int i = 0; i < p.head_dim; i++) {
                    double x = q[i];
                    if (i < p.rope_dim) {
                        float angle = static_cast<float>(position) * p.inv_freq[i / 2];
                        double sine = std::sin(static_cast<double>(angle)), cosine = std::cos(static_cast<double>(angle));
                        x = (i % 2 == 0 ? q[i] * cosine - q[i + 1] * sine : q[i] * cosine + q[i - 1] * sine) *
                            static_cast<double>(p.rope_multiplier);
                    }
                    int64_t at = (page * p.page_size + panel) * p.head_dim + i * wide + slot - panel;
                    float k;
                    if (p.cache_type == WeightType::kFloat32) {
                        std::memcpy(&k, &pool[static_cast<size_t>(at) * 4], 4);
                    } else {
                        uint32_t bits =
                            static_cast<uint32_t>(pool[static_cast<size_t>(at) * 2] | pool[static_cast<size_t>(at) * 2 + 1] << 8) << 16;
                        std::memcpy(&k, &bits, 4);
                    }
                    product += x * k;
                }
                score += static_cast<double>(p.weights[t * p.num_heads + h]) * std::max(0.0, product);
            }
            scores.push_back(score);
        }
        return scores;
    }
};

}  // namespace longcat::test
