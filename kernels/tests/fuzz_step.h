// What a random step of a kernel is (fuzz.cc).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness.h"

namespace longcat::test {

// One case of one kernel: how it runs on a path, what it wrote, and how it can be spoiled.
struct Step {
    std::string what;
    std::function<Status(CpuPath, const ParallelFor&)> run;
    std::function<void()> reset;                 // inputs that are written too become what they were
    std::function<std::vector<float>()> output;  // everything that was written, as numbers
    std::vector<std::function<void()>> spoilings;
    bool pairs = false;  // attention over a bfloat16 cache: pairs of bfloat16 where a path multiplies them
};

inline WeightType Type(Random& random) { return random.Below(2) == 0 ? WeightType::kFloat32 : WeightType::kBFloat16; }
// Now and then nothing at all.
inline int64_t Size(Random& random, int64_t most) { return random.Below(8) == 0 ? 0 : random.Between(1, most); }

inline std::vector<float> Appended(std::vector<float> numbers, const std::vector<uint8_t>& bytes) {
    numbers.insert(numbers.end(), bytes.begin(), bytes.end());
    return numbers;
}

}  // namespace longcat::test
