// The third stage of AttentionIndexer (longcat/cuda/attention_indexer.h).
#pragma once

#include "../common/rank.cuh"
#include "prepare.cuh"

namespace longcat::cuda {

inline constexpr int kSelectWarps = 16, kSelectThreads = kSelectWarps * kWarp;
inline constexpr int kRankBits = 11, kRankBins = 1 << kRankBits;
// Bins, sums of a warp's part of them, and two counts of each warp.
inline constexpr size_t kSelectShared = (kRankBins + kRankBins / kWarp + 2 * kSelectWarps) * 4;

// The rank of the count-th highest score, and how many of that rank are taken.
struct LowestTaken {
    uint32_t rank;
    int64_t of_rank;
};

// As FindLowest of cpu/common/highest.h, by a block.
__device__ __forceinline__ LowestTaken FindLowest(const float* scores, const IndexRange& range, int64_t count, int32_t* bins) {
    int32_t* sums = bins + kRankBins;
    constexpr int kPart = kWarp, kParts = kRankBins / kPart;
    uint32_t prefix = 0, mask = 0;
    for (int pass = 0; pass < 3; pass++) {
        const int shift = pass == 0 ? 21 : pass == 1 ? 10 : 0;
        const uint32_t low = pass < 2 ? kRankBins - 1 : (1u << 10) - 1;
        for (int i = ThreadX(); i < kRankBins; i += kSelectThreads) {
            bins[i] = 0;
        }
        Barrier();
        for (int64_t j = range.from + ThreadX(); j < range.to; j += kSelectThreads) {
            const uint32_t rank = RankOf(scores[j]);
            if ((rank & mask) == prefix) {
                AddToShared(bins + (rank >> shift & low), 1);
            }
        }
        Barrier();
        for (int part = ThreadX() / kWarp; part < kParts; part += kSelectWarps) {
            int32_t sum = SumOver<kWarp>(bins[part * kPart + ThreadX() % kWarp]);
            if (ThreadX() % kWarp == 0) {
                sums[part] = sum;
            }
        }
        Barrier();
        // From the top: the part, then the bin, in which the count-th lies. Every thread for itself.
        int part = kParts - 1;
        while (part > 0 && sums[part] < count) {
            count -= sums[part--];
        }
        int bin = part * kPart + kPart - 1;
        while (bin > part * kPart && bins[bin] < count) {
            count -= bins[bin--];
        }
        prefix |= static_cast<uint32_t>(bin) << shift;
        mask |= low << shift;
        Barrier();  // the bins may be cleared
    }
    return {prefix, count};
}

// Grid: tokens of this launch.
__global__ void __launch_bounds__(kSelectThreads) IndexerSelect(IndexerParameters p) {
    const AttentionIndexerArguments& a = p.a;
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp;
    const int64_t token = p.first + BlockX(), position = a.position_ids[token];
    int32_t* selected = a.selected + token * a.top_k;
    if (position < a.top_k) {
        for (int i = ThreadX(); i < a.top_k; i += kSelectThreads) {
            selected[i] = i <= position ? i : -1;
        }
        return;
    }
    for (int i = ThreadX(); i < a.init_tokens; i += kSelectThreads) {
        selected[i] = i;
    }
    for (int i = ThreadX(); i < a.local_tokens; i += kSelectThreads) {
        selected[a.top_k - a.local_tokens + i] = static_cast<int32_t>(position + 1 - a.local_tokens + i);
    }
    const IndexRange range = ScoredKeys(p, position);
    if (range.from >= range.to) {
        return;
    }
    int32_t* bins = reinterpret_cast<int32_t*>(SharedMemory());
    int32_t* counts = bins + kRankBins + kRankBins / kWarp;  // [2][warps]: above the lowest, of its rank
    const float* scores = p.scores + static_cast<int64_t>(BlockX()) * p.stride;
    const LowestTaken lowest = FindLowest(scores, range, a.top_k - a.init_tokens - a.local_tokens, bins);

    // Each warp has a run of whole rows of 32 keys.
    const int64_t rows = (range.to - range.from + kWarp - 1) / kWarp, begin = rows * warp / kSelectWarps, end = rows * (warp + 1) / kSelectWarps;
    auto rank_at = [&](int64_t row, bool* there) {
        const int64_t j = range.from + row * kWarp + lane;
        *there = j < range.to;
        return *there ? RankOf(scores[j]) : 0u;
    };
    int32_t above = 0, equal = 0;
    for (int64_t row = begin; row < end; row++) {
        bool there;
        const uint32_t rank = rank_at(row, &there);
        above += BitsSet(Ballot(there && rank > lowest.rank)), equal += BitsSet(Ballot(there && rank == lowest.rank));
    }
    if (lane == 0) {
        counts[warp] = above, counts[kSelectWarps + warp] = equal;
    }
    Barrier();
    above = equal = 0;
    for (int w = 0; w < warp; w++) {
        above += counts[w], equal += counts[kSelectWarps + w];
    }
    const uint32_t before = (1u << lane) - 1;
    for (int64_t row = begin; row < end; row++) {
        bool there;
        const uint32_t rank = rank_at(row, &there), higher = Ballot(there && rank > lowest.rank), same = Ballot(there && rank == lowest.rank);
        const int64_t same_before = equal + BitsSet(same & before);
        const bool taken = there && (rank > lowest.rank || (rank == lowest.rank && same_before < lowest.of_rank));
        if (taken) {
            const int64_t at = a.init_tokens + above + BitsSet(higher & before) + SmallerOf(same_before, lowest.of_rank);
            selected[at] = static_cast<int32_t>(range.from + row * kWarp + lane);
        }
        above += BitsSet(higher), equal += BitsSet(same);
    }
}

}  // namespace longcat::cuda
