// A step of LatentAttention over random numbers; its pages are dealt out at random.
#pragma once

#include <algorithm>

#include "cache_bytes.h"
#include "harness.h"
#include "longcat/latent_attention.h"

namespace longcat::test {

struct LatentDimensions {
    int heads, nope, rope, v, rank;
};

// Sequences of `context` tokens of which the last `fresh` are new; their pages are dealt out at random.
struct LatentSequence {
    int64_t context, fresh;
};

struct LatentCase {
    LatentAttentionArguments p;
    std::vector<float> query, latent, norm, frequencies;
    std::vector<int64_t> positions;
    std::vector<int32_t> start, lengths, table;
    Tensor kv_b;
    std::vector<float> cache;
    int64_t line;  // numbers of one; the arguments may be spoiled later

    LatentCase(Random& random, const LatentDimensions& d, const std::vector<LatentSequence>& sequences, int64_t page, WeightType weights,
         CacheType cache_type)
        : kv_b(weights, random.Floats(int64_t{d.heads} * (d.nope + d.v) * d.rank, 0.2f)) {
        p.num_heads = d.heads, p.nope = d.nope, p.rope = d.rope, p.v = d.v, p.rank = d.rank;
        p.epsilon = 1e-6f, p.query_scale = 1.5f, p.latent_scale = 2, p.softmax_scale = 0.3f, p.rope_multiplier = 1.1f;
        p.page_size = page, p.cache_type = cache_type, line = d.rank + d.rope;
        start.push_back(0);
        int64_t pages = 1;
        for (const LatentSequence& s : sequences) {
            for (int64_t i = s.context - s.fresh; i < s.context; i++) {
                positions.push_back(i);
            }
            start.push_back(static_cast<int32_t>(positions.size()));
            lengths.push_back(static_cast<int32_t>(s.context));
            p.block_table_width = std::max(p.block_table_width, (s.context + page - 1) / page);
            pages += (s.context + page - 1) / page;
        }
        std::vector<int32_t> free;
        for (int64_t i = 0; i < pages; i++) {
            free.insert(free.begin() + random.Below(i + 1), static_cast<int32_t>(i));
        }
        for (const LatentSequence& s : sequences) {
            for (int64_t b = 0; b < p.block_table_width; b++) {
                bool used = b < (s.context + page - 1) / page;
                table.push_back(used ? free.back() : -1);
                if (used) {
                    free.pop_back();
                }
            }
        }
        p.pages = pages, p.tokens = static_cast<int64_t>(positions.size()), p.sequences = static_cast<int64_t>(sequences.size());
        query = random.Floats(p.tokens * d.heads * (d.nope + d.rope));
        latent = random.Floats(p.tokens * (d.rank + d.rope));
        norm = random.Floats(d.rank);
        for (int i = 0; i < d.rope / 2; i++) {
            frequencies.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(d.rope)));
        }
        cache = random.Floats(pages * page * (d.rank + d.rope));
        p.query = query.data(), p.latent = latent.data(), p.latent_norm = norm.data(), p.kv_b = kv_b.weights(),
        p.inv_freq = frequencies.data();
        p.position_ids = positions.data(), p.query_start = start.data(), p.context_length = lengths.data(), p.block_table = table.data();
    }
    LatentCase(const LatentCase&) = delete;

    // A fresh copy of the cache in its type.
    std::vector<uint8_t> Pool() const { return CacheBytes(p.cache_type, cache, line, 2); }
};

}  // namespace longcat::test
