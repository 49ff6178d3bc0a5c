// A step of PagedAttention over random numbers; its pages are dealt out at random and none is adjacent to another by design.
#pragma once

#include <algorithm>
#include <numeric>

#include "cache_bytes.h"
#include "harness.h"
#include "longcat/paged_attention.h"

namespace longcat::test {

struct PagedShape {
    int heads, kv_heads, dim, rotary;
    bool interleaved, norms;
    int window;
    StreamingPattern streaming{};
};

// A sequence of `context` tokens of which the last `fresh` are new.
struct PagedSequence {
    int64_t context, fresh;
};

struct PagedResult {
    std::vector<float> output;
    std::vector<uint8_t> cache;
};

struct PagedCase {
    PagedAttentionArguments p;
    std::vector<float> query, key, value, query_norm, key_norm, frequencies;
    std::vector<int64_t> positions;
    std::vector<int32_t> start{0}, lengths, table;
    std::vector<float> cache;
    int64_t integers, scales;  // of one page and kv head in an int8 cache; the arguments may be spoiled later

    PagedCase(Random& random, const PagedShape& d, const std::vector<PagedSequence>& sequences, int64_t page, CacheType cache_type) {
        p.num_heads = d.heads, p.num_kv_heads = d.kv_heads, p.head_dim = d.dim, p.rotary_dim = d.rotary, p.interleaved = d.interleaved;
        p.window = d.window, p.streaming = d.streaming, p.epsilon = 1e-6f, p.softmax_scale = 2 / std::sqrt(static_cast<float>(d.dim)), p.rope_multiplier = 1.1f;
        p.page_size = page, p.cache_type = cache_type, p.pages = 1;
        integers = 2 * page * d.dim, scales = 2 * page;
        for (const PagedSequence& s : sequences) {
            for (int64_t i = s.context - s.fresh; i < s.context; i++) {
                positions.push_back(i);
            }
            start.push_back(static_cast<int32_t>(positions.size()));
            lengths.push_back(static_cast<int32_t>(s.context));
            p.block_table_width = std::max(p.block_table_width, Pages(s));
            p.pages += Pages(s);
        }
        std::vector<int32_t> free(static_cast<size_t>(p.pages));
        std::iota(free.begin(), free.end(), 0);
        for (size_t i = free.size(); i > 1; i--) {
            std::swap(free[i - 1], free[static_cast<size_t>(random.Below(static_cast<int64_t>(i)))]);
        }
        for (const PagedSequence& s : sequences) {
            for (int64_t b = 0; b < p.block_table_width; b++) {
                bool used = b < Pages(s);
                table.push_back(used ? free.back() : -1);
                if (used) {
                    free.pop_back();
                    if (!Seen(s, b)) {  // with a streaming pattern nobody asks what such an entry holds
                        constexpr int32_t kAnything[] = {-1, INT32_MIN, INT32_MAX};
                        table.back() = kAnything[random.Below(3)];
                    }
                }
            }
        }
        // Not a byte more than the step has: a sanitizer sees what goes beyond.
        positions.shrink_to_fit(), start.shrink_to_fit(), lengths.shrink_to_fit(), table.shrink_to_fit();
        p.tokens = static_cast<int64_t>(positions.size()), p.sequences = static_cast<int64_t>(sequences.size());
        query = random.Floats(p.tokens * d.heads * d.dim), key = random.Floats(p.tokens * d.kv_heads * d.dim);
        value = random.Floats(p.tokens * d.kv_heads * d.dim);
        query_norm = random.Floats(d.dim), key_norm = random.Floats(d.dim);
        for (int i = 0; i < d.rotary / 2; i++) {
            frequencies.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(d.rotary)));
        }
        frequencies.shrink_to_fit();
        cache = random.Floats(p.pages * page * 2 * d.kv_heads * d.dim);
        p.query = query.data(), p.key = key.data(), p.value = value.data(), p.inv_freq = frequencies.data();
        if (d.norms) {
            p.query_norm = query_norm.data(), p.key_norm = key_norm.data();
        }
        p.position_ids = positions.data(), p.query_start = start.data(), p.context_length = lengths.data(), p.block_table = table.data();
    }
    PagedCase(const PagedCase&) = delete;

    int64_t Pages(const PagedSequence& s) const { return (s.context + p.page_size - 1) / p.page_size; }

    // Whether one of a sequence's new tokens sees a key of its page b.
    bool Seen(const PagedSequence& s, int64_t b) const {
        const StreamingPattern& d = p.streaming;
        bool seen = d.block_size == 0;
        for (int64_t j = b * p.page_size; j < std::min((b + 1) * p.page_size, s.context) && !seen; j++) {
            seen = j / d.block_size < d.sink_blocks || j / d.block_size > (s.context - s.fresh) / d.block_size - d.local_blocks;
        }
        return seen;
    }

    // A fresh copy of the cache in its type.
    std::vector<uint8_t> Pool() const { return CacheBytes(p.cache_type, cache, integers, scales); }

    // NaN in every slot that holds no token that one of the new ones sees. The layout is the one in longcat/paged_attention.h.
    void SpoilUnused() {
        std::vector<bool> used(static_cast<size_t>(p.pages * p.page_size));
        for (int64_t s = 0; s < p.sequences; s++) {
            int64_t oldest = lengths[static_cast<size_t>(s)] - (start[static_cast<size_t>(s) + 1] - start[static_cast<size_t>(s)]);
            for (int64_t j = p.window > 0 ? std::max<int64_t>(0, oldest - p.window + 1) : 0; j < lengths[static_cast<size_t>(s)]; j++) {
                int64_t page = table[static_cast<size_t>(s * p.block_table_width + j / p.page_size)];
                if (page < 0 || page >= p.pages) {
                    continue;
                }
                used[static_cast<size_t>(page * p.page_size + j % p.page_size)] = true;
            }
        }
        int64_t head = 2 * p.page_size * p.head_dim;
        for (int64_t line = 0; line < p.pages * p.page_size; line++) {
            int64_t slot = line % p.page_size, panel = slot / 16 * 16, wide = std::min<int64_t>(16, p.page_size - panel);
            for (int64_t g = 0; !used[static_cast<size_t>(line)] && g < p.num_kv_heads; g++) {
                float* base = cache.data() + (line / p.page_size * p.num_kv_heads + g) * head;
                for (int64_t i = 0; i < p.head_dim; i++) {
                    base[panel * p.head_dim + i * wide + slot - panel] = NAN;
                    base[(p.page_size + slot) * p.head_dim + i] = NAN;
                }
            }
        }
    }
};

}  // namespace longcat::test
