// The two register tiles of LatentAttention and its softmax, written once for every vector width and both kinds of words. Include after avx2.h,
// avx512.h or neon.h.
//
// Scores  s[j, r]  = Σ_d k[j, d] · q[d, r]                        lanes are rows (a token's head), d ascending
// Soften  s[j, r]  = 2^(s[j, r] - maximum_r)                       lanes are rows
// Values  y[r, :]  = ratio_r · y[r, :] + Σ_j s[j, r] · k[j, :rank]  lanes are elements of the latent, j ascending
//
// A word is what one lane multiplies at once: a float (Singles), or two bfloat16 (Pairs, simd/pairs_avx512.h), of which scores take neighbouring
// elements d and sums neighbouring keys j. Keys are read word by word for all rows, and nothing is ever added up across lanes. Every score and
// every element of a sum lives in one lane of one register and is summed in ascending order: it depends on nothing but its own terms, not on the tile.
#pragma once

#include "../simd/exp.h"
#include "scratch.h"

namespace longcat {
namespace {

using Vector = Simd::Vector;

constexpr bool kManyRegisters = Simd::kLanes == 16;     // 32 of them, else 16
constexpr int kScoreKeys = kManyRegisters ? 8 : 4;      // of a tile of scores; they divide a block
constexpr int kScoreVectors = 3;                        // … and the most vectors of rows
constexpr int kValueRows = 6;                           // the most of a tile of sums
constexpr int kValueVectors = kManyRegisters ? 4 : 2;   // … and vectors of elements
constexpr float kLowest = -__builtin_inff();

struct Singles {
    using Word = float;
    using Words = Vector;
    static constexpr int kNumbers = 1;  // of a word

