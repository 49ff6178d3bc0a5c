// The first stage of ExpertMixture (longcat/cuda/expert_mixture.h): logits, choice, weights.
#pragma once

#include "../common/instructions.cuh"
#include "../common/rank.cuh"
#include "longcat/expert_mixture.h"

namespace longcat::cuda {

struct RouterParameters {
    int64_t tokens = 0, hidden = 0;
    int experts = 0, all = 0, top_k = 0;  // all: with the zero experts
    int most_skipped = 0;
    float factor = 1;
    bool normalize = false, identity = true;
    bool vector = false;  // rows of x and router may be loaded by 16 bytes
    const float* x = nullptr;
    const float* router = nullptr;
    const float* bias = nullptr;
    const uint8_t* marks = nullptr;  // of tokens that skip; null: none does
    const float* betas = nullptr;
    float* logits = nullptr;       // [tokens, all]
    float* squares = nullptr;      // [all]: |router_e|²
    int32_t* chosen = nullptr;     // [tokens, top_k], ascending
    int32_t* place = nullptr;      // [tokens, top_k]: 0 an expert that works for the token, -1 a zero expert or a skipped one
    float* weight = nullptr;       // [tokens, top_k]
    float* zero_weight = nullptr;  // [tokens]
    int32_t* selected = nullptr;   // the caller's, may be null
    float* shares = nullptr;
};

inline constexpr int kRouterWarps = 4, kRouterThreads = kRouterWarps * kWarp;

struct Four {
    float x[4];
};
// Values k..k+3 of a row; zeros beyond it.
__device__ __forceinline__ Four LoadFour(const float* row, int64_t k, int64_t length, bool vector) {
    Four values = {};
    if (vector && k < length) {
        const Words4 words = *reinterpret_cast<const Words4*>(row + k);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            values.x[i] = FloatOf(words.x[i]);
        }
    } else if (!vector) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            values.x[i] = k + i < length ? row[k + i] : 0;
        }
    }
    return values;
}

// Logits of some tokens and experts by one warp: a lane adds every 32nd piece of four, ascending, fused; then the lanes are added. The order is the same for
// all sizes of tiles.
template <int kTokens, int kExperts, bool kNorms>
__device__ __forceinline__ void RouterTile(const RouterParameters& p, int64_t first_token, int64_t first_expert) {
    const int lane = ThreadX() % kWarp;
    const float *rows[kTokens], *experts[kExperts];
#pragma unroll
    for (int t = 0; t < kTokens; t++) {
        rows[t] = p.x + SmallerOf(first_token + t, p.tokens - 1) * p.hidden;
    }
#pragma unroll
    for (int e = 0; e < kExperts; e++) {
        experts[e] = p.router + SmallerOf(first_expert + e, p.all - 1) * p.hidden;
    }
    float sums[kTokens][kExperts] = {}, squares[kExperts] = {};
    constexpr int kTogether = kTokens == 1 ? 8 : kTokens == 4 ? 4 : 1;  // pieces whose loads are under way
    for (int64_t begin = 4 * lane; begin < p.hidden; begin += 4 * kWarp * kTogether) {
        Four x[kTogether][kTokens], router[kTogether][kExperts];
#pragma unroll
        for (int piece = 0; piece < kTogether; piece++) {
            const int64_t k = begin + 4 * kWarp * piece;
#pragma unroll
            for (int t = 0; t < kTokens; t++) {
                x[piece][t] = LoadFour(rows[t], k, p.hidden, p.vector);
            }
#pragma unroll
            for (int e = 0; e < kExperts; e++) {
                router[piece][e] = LoadFour(experts[e], k, p.hidden, p.vector);
            }
        }
#pragma unroll
        for (int at = 0; at < 4 * kTogether; at++) {
            const int piece = at / 4, i = at % 4;
#pragma unroll
            for (int e = 0; e < kExperts; e++) {
#pragma unroll
                for (int t = 0; t < kTokens; t++) {
                    sums[t][e] = MultiplyAdd(x[piece][t].x[i], router[piece][e].x[i], sums[t][e]);
                }
                if constexpr (kNorms) {
                    squares[e] = MultiplyAdd(router[piece][e].x[i], router[piece][e].x[i], squares[e]);
                }
            }
        }
    }
#pragma unroll
    for (int e = 0; e < kExperts; e++) {
#pragma unroll
        for (int t = 0; t < kTokens; t++) {
            float sum = SumOver<kWarp>(sums[t][e]);
            if (lane == 0 && first_token + t < p.tokens && first_expert + e < p.all) {
                p.logits[(first_token + t) * p.all + first_expert + e] = sum;
            }
        }
        if constexpr (kNorms) {
            float sum = SumOver<kWarp>(squares[e]);
            if (lane == 0 && first_expert + e < p.all) {
                p.squares[first_expert + e] = sum;
            }
        }
    }
}

