// Weights as they lie in a mapped file, float32 or bfloat16, never copied whole: row-major as in a checkpoint, or in panels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longcat {

enum class WeightType : int {
    kFloat32,
    kBFloat16,  // the upper half of a float32; widening is exact
};

// How a matrix [n, k] lies in memory.
//
//   kRows    [n, k]: the k weights of an output side by side
//   kPanels  16 outputs side by side, so that a vector register holds one output per lane and no sum runs over lanes:
//              float32   [ceil(n / 16), k, 16]
//              bfloat16  [ceil(n / 16), ceil(k / 2), 16, 2]: pairs of k share 32 bits, so that widening is a shift or a mask
//            Outputs beyond n and the k beyond an odd end are zeros.
enum class WeightLayout : int { kRows = 0, kPanels = 1 };

struct Weights {
    const void* data = nullptr;
    WeightType type = WeightType::kFloat32;
    WeightLayout layout = WeightLayout::kRows;
};

inline constexpr int64_t kPanelOutputs = 16;

// Elements of one panel over k.
inline constexpr int64_t PanelElements(WeightType type, int64_t k) {
    return kPanelOutputs * (type == WeightType::kFloat32 ? k : (k + 1) / 2 * 2);
}

inline constexpr size_t SizeOf(WeightType type) { return type == WeightType::kFloat32 ? 4 : 2; }

}  // namespace longcat