    static Words Load(const Word* x) { return Simd::Load(x); }
    static Words AllAt(const void* x) { return Simd::All(*static_cast<const float*>(x)); }
    static Words LoadFour(const void* x) { return Simd::LoadFour(static_cast<const float*>(x)); }
    static Words LoadFours(const void* x, int64_t stride) {
        return Simd::LoadFours(static_cast<const float*>(x), stride / static_cast<int64_t>(sizeof(float)));
    }
    template <int I>
    static Words Spread(Words v) {
        return Simd::Spread<I>(v);
    }
    static Vector MultiplyAdd(Words a, Words b, Vector c) { return Simd::MultiplyAdd(a, b, c); }
    static Vector Exp2(Vector x) { return longcat::Exp2(x); }
};

// Lines of the cache that will be needed next: while a tile reads a word of its keys, it asks the second-level cache for what lies there in
// each of them. Null: nothing.
struct Ahead {
    const char* const* lines;
    int64_t step;  // words of a tile in 64 bytes
};

// keys: where each of kScoreKeys keys lies, word behind word.
template <class T, int V>
void ScoreTile(const typename T::Word* query, int64_t rows, const char* const* keys, int64_t words, float* scores, const Ahead& ahead) {
    Vector sum[kScoreKeys][V];
    const char* at[kScoreKeys];
#pragma GCC unroll 8
    for (int j = 0; j < kScoreKeys; j++) {
        at[j] = keys[j];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            sum[j][v] = Simd::Zero();
        }
    }
    for (int64_t from = 0; from < words; from += ahead.step) {
        if (ahead.lines != nullptr) {
#pragma GCC unroll 8
            for (int j = 0; j < kScoreKeys; j++) {
                __builtin_prefetch(ahead.lines[j] + from / ahead.step * 64, 0, 2);
            }
        }
        int64_t to = Smaller(from + ahead.step, words);
        for (int64_t d = from; d < to; d++) {
            typename T::Words q[V];
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) {
                q[v] = T::Load(query + d * rows + v * Simd::kLanes);
            }
#pragma GCC unroll 8
            for (int j = 0; j < kScoreKeys; j++) {
                typename T::Words key = T::AllAt(at[j] + d * 4);
#pragma GCC unroll 8
                for (int v = 0; v < V; v++) {
                    sum[j][v] = T::MultiplyAdd(key, q[v], sum[j][v]);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < kScoreKeys; j++) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            Simd::Store(scores + j * rows + v * Simd::kLanes, sum[j][v]);
        }
    }
}

// kScoreKeys keys by all rows, whole vectors of them.
template <class T>
inline void Scores(const typename T::Word* query, int64_t rows, const char* const* keys, int64_t words, float* scores, Ahead ahead) {
    for (int64_t r = 0; r < rows;) {
        int64_t left = (rows - r) / Simd::kLanes, vectors = left == 4 ? 2 : Smaller(left, kScoreVectors);  // four are twice two
        if (vectors == 3) {
            ScoreTile<T, 3>(query + r, rows, keys, words, scores + r, ahead);
        } else if (vectors == 2) {
            ScoreTile<T, 2>(query + r, rows, keys, words, scores + r, ahead);
        } else {
            ScoreTile<T, 1>(query + r, rows, keys, words, scores + r, ahead);
        }
        ahead.lines = nullptr;  // once
        r += vectors * Simd::kLanes;
    }
}

// Turns the scores of the keys [from, to) of a block into weights and updates the rows' maxima and sums. ratio: by what the sums so far
// shrink. A row that sees none of these keys has lowest scores only: weights of 0, a ratio of 1. Pairs of weights take the place of the scores of
// their keys' halves: those of keys 2i and 2i + 1 lie in row i.
template <class T>
inline void Soften(float* scores, int64_t rows, int64_t from, int64_t to, float* maxima, float* totals, float* ratio) {
    for (int64_t r = 0; r < rows; r += Simd::kLanes) {
        float* column = scores + r;
        Vector largest[4], before = Simd::Load(maxima + r);
        for (Vector& x : largest) {
            x = Simd::All(kLowest);
        }
        for (int64_t j = from; j < to; j += 4) {  // from and to are multiples of kScoreKeys
#pragma GCC unroll 4
            for (int x = 0; x < 4; x++) {
                largest[x] = Simd::Larger(largest[x], Simd::Load(column + (j + x) * rows));
            }
        }
        Vector most = Simd::Larger(before, Simd::Larger(Simd::Larger(largest[0], largest[1]), Simd::Larger(largest[2], largest[3])));
        Vector shift = Simd::Larger(Simd::All(-3e38f), most);  // finite where nothing has been seen yet
        Vector shrunk = Exp2(Simd::Subtract(before, shift)), sum[4] = {Simd::Zero(), Simd::Zero(), Simd::Zero(), Simd::Zero()};
        for (int64_t j = from; j < to; j += 4) {
            Vector weight[4];
#pragma GCC unroll 4
            for (int x = 0; x < 4; x++) {
                weight[x] = T::Exp2(Simd::Subtract(Simd::Load(column + (j + x) * rows), shift));
                sum[x] = Simd::Add(sum[x], weight[x]);
                if constexpr (T::kNumbers == 1) {
                    Simd::Store(column + (j + x) * rows, weight[x]);
                }
            }
            if constexpr (T::kNumbers == 2) {
                typename T::Word* pair = reinterpret_cast<typename T::Word*>(scores) + r + j / 2 * rows;
                T::Store(pair, T::Pack(weight[0], weight[1]));
                T::Store(pair + rows, T::Pack(weight[2], weight[3]));
            }
        }
        Vector total = Simd::Add(Simd::Add(sum[0], sum[1]), Simd::Add(sum[2], sum[3]));
        Simd::Store(maxima + r, most);
        Simd::Store(totals + r, Simd::MultiplyAdd(Simd::Load(totals + r), shrunk, total));
        Simd::Store(ratio + r, shrunk);
    }
}

// One token of few heads: the lanes are four rows of kFewKeys keys, so that they are not empty. Every score has the terms and the order that it
// has above, and a block's weights are added up in the same four sums.
constexpr int64_t kFewRows = 4;
constexpr int kFewKeys = Simd::kLanes / 4;         // of a vector
constexpr int64_t kFewTileKeys = 4 * kFewKeys;     // of a tile: they divide a block

// scores [kFewTileKeys, 4]; the keys lie `stride` bytes apart, padded to fours of words.
template <class T>
inline void FewScores(const typename T::Word* query, const char* keys, int64_t stride, int64_t words, float* scores) {
    Vector sum[4] = {Simd::Zero(), Simd::Zero(), Simd::Zero(), Simd::Zero()};
    typename T::Words key[4];
    auto add = [&](auto spread, int64_t d) __attribute__((always_inline)) {
        typename T::Words q = T::LoadFour(query + d * kFewRows);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            sum[g] = T::MultiplyAdd(spread(key[g]), q, sum[g]);
        }
    };
    for (int64_t d = 0; d < words; d += 4) {
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            key[g] = T::LoadFours(keys + g * kFewKeys * stride + d * 4, stride);
        }
        add([](auto v) __attribute__((always_inline)) { return T::template Spread<0>(v); }, d);
        if (d + 1 < words) {
            add([](auto v) __attribute__((always_inline)) { return T::template Spread<1>(v); }, d + 1);
        }
        if (d + 2 < words) {
            add([](auto v) __attribute__((always_inline)) { return T::template Spread<2>(v); }, d + 2);
        }
        if (d + 3 < words) {
            add([](auto v) __attribute__((always_inline)) { return T::template Spread<3>(v); }, d + 3);
        }
    }
    for (int g = 0; g < 4; g++) {
        Simd::Store(scores + g * Simd::kLanes, sum[g]);
    }
}