// Grid: tokens / kTokens, experts / (4 · kExperts).
template <int kTokens, int kExperts>
__global__ void __launch_bounds__(kRouterThreads) RouterLogits(RouterParameters p) {
    const int64_t token = static_cast<int64_t>(BlockX()) * kTokens, expert = (static_cast<int64_t>(BlockY()) * kRouterWarps + ThreadX() / kWarp) * kExperts;
    if (expert >= p.all) {
        return;
    }
    if (token == 0) {
        RouterTile<kTokens, kExperts, true>(p, token, expert);
    } else {
        RouterTile<kTokens, kExperts, false>(p, token, expert);
    }
}

// What a block keeps of its token, in shared memory.
struct RouterCells {
    float* values;    // [all]: logits, then probabilities
    uint32_t* keys;   // [all]: 0 chosen, else 1 + the rank of what selects
    int32_t* order;   // [top_k]: as they were chosen
    int32_t* chosen;  // [top_k]: ascending
    int32_t* kept;    // [top_k]
    float* cells;     // [kRouterWarps]
    float* divisor;   // [1]

    __device__ __forceinline__ explicit RouterCells(const RouterParameters& p)
        : values(reinterpret_cast<float*>(SharedMemory())),
          keys(reinterpret_cast<uint32_t*>(values + p.all)),
          order(reinterpret_cast<int32_t*>(keys + p.all)),
          chosen(order + p.top_k),
          kept(chosen + p.top_k),
          cells(reinterpret_cast<float*>(kept + p.top_k)),
          divisor(cells + kRouterWarps) {}
};
inline constexpr size_t RouterShared(int64_t all, int64_t top_k) { return (2 * static_cast<size_t>(all) + 3 * static_cast<size_t>(top_k) + kRouterWarps + 1) * 4; }

__device__ __forceinline__ float LargestOverBlock(float value, float* cells) {
    value = LargestOver<kWarp>(value);
    Barrier();  // whoever still reads the cells of an earlier call is done
    if (ThreadX() % kWarp == 0) {
        cells[ThreadX() / kWarp] = value;
    }
    Barrier();
    for (int warp = 0; warp < kRouterWarps; warp++) {
        value = LargerFloat(value, cells[warp]);
    }
    return value;
}

__device__ __forceinline__ float Selecting(const RouterParameters& p, int e, float probability) { return p.bias == nullptr ? probability : Add(probability, p.bias[e]); }

