// The highest of many scores, by their bits: no sorting, two or three passes. Internal linkage for the same reason as in parallel.h.
#pragma once

#include <cstdint>
#include <cstring>

namespace longcat {
namespace {

// Ascending like the scores; 0 and -0 are one number, what is no number lies below all.
inline uint32_t Rank(float score) {
    uint32_t bits;
    std::memcpy(&bits, &score, sizeof(bits));
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return 0;
    }
    bits = bits == 0x80000000u ? 0 : bits;
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// The rank of the count-th highest score of [from, to), and how many of that rank are among the count highest.
struct Lowest {
    uint32_t rank;
    int64_t taken;

    // Whether the next score, asked for in ascending order, is among them: of equal ones the first.
    bool Takes(float score) {
        uint32_t other = Rank(score);
        return other > rank || (other == rank && taken-- > 0);
    }
};

inline Lowest FindLowest(const float* scores, int64_t from, int64_t to, int64_t count) {
    constexpr int kBits = 11, kBins = 1 << kBits;
    uint32_t prefix = 0, mask = 0;
    for (int shift = 32 - kBits; mask != 0xffffffffu; shift = shift > kBits ? shift - kBits : 0) {
        int32_t bins[kBins] = {};
        uint32_t low = shift == 0 ? ~mask : kBins - 1;  // the last pass has the bits that are left
        for (int64_t j = from; j < to; j++) {
            uint32_t rank = Rank(scores[j]);
            if ((rank & mask) == prefix) {
                bins[rank >> shift & low]++;
            }
        }
        uint32_t bin = low;
        while (bins[bin] < count) {
            count -= bins[bin--];
        }
        prefix |= bin << shift;
        mask |= low << shift;
    }
    return {prefix, count};
}

}  // namespace
}  // namespace longcat