// Soften for four rows.
template <class T>
inline void FewSoften(float* scores, int64_t from, int64_t to, float* maxima, float* totals, float* ratio) {
    static_assert(T::kNumbers == 1 || kFewKeys == 4);
    constexpr int kSums = 4 / kFewKeys;
    alignas(64) float part[4][kFewRows];
    Vector most = Simd::All(kLowest), sum[kSums];
    for (int64_t j = from; j < to; j += kFewKeys) {
        most = Simd::Larger(most, Simd::Load(scores + j * kFewRows));
    }
    Simd::Store(part[0], most);
    float largest[kFewRows];
    for (int r = 0; r < kFewRows; r++) {
        largest[r] = maxima[r];
        for (int x = 0; x < kFewKeys; x++) {
            largest[r] = part[x][r] > largest[r] ? part[x][r] : largest[r];
        }
    }
    Vector shift = Simd::Larger(Simd::All(-3e38f), Simd::LoadFour(largest));
    Vector shrunk = Exp2(Simd::Subtract(Simd::LoadFour(maxima), shift));
    for (Vector& x : sum) {
        x = Simd::Zero();
    }
    if constexpr (T::kNumbers == 1) {
        for (int64_t j = from; j < to; j += 4) {
#pragma GCC unroll 4
            for (int x = 0; x < kSums; x++) {
                float* at = scores + (j + x * kFewKeys) * kFewRows;
                Vector weight = T::Exp2(Simd::Subtract(Simd::Load(at), shift));
                Simd::Store(at, weight);
                sum[x] = Simd::Add(sum[x], weight);
            }
        }
    } else {
        for (int64_t j = from; j < to; j += 8) {
            Vector a = T::Exp2(Simd::Subtract(Simd::Load(scores + j * kFewRows), shift));
            Vector b = T::Exp2(Simd::Subtract(Simd::Load(scores + (j + 4) * kFewRows), shift));
            sum[0] = Simd::Add(Simd::Add(sum[0], a), b);
            T::Store(reinterpret_cast<typename T::Word*>(scores) + j / 2 * kFewRows, T::PackFours(a, b));
        }
    }
    for (int x = 0; x < kSums; x++) {
        Simd::Store(part[x * kFewKeys], sum[x]);
    }
    Vector total = Simd::Add(Simd::Add(Simd::LoadFour(part[0]), Simd::LoadFour(part[1])), Simd::Add(Simd::LoadFour(part[2]), Simd::LoadFour(part[3])));
    Simd::Store(totals, Simd::MultiplyAdd(Simd::LoadFour(totals), shrunk, total), kFewRows);
    Simd::Store(ratio, shrunk, kFewRows);
    for (int r = 0; r < kFewRows; r++) {
        maxima[r] = largest[r];
    }
}

// The words of a block's values that a row of weights meets: from `begin` on, one for each key or pair of keys. Of a pair at either end one key may
// not be seen; its value does not count then, whatever it is.
struct ValueRun {
    int64_t begin, end;
    bool only_second = false, only_first = false;  // of the first pair, of the last one
};

// Values word behind word, `stride` words apart.
template <class T>
struct ValueRows {
    const typename T::Word* words;
    int64_t stride;