// From logits to probabilities, and the choice.
__device__ __forceinline__ void Choose(const RouterParameters& p, const RouterCells& s) {
    const int lane = ThreadX() % kWarp;
    float largest = FloatOf(kMinusInfinityBits);
    for (int e = ThreadX(); e < p.all; e += kRouterThreads) {
        largest = LargerFloat(largest, s.values[e]);
    }
    largest = LargestOverBlock(largest, s.cells);
    for (int e = ThreadX(); e < p.all; e += kRouterThreads) {
        s.values[e] = ExponentialBelowOne(s.values[e] - largest);
    }
    Barrier();
    float total = 0;  // in the CPU's order, by every thread
    for (int e = 0; e < p.all; e++) {
        total = Add(total, s.values[e]);
    }
    Barrier();
    for (int e = ThreadX(); e < p.all; e += kRouterThreads) {
        float probability = Divide(s.values[e], total);
        s.values[e] = probability;
        s.keys[e] = RankOf(Selecting(p, e, probability)) + 1;
    }
    Barrier();
    if (ThreadX() < kWarp) {
        // The best of the experts that this lane has; of equal ones the lower index.
        uint32_t own = 0;
        int32_t own_expert = 0;
        auto look = [&] {
            own = 0, own_expert = INT32_MAX;
            for (int e = lane; e < p.all; e += kWarp) {
                if (s.keys[e] > own) {
                    own = s.keys[e], own_expert = e;
                }
            }
        };
        look();
        for (int i = 0; i < p.top_k; i++) {
            uint32_t best = own;
            int32_t expert = own_expert;
#pragma unroll
            for (int mask = kWarp / 2; mask > 0; mask /= 2) {
                uint32_t other = ShuffleXor(best, mask);
                int32_t other_expert = ShuffleXor(expert, mask);
                if (other > best || (other == best && other_expert < expert)) {
                    best = other, expert = other_expert;
                }
            }
            if (lane == expert % kWarp) {
                s.order[i] = expert;
                s.keys[expert] = 0;
                look();
            }
        }
    }
    Barrier();
    for (int i = ThreadX(); i < p.top_k; i += kRouterThreads) {
        int before = 0;
        for (int j = 0; j < p.top_k; j++) {
            before += s.order[j] < s.order[i] ? 1 : 0;
        }
        s.chosen[before] = s.order[i];
    }
    Barrier();
}

// Whether logits as wrong as float32 sums can be could change the choice: as cpu/expert_mixture/routing.h, for the additions of RouterTile.
__device__ __forceinline__ bool InDoubt(const RouterParameters& p, const RouterCells& s, int64_t token) {
    const float* x = p.x + token * p.hidden;
    float square = 0;
    for (int64_t k = ThreadX(); k < p.hidden; k += kRouterThreads) {
        square = MultiplyAdd(x[k], x[k], square);
    }
    square = SumOver<kWarp>(square);
    Barrier();
    if (ThreadX() % kWarp == 0) {
        s.cells[ThreadX() / kWarp] = square;
    }
    Barrier();
    square = 0;
    for (int warp = 0; warp < kRouterWarps; warp++) {
        square += s.cells[warp];
    }
    float longest = 0;
    for (int e = ThreadX(); e < p.all; e += kRouterThreads) {
        float other = p.squares[e];
        longest = LargerFloat(longest, IsFinite(other) ? other : FloatOf(0x7f800000u));
    }
    longest = LargestOverBlock(longest, s.cells);
    const double additions = static_cast<double>((p.hidden + 4 * kWarp - 1) / (4 * kWarp) * 4 + 5);
    const float error = static_cast<float>(SquareRoot(additions) * 0x1p-24 * SquareRoot(static_cast<double>(square)) * SquareRoot(static_cast<double>(longest)));
    if (!(error < 0.1f)) {
        return true;
    }
    const float relative = 2 * error + 0x1p-20f;
    float least = FloatOf(0x7f800000u), most = FloatOf(kMinusInfinityBits);
    for (int e = ThreadX(); e < p.all; e += kRouterThreads) {
        float value = Selecting(p, e, s.values[e]), wrong = s.values[e] * relative + Magnitude(value) * 0x1p-22f;
        if (s.keys[e] == 0) {
            least = -LargerFloat(-least, -(value - wrong));
        } else {
            most = LargerFloat(most, value + wrong);
        }
    }
    least = -LargestOverBlock(-least, s.cells), most = LargestOverBlock(most, s.cells);
    return !(most < least);
}

