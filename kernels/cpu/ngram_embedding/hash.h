// Stage (2) of longcat/ngram_embedding.h for many tokens at once: loops without branches over blocks of tokens, which the compiler
// vectorises for the instruction set at hand. Include after avx2.h or avx512.h.
//
//   id = (x0 + Σ x_δ · p_δ) mod m      x_δ is 0 where the walk back stopped, p_δ = hash_vocab_size^δ mod m is computed once per table
//
// One division per id, by multiplication: q = (int64)(double(sum) / m) is off by at most one, because sum < 2^63 and q < 2^42
// (x < 2^31, at most 2^10 terms), so that the quotient's relative error of about 2^-52 stays far below one.
#pragma once

#include "../common/numbers.h"
#include "../common/parallel.h"
#include "longcat/ngram_embedding.h"

namespace longcat {
namespace {

constexpr int64_t kHashBlock = 128;
constexpr int kHashHistory = 15;  // longer n-grams than 16 take the plain way of ids.cc

// Whether one table's sums fit int64 without a modulus in between.
inline bool SumsFit(const NGramEmbeddingArguments& p, int64_t modulus) {
    __int128 largest = static_cast<__int128>(p.vocabulary) * modulus * p.neighbor_num;
    return largest < (static_cast<__int128>(1) << 62);
}

inline bool FastHash(const NGramEmbeddingArguments& p) {
    bool fits = p.neighbor_num - 1 <= kHashHistory;
    for (int i = 0; i < p.split_num * (p.neighbor_num - 1); i++) {
        fits = fits && SumsFit(p, p.tables[i].modulus);
    }
    return fits;
}

// Tokens first..first+count of one sequence that begins at `start`, with `context` before it.
inline void HashBlock(const NGramEmbeddingArguments& p, const int64_t* context, int64_t start, int64_t first, int64_t count, int64_t* ids) {
    int history = p.neighbor_num - 1;
    int64_t tokens[kHashHistory + kHashBlock];  // the block's tokens behind their predecessors
    for (int64_t j = 0; j < history; j++) {
        int64_t at = first - history + j;
        tokens[j] = at >= start ? p.input_ids[at] : context[history + (at - start)];
    }
    for (int64_t t = 0; t < count; t++) {
        tokens[history + t] = p.input_ids[first + t];
    }
    int64_t back[kHashHistory][kHashBlock];  // back[δ - 1][t] = x_{t-δ}, 0 where the walk stopped before
    int64_t open[kHashBlock];
    for (int64_t t = 0; t < count; t++) {
        open[t] = -1;
    }
    for (int delta = 1; delta <= history; delta++) {
        const int64_t* from = tokens + history - delta;
        for (int64_t t = 0; t < count; t++) {
            int64_t x = from[t];
            open[t] &= -static_cast<int64_t>((x >= 0) & (x != p.eos_token_id));
            back[delta - 1][t] = x & open[t];
        }
    }
    for (int order = 2; order <= p.neighbor_num; order++) {
        for (int split = 0; split < p.split_num; split++) {
            int i = (order - 2) * p.split_num + split;
            int64_t modulus = p.tables[i].modulus, power = 1, sum[kHashBlock];
            double inverse = 1.0 / static_cast<double>(modulus);
            for (int64_t t = 0; t < count; t++) {
                sum[t] = tokens[history + t];
            }
            for (int delta = 1; delta < order; delta++) {
                power = power * (p.hash_vocab_size % modulus) % modulus;
                for (int64_t t = 0; t < count; t++) {
                    sum[t] += back[delta - 1][t] * power;
                }
            }
            int64_t* to = ids + i * p.tokens + first;
            for (int64_t t = 0; t < count; t++) {
                int64_t rest = sum[t] - static_cast<int64_t>(static_cast<double>(sum[t]) * inverse) * modulus;
                rest += modulus & (rest >> 63);
                rest -= modulus;
                to[t] = rest + (modulus & (rest >> 63));
            }
        }
    }
}

inline void NGramHash(const NGramEmbeddingArguments& p, int64_t* ids, const ParallelFor& parallel) {
    if (!FastHash(p)) {
        NGramIds(CpuPath::kReference, p, ids, parallel);
        return;
    }
    int64_t blocks = CeilDivide(p.tokens, kHashBlock);
    For(Unless(blocks < 8, parallel), static_cast<size_t>(blocks), [&](size_t index) {
        int64_t first = static_cast<int64_t>(index) * kHashBlock, end = Smaller(first + kHashBlock, p.tokens);
        int64_t low = 0, high = p.sequences - 1;  // the last sequence that begins at or before the block
        while (low < high) {
            int64_t middle = (low + high + 1) / 2;
            if (p.query_start[middle] <= first) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        for (int64_t s = low; first < end; s++) {
            int64_t last = Smaller(end, p.query_start[s + 1]);
            if (last > first) {
                HashBlock(p, p.ngram_context + s * (p.neighbor_num - 1), p.query_start[s], first, last - first, ids);
                first = last;
            }
        }
    });
}

}  // namespace
}  // namespace longcat