    template <int V>
    __attribute__((always_inline)) void Load(int64_t i, int64_t column, typename T::Words* value) const {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            value[v] = T::Load(words + i * stride + column + v * Simd::kLanes);
        }
    }
};

template <class T, int M, int V, class From>
void ValueTile(const typename T::Word* weights, int64_t rows, const float* ratio, const From& from, int64_t column, const ValueRun& run, float* sums,
               int64_t stride) {
    Vector sum[M][V];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
        Vector scale = Simd::All(ratio[i]);
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            sum[i][v] = Simd::Multiply(Simd::Load(sums + i * stride + column + v * Simd::kLanes), scale);
        }
    }
    auto step = [&](int64_t j, auto keep) __attribute__((always_inline)) {
        typename T::Words value[V];
        from.template Load<V>(j, column, value);
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            value[v] = keep(value[v]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            typename T::Words weight = T::AllAt(weights + j * rows + i);
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) {
                sum[i][v] = T::MultiplyAdd(weight, value[v], sum[i][v]);
            }
        }
    };
    int64_t j = run.begin;
    const int64_t end = run.end - (run.only_first ? 1 : 0);
    if constexpr (T::kNumbers == 2) {
        if (run.only_second) {
            step(j++, [](auto v) __attribute__((always_inline)) { return T::OnlySecond(v); });
        }
    }
    for (; j < end; j++) {
        step(j, [](auto v) __attribute__((always_inline)) { return v; });
    }
    if constexpr (T::kNumbers == 2) {
        if (run.only_first) {
            step(j, [](auto v) __attribute__((always_inline)) { return T::OnlyFirst(v); });
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            Simd::Store(sums + i * stride + column + v * Simd::kLanes, sum[i][v]);
        }
    }
}

// sums [count rows, stride] = ratio · sums + weights · values, `columns` of them, whole vectors. Columns outside: those of a strip of the values
// stay in the first-level cache.
template <class T, class From>
inline void Values(const typename T::Word* weights, int64_t rows, int64_t count, const float* ratio, const From& from, const ValueRun& run,
                   int64_t columns, float* sums, int64_t stride) {
    using Tile = void (*)(const typename T::Word*, int64_t, const float*, const From&, int64_t, const ValueRun&, float*, int64_t);
    static constexpr Tile kWide[] = {ValueTile<T, 1, kValueVectors, From>, ValueTile<T, 2, kValueVectors, From>, ValueTile<T, 3, kValueVectors, From>,
                                     ValueTile<T, 4, kValueVectors, From>, ValueTile<T, 5, kValueVectors, From>, ValueTile<T, 6, kValueVectors, From>};
    static constexpr Tile kNarrow[] = {ValueTile<T, 1, 1, From>, ValueTile<T, 2, 1, From>, ValueTile<T, 3, 1, From>,
                                       ValueTile<T, 4, 1, From>, ValueTile<T, 5, 1, From>, ValueTile<T, 6, 1, From>};
    for (int64_t column = 0; column < columns;) {
        bool wide = columns - column >= kValueVectors * Simd::kLanes;
        for (int64_t r = 0; r < count; r += kValueRows) {
            int64_t number = Smaller(kValueRows, count - r);
            (wide ? kWide : kNarrow)[number - 1](weights + r, rows, ratio + r, from, column, run, sums + r * stride, stride);
        }
        column += (wide ? kValueVectors : 1) * Simd::kLanes;
    }
}

// total and its state [maximum, sum] become those of both sets of keys.
inline void MergeSums(float* total, float* maximum, float* sum, const float* other, float other_maximum, float other_sum, int64_t stride) {
    float larger = other_maximum > *maximum ? other_maximum : *maximum;
    Vector mine = Exp2(Simd::All(*maximum - larger)), theirs = Exp2(Simd::All(other_maximum - larger));
    for (int64_t i = 0; i < stride; i += Simd::kLanes) {
        Simd::Store(total + i, Simd::MultiplyAdd(Simd::Load(total + i), mine, Simd::Multiply(Simd::Load(other + i), theirs)));
    }
    alignas(64) float factor[2 * Simd::kLanes];
    Simd::Store(factor, mine);
    Simd::Store(factor + Simd::kLanes, theirs);
    *maximum = larger;
    *sum = *sum * factor[0] + other_sum * factor[Simd::kLanes];
}

}  // namespace
}  // namespace longcat
