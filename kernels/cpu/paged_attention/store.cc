#include <cmath>

#include "paths.h"

namespace longcat {

void HeadRotation(const PagedAttentionArguments& p, int64_t position, float* cosine, float* sine) {
    for (int i = 0; i < p.rotary_dim / 2; i++) {
        float angle = static_cast<float>(position) * p.inv_freq[i];
        cosine[i] = std::cos(angle) * p.rope_multiplier;
        sine[i] = std::sin(angle) * p.rope_multiplier;
    }
}

void PrepareHead(const PagedAttentionArguments& p, const float* source, const float* norm, const float* cosine, const float* sine,
                 float* to) {
    int dim = p.head_dim, half = p.rotary_dim / 2;
    if (norm != nullptr) {
        double squares = 0;
        for (int i = 0; i < dim; i++) {
            squares += static_cast<double>(source[i]) * source[i];
        }
        float inverse = static_cast<float>(1.0 / std::sqrt(squares / dim + static_cast<double>(p.epsilon)));
        for (int i = 0; i < dim; i++) {
            to[i] = source[i] * inverse * norm[i];
        }
    } else {
        std::memcpy(to, source, static_cast<size_t>(dim) * sizeof(float));
    }
    // A pair is `apart` elements from each other, the next pair `step` elements on.
    int apart = p.interleaved ? 1 : half, step = p.interleaved ? 2 : 1;
    for (int i = 0; i < half; i++) {
        float first = to[i * step], second = to[i * step + apart];
        to[i * step] = first * cosine[i] - second * sine[i];
        to[i * step + apart] = second * cosine[i] + first * sine[i];
    }
}

void StoreToken(const PagedAttentionArguments& p, int64_t sequence, int64_t token, const float* cosine, const float* sine) {
    for (int64_t g = 0; g < p.num_kv_heads; g++) {
        Slot slot = SlotOf(p, sequence, p.position_ids[token], g);
        int64_t line = (token * p.num_kv_heads + g) * p.head_dim;
        const float* value = p.value + line;
        float key[kMostHeadDim];
        PrepareHead(p, p.key + line, p.key_norm, cosine, sine, key);
        if (p.cache_type == CacheType::kFloat32) {
            float* cache = static_cast<float*>(p.cache);
            for (int i = 0; i < p.head_dim; i++) {
                cache[slot.key + i * slot.stride] = key[i];
            }
            std::memcpy(cache + slot.value, value, static_cast<size_t>(p.head_dim) * sizeof(float));
        } else if (p.cache_type == CacheType::kInt8) {
            int8_t* cache = static_cast<int8_t*>(p.cache);
            StoreInt8Row(key, p.head_dim, cache + slot.key, slot.stride, cache + slot.key_scale);
            StoreInt8Row(value, p.head_dim, cache + slot.value, 1, cache + slot.value_scale);
        } else {
            uint16_t* cache = static_cast<uint16_t*>(p.cache);
            for (int i = 0; i < p.head_dim; i++) {
                cache[slot.key + i * slot.stride] = NarrowToBFloat16(key[i]);
                cache[slot.value + i] = NarrowToBFloat16(value[i]);
            }
        }
    }
}

namespace {

// mean[i] += element i of a key
template <class T>
void AddKey(const T* key, int64_t stride, float scale, int count, float* mean) {
    for (int i = 0; i < count; i++) {
        if constexpr (sizeof(T) == 2) {
            mean[i] += WidenBFloat16(key[i * stride]);
        } else {
            mean[i] += static_cast<float>(key[i * stride]) * scale;
        }
    }
}

}  // namespace

void StoreMean(const PagedAttentionArguments& p, int64_t sequence, int64_t column) {
    int64_t page = p.block_table[sequence * p.block_table_width + column];
    for (int64_t g = 0; g < p.num_kv_heads; g++) {
        float* mean = p.sparse.means + (page * p.num_kv_heads + g) * p.head_dim;
        std::memset(mean, 0, static_cast<size_t>(p.head_dim) * sizeof(float));
        Walk walk(p, sequence, column * p.page_size, g);
        for (int64_t j = 0; j < p.page_size; j++) {
            Slot slot = walk.Next();
            if (p.cache_type == CacheType::kFloat32) {
                AddKey(static_cast<const float*>(p.cache) + slot.key, slot.stride, 1, p.head_dim, mean);
            } else if (p.cache_type == CacheType::kInt8) {
                const int8_t* cache = static_cast<const int8_t*>(p.cache);
                AddKey(cache + slot.key, slot.stride, ScaleAt(cache + slot.key_scale), p.head_dim, mean);
            } else {
                AddKey(static_cast<const uint16_t*>(p.cache) + slot.key, slot.stride, 1, p.head_dim, mean);
            }
        }
        for (int i = 0; i < p.head_dim; i++) {
            mean[i] /= static_cast<float>(p.page_size);
        }
    }
}

}  // namespace longcat
