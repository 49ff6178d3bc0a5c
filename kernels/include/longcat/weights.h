// Weights as they lie in the checkpoint: row-major, float32 or bfloat16, read from the mapped file and never copied whole.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longcat {

enum class WeightType : int {
    kFloat32,
    kBFloat16,  // the upper half of a float32; widening is exact
};

struct Weights {
    const void* data = nullptr;
    WeightType type = WeightType::kFloat32;
};

inline constexpr size_t SizeOf(WeightType type) { return type == WeightType::kFloat32 ? 4 : 2; }

}  // namespace longcat
