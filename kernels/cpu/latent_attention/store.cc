#include <cmath>

#include "paths.h"

namespace longcat {

void Rotation(const LatentAttentionArguments& p, int64_t position, float* cosine, float* sine) {
    for (int i = 0; i < p.rope / 2; i++) {
        float angle = static_cast<float>(position) * p.inv_freq[i];
        cosine[i] = std::cos(angle) * p.rope_multiplier;
        sine[i] = std::sin(angle) * p.rope_multiplier;
    }
}

void StoreLine(const LatentAttentionArguments& p, int64_t sequence, int64_t token) {
    int width = p.rank + p.rope;
    const float* latent = p.latent + token * width;
    int64_t position = p.position_ids[token];
    void* to = static_cast<char*>(p.cache) + LineOf(p, sequence, position) * LineBytes(p);

    double squares = 0;
    for (int i = 0; i < p.rank; i++) {
        squares += static_cast<double>(latent[i]) * latent[i];
    }
    float inverse = static_cast<float>(1.0 / std::sqrt(squares / p.rank + static_cast<double>(p.epsilon)));

    float cosine[kMostRope / 2], sine[kMostRope / 2], key[kMostRope];
    Rotation(p, position, cosine, sine);
    std::memcpy(key, latent + p.rank, static_cast<size_t>(p.rope) * sizeof(float));
    RotatePairs(key, p.rope, cosine, sine);

    if (p.cache_type == CacheType::kFloat32) {
        float* line = static_cast<float*>(to);
        for (int i = 0; i < p.rank; i++) {
            line[i] = latent[i] * inverse * p.latent_norm[i] * p.latent_scale;
        }
        std::memcpy(line + p.rank, key, static_cast<size_t>(p.rope) * sizeof(float));
    } else if (p.cache_type == CacheType::kInt8) {
        int8_t* line = static_cast<int8_t*>(to);
        float normed[kMostWidth];
        for (int i = 0; i < p.rank; i++) {
            normed[i] = latent[i] * inverse * p.latent_norm[i] * p.latent_scale;
        }
        StoreInt8Row(normed, p.rank, line, 1, line + width);
        StoreInt8Row(key, p.rope, line + p.rank, 1, line + width + 4);
    } else {
        uint16_t* line = static_cast<uint16_t*>(to);
        for (int i = 0; i < p.rank; i++) {
            line[i] = NarrowToBFloat16(latent[i] * inverse * p.latent_norm[i] * p.latent_scale);
        }
        for (int i = 0; i < p.rope; i++) {
            line[p.rank + i] = NarrowToBFloat16(key[i]);
        }
    }
}

void StoreMean(const LatentAttentionArguments& p, int64_t sequence, int64_t column) {
    int64_t page = p.block_table[sequence * p.block_table_width + column], width = int64_t{p.rank} + p.rope;
    float* mean = p.sparse.means + page * width;
    std::memset(mean, 0, static_cast<size_t>(width) * sizeof(float));
    for (int64_t j = 0; j < p.page_size; j++) {
        const char* line = static_cast<const char*>(p.cache) + (page * p.page_size + j) * LineBytes(p);
        if (p.cache_type == CacheType::kFloat32) {
            const float* numbers = reinterpret_cast<const float*>(line);
            for (int64_t i = 0; i < width; i++) {
                mean[i] += numbers[i];
            }
        } else if (p.cache_type == CacheType::kInt8) {
            const int8_t* numbers = reinterpret_cast<const int8_t*>(line);
            LineScales scales = ScalesOf(p, line);
            for (int64_t i = 0; i < width; i++) {
                mean[i] += static_cast<float>(numbers[i]) * (i < p.rank ? scales.latent : scales.key);
            }
        } else {
            const uint16_t* numbers = reinterpret_cast<const uint16_t*>(line);
            for (int64_t i = 0; i < width; i++) {
                mean[i] += WidenBFloat16(numbers[i]);
            }
        }
    }
    for (int64_t i = 0; i < width; i++) {
        mean[i] /= static_cast<float>(p.page_size);
    }
}

}  // namespace longcat
