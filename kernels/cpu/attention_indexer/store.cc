#include <cmath>

#include "paths.h"

namespace longcat {
namespace {

void RotateFirst(const AttentionIndexerArguments& p, int64_t position, float* x) {
    for (int i = 0; i < p.rope_dim / 2; i++) {
        float angle = static_cast<float>(position) * p.inv_freq[i];
        float cosine = std::cos(angle) * p.rope_multiplier, sine = std::sin(angle) * p.rope_multiplier;
        float even = x[2 * i], odd = x[2 * i + 1];
        x[2 * i] = even * cosine - odd * sine;
        x[2 * i + 1] = odd * cosine + even * sine;
    }
}

}  // namespace

void StoreIndexKey(const AttentionIndexerArguments& p, int64_t sequence, int64_t token) {
    const float* source = p.key + token * p.head_dim;
    double squares = 0;
    for (int i = 0; i < p.head_dim; i++) {
        squares += static_cast<double>(source[i]) * source[i];
    }
    float inverse = static_cast<float>(1.0 / std::sqrt(squares / p.head_dim + static_cast<double>(p.epsilon)));
    float key[kMostIndexDim];
    for (int i = 0; i < p.head_dim; i++) {
        key[i] = source[i] * inverse * p.key_norm[i];
    }
    RotateFirst(p, p.position_ids[token], key);
    IndexSlot slot = IndexSlotOf(p, sequence, p.position_ids[token]);
    for (int i = 0; i < p.head_dim; i++) {
        if (p.cache_type == WeightType::kFloat32) {
            static_cast<float*>(p.cache)[slot.first + i * slot.stride] = key[i];
        } else {
            static_cast<uint16_t*>(p.cache)[slot.first + i * slot.stride] = NarrowToBFloat16(key[i]);
        }
    }
}

void RotateIndexQueries(const AttentionIndexerArguments& p, int64_t token, float* to) {
    int64_t width = int64_t{p.num_heads} * p.head_dim;
    std::memcpy(to, p.query + token * width, static_cast<size_t>(width) * sizeof(float));
    for (int h = 0; h < p.num_heads; h++) {
        RotateFirst(p, p.position_ids[token], to + int64_t{h} * p.head_dim);
    }
}

}  // namespace longcat
