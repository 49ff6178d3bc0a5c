// How numbers lie in the paged cache of an attention. int8: symmetric, value = integer · scale, one float32 scale for every row of integers
// (which rows there are and where the scales lie is the operator's own: latent_attention.h, paged_attention.h).
//
//   scale = max|x| / 127,  integer = round(x · (127 / max|x|)), ties to even
//
// A row whose largest magnitude is below 2^-110 has the scale 0 and integers 0; one with a NaN or an infinity has the scale NaN and integers 0:
// what attends to it is NaN, as it would be with floats.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longcat {

enum class CacheType : int { kFloat32, kBFloat16, kInt8 };

// Bytes of one number, without scales.
inline constexpr int64_t SizeOf(CacheType type) { return type == CacheType::kFloat32 ? 4 : type == CacheType::kBFloat16 ? 2 : 1; }

// Bytes of a token in a cache of LatentAttention and of PagedAttention.
inline constexpr int64_t LatentLineBytes(CacheType type, int64_t rank, int64_t rope) {
    return (rank + rope) * SizeOf(type) + (type == CacheType::kInt8 ? 8 : 0);
}
inline constexpr int64_t PagedLineBytes(CacheType type, int64_t kv_heads, int64_t head_dim) {
    return kv_heads * (2 * head_dim * SizeOf(type) + (type == CacheType::kInt8 ? 8 : 0));
}

}  // namespace longcat
