// Numbers as the bytes of an attention's cache.
#pragma once

#include "harness.h"
#include "longcat/cache.h"

namespace longcat::test {

inline const char* Name(CacheType type) { return type == CacheType::kFloat32 ? "float32" : type == CacheType::kBFloat16 ? "bfloat16" : "int8"; }

// Whether a path rounds queries and weights to bfloat16 for the sake of its dot products.
inline bool RoundsToPairs(CpuPath path, CacheType type) { return path == CpuPath::kAvx512Bf16 && type == CacheType::kBFloat16; }
constexpr double kPairTolerance = 1e-2;
constexpr const char* kPairWhy = "8 bits of queries and weights: 2^-9 of a score of a few units, 2^-9 of a weight";

inline CacheType Cached(Random& random) { return static_cast<CacheType>(random.Below(3)); }

// Numbers of -1..1 (bfloat16: cut off). int8: after every `values` integers there are `scales` scales of about 1 / 127.
inline std::vector<uint8_t> CacheBytes(CacheType type, const std::vector<float>& numbers, int64_t values, int64_t scales) {
    std::vector<uint8_t> bytes;
    bytes.reserve(numbers.size() * static_cast<size_t>(SizeOf(type)) +
                  (type == CacheType::kInt8 ? numbers.size() / static_cast<size_t>(values) * static_cast<size_t>(scales) * 4 : 0));
    auto append = [&](const void* from, size_t count) {
        const uint8_t* at = static_cast<const uint8_t*>(from);
        bytes.insert(bytes.end(), at, at + count);
    };
    for (size_t i = 0; i < numbers.size(); i++) {
        if (type == CacheType::kFloat32) {
            append(&numbers[i], 4);
        } else if (type == CacheType::kBFloat16) {
            append(reinterpret_cast<const char*>(&numbers[i]) + 2, 2);
        } else {
            bytes.push_back(static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(numbers[i] * 127))));
            for (int64_t k = 0; (i + 1) % static_cast<size_t>(values) == 0 && k < scales; k++) {
                float scale = (1 + std::fabs(numbers[i - static_cast<size_t>(k % values)])) / 200;
                append(&scale, 4);
            }
        }
    }
    return bytes;
}

// A row as the cache gives it back, by the formula of longcat/cache.h.
inline void RoundTrip(CacheType type, float* row, int64_t count) {
    float most = 0;
    for (int64_t i = 0; i < count; i++) {
        most = std::max(most, std::fabs(row[i]));
    }
    for (int64_t i = 0; i < count; i++) {
        if (type == CacheType::kBFloat16) {
            uint32_t bits;
            std::memcpy(&bits, &row[i], 4);
            bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
            std::memcpy(&row[i], &bits, 4);
        } else if (type == CacheType::kInt8) {
            row[i] = most < 0x1p-110f ? 0 : std::nearbyint(row[i] * (127 / most)) * (most / 127);
        }
    }
}

}  // namespace longcat::test
