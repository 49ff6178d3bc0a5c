#include "paths.h"

namespace longcat {
namespace {

// Ascending like the scores; 0 and -0 are one number, what is no number lies below all.
uint32_t Rank(float score) {
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
};

Lowest FindLowest(const float* scores, int64_t from, int64_t to, int64_t count) {
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

void Select(const AttentionIndexerArguments& p, int64_t token, const float* scores) {
    int64_t position = p.position_ids[token], count = 0;
    int32_t* selected = p.selected + token * p.top_k;
    auto all = [&](int64_t from, int64_t to) {
        for (int64_t j = from; j < to; j++) {
            selected[count++] = static_cast<int32_t>(j);
        }
    };
    if (position < p.top_k) {
        all(0, position + 1);
        for (; count < p.top_k; count++) {
            selected[count] = -1;
        }
        return;
    }
    all(0, p.init_tokens);
    IndexRange range = ScoredKeys(p, position);
    if (range.from < range.to) {
        Lowest lowest = FindLowest(scores, range.from, range.to, p.top_k - p.init_tokens - p.local_tokens);
        for (int64_t j = range.from; j < range.to; j++) {
            uint32_t rank = Rank(scores[j]);
            if (rank > lowest.rank || (rank == lowest.rank && lowest.taken-- > 0)) {
                selected[count++] = static_cast<int32_t>(j);
            }
        }
    }
    all(position + 1 - p.local_tokens, position + 1);
}

}  // namespace longcat