// What a marked token leaves out (SkipExperts of the CPU): kept[i] becomes -1.
__device__ __forceinline__ void Skip(const RouterParameters& p, const RouterCells& s) {
    double all = 0, tail = 0;
    int count = 0, skipped = 0;
    for (int i = 0; i < p.top_k; i++) {
        if (s.kept[i] == 0) {
            all += static_cast<double>(s.values[s.chosen[i]]);
            count++;
        }
    }
    const int most = p.most_skipped < count - 1 ? p.most_skipped : count - 1;
    for (int j = 1; j <= most; j++) {  // the j-th smallest is marked with -1 - j
        int least = -1;
        for (int i = 0; i < p.top_k; i++) {
            if (s.kept[i] == 0 && (least < 0 || s.values[s.chosen[i]] <= s.values[s.chosen[least]])) {
                least = i;
            }
        }
        s.kept[least] = -1 - j;
        tail += static_cast<double>(s.values[s.chosen[least]]);
        skipped = tail / all < static_cast<double>(p.betas[j - 1]) ? j : skipped;
    }
    for (int i = 0; i < p.top_k; i++) {
        if (s.kept[i] < -1) {
            s.kept[i] = -1 - s.kept[i] <= skipped ? -1 : 0;
        }
    }
}

__device__ __forceinline__ float WeightOf(const RouterParameters& p, const RouterCells& s, int i, float divisor) {
    return Multiply(Divide(s.values[s.chosen[i]], divisor), p.factor);
}

// Grid: tokens.
__global__ void __launch_bounds__(kRouterThreads) RouterSelect(RouterParameters p) {
    const int64_t token = BlockX();
    const RouterCells s(p);
    for (int e = ThreadX(); e < p.all; e += kRouterThreads) {
        s.values[e] = p.logits[token * p.all + e];
    }
    Barrier();
    Choose(p, s);
    if (InDoubt(p, s, token)) {  // the same in every thread
        Barrier();
        const int lane = ThreadX() % kWarp;
        for (int e = ThreadX() / kWarp; e < p.all; e += kRouterWarps) {
            double sum = 0;
            for (int64_t k = lane; k < p.hidden; k += kWarp) {
                sum += static_cast<double>(p.x[token * p.hidden + k]) * static_cast<double>(p.router[e * p.hidden + k]);
            }
            sum = SumOver<kWarp>(sum);
            if (lane == 0) {
                s.values[e] = static_cast<float>(sum);
            }
        }
        Barrier();
        Choose(p, s);
    }
    if (ThreadX() == 0) {
        for (int i = 0; i < p.top_k; i++) {
            s.kept[i] = s.chosen[i] < p.experts ? 0 : -1;
        }
        if (p.marks != nullptr && p.marks[token] != 0) {
            Skip(p, s);
        }
        float divisor = 1;
        if (p.normalize) {
            divisor = 0;
            for (int i = 0; i < p.top_k; i++) {
                if (s.chosen[i] >= p.experts || s.kept[i] == 0) {
                    divisor = Add(divisor, s.values[s.chosen[i]]);
                }
            }
            divisor = Add(divisor, 1e-20f);
        }
        float zero = 0;
        for (int i = 0; i < p.top_k; i++) {
            if (s.chosen[i] >= p.experts) {
                zero = Add(zero, WeightOf(p, s, i, divisor));
            }
        }
        p.zero_weight[token] = p.identity ? zero : 0;
        *s.divisor = divisor;
    }
    Barrier();
    for (int i = ThreadX(); i < p.top_k; i += kRouterThreads) {
        const int64_t at = token * p.top_k + i;
        const float weight = WeightOf(p, s, i, *s.divisor);
        p.chosen[at] = s.chosen[i], p.place[at] = s.kept[i], p.weight[at] = weight;
        if (p.selected != nullptr) {
            p.selected[at] = s.chosen[i];
        }
        if (p.shares != nullptr) {
            p.shares[at] = s.kept[i] < 0 ? 0 : weight;
        }
    }
}

}  // namespace longcat::cuda
