// The two register tiles of LatentAttention and its softmax, written once for every vector width. Include after avx2.h, avx512.h or neon.h.
//
// Scores  s[j, r]  = Σ_d k[j, d] · q[d, r]                        lanes are rows (a token's head), d ascending
// Soften  s[j, r]  = 2^(s[j, r] - maximum_r)                       lanes are rows
// Values  y[r, :]  = ratio_r · y[r, :] + Σ_j s[j, r] · k[j, :rank]  lanes are elements of the latent, j ascending
//
// Keys are read as they lie, one number for all rows, and nothing is ever added up across lanes. Every score and every element of a sum
// lives in one lane of one register and is summed in ascending order: it depends on nothing but its own terms, not on the tile.
#pragma once

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

// Lines of the cache that will be needed next: while a tile reads element d of its keys, it asks the second-level cache for what lies there in
// each of them. Null: nothing.
struct Ahead {
    const char* const* lines;
    int64_t step;  // numbers in 64 bytes
};

template <int V>
void ScoreTile(const float* query, int64_t rows, const float* keys, int64_t line, int64_t width, float* scores, const Ahead& ahead) {
    Vector sum[kScoreKeys][V];
#pragma GCC unroll 8
    for (int j = 0; j < kScoreKeys; j++) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            sum[j][v] = Simd::Zero();
        }
    }
    for (int64_t from = 0; from < width; from += ahead.step) {
        if (ahead.lines != nullptr) {
#pragma GCC unroll 8
            for (int j = 0; j < kScoreKeys; j++) {
                __builtin_prefetch(ahead.lines[j] + from / ahead.step * 64, 0, 2);
            }
        }
        int64_t to = Smaller(from + ahead.step, width);
        for (int64_t d = from; d < to; d++) {
            Vector q[V];
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) {
                q[v] = Simd::Load(query + d * rows + v * Simd::kLanes);
            }
#pragma GCC unroll 8
            for (int j = 0; j < kScoreKeys; j++) {
                Vector key = Simd::All(keys[j * line + d]);
#pragma GCC unroll 8
                for (int v = 0; v < V; v++) {
                    sum[j][v] = Simd::MultiplyAdd(key, q[v], sum[j][v]);
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
inline void Scores(const float* query, int64_t rows, const float* keys, int64_t line, int64_t width, float* scores, Ahead ahead) {
    for (int64_t r = 0; r < rows;) {
        int64_t left = (rows - r) / Simd::kLanes, vectors = left == 4 ? 2 : Smaller(left, kScoreVectors);  // four are twice two
        if (vectors == 3) {
            ScoreTile<3>(query + r, rows, keys, line, width, scores + r, ahead);
        } else if (vectors == 2) {
            ScoreTile<2>(query + r, rows, keys, line, width, scores + r, ahead);
        } else {
            ScoreTile<1>(query + r, rows, keys, line, width, scores + r, ahead);
        }
        ahead.lines = nullptr;  // once
        r += vectors * Simd::kLanes;
    }
}

// Turns the scores of the keys [from, to) of a block into weights and updates the rows' maxima and sums. ratio: by what the sums so far
// shrink. A row that sees none of these keys has lowest scores only: weights of 0, a ratio of 1.
inline void Soften(float* scores, int64_t rows, int64_t from, int64_t to, float* maxima, float* totals, float* ratio) {
    for (int64_t r = 0; r < rows; r += Simd::kLanes) {
        float* column = scores + r;
        Vector most = Simd::All(kLowest), before = Simd::Load(maxima + r);
        for (int64_t j = from; j < to; j++) {
            most = Simd::Larger(most, Simd::Load(column + j * rows));
        }
        most = Simd::Larger(before, most);
        Vector shift = Simd::Larger(Simd::All(-3e38f), most);  // finite where nothing has been seen yet
        Vector shrunk = Exp2(Simd::Subtract(before, shift)), sum[4] = {Simd::Zero(), Simd::Zero(), Simd::Zero(), Simd::Zero()};
        int64_t j = from;
        for (; j < to; j += 4) {  // from and to are multiples of kScoreKeys
#pragma GCC unroll 4
            for (int x = 0; x < 4; x++) {
                Vector weight = Exp2(Simd::Subtract(Simd::Load(column + (j + x) * rows), shift));
                Simd::Store(column + (j + x) * rows, weight);
                sum[x] = Simd::Add(sum[x], weight);
            }
        }
        Vector total = Simd::Add(Simd::Add(sum[0], sum[1]), Simd::Add(sum[2], sum[3]));
        Simd::Store(maxima + r, most);
        Simd::Store(totals + r, Simd::MultiplyAdd(Simd::Load(totals + r), shrunk, total));
        Simd::Store(ratio + r, shrunk);
    }
}

// A part of a line of the cache as numbers: integers times their scale, others as they are.
template <class C>
void WidenRow(const C* from, int64_t count, Vector scale, float* to) {
    auto number = [&](Vector x) __attribute__((always_inline)) { return sizeof(C) == 1 ? Simd::Multiply(x, scale) : x; };
    int64_t i = 0;
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        Simd::Store(to + i, number(Simd::Load(from + i)));
    }
    if (i < count) {
        Simd::Store(to + i, number(Simd::Load(from + i, count - i)), count - i);
    }
}

// One token of few heads: the lanes are four rows of kFewKeys keys, so that they are not empty. Every score has the terms and the order that it
// has above, and a block's weights are added up in the same four sums.
constexpr int64_t kFewRows = 4;
constexpr int kFewKeys = Simd::kLanes / 4;         // of a vector
constexpr int64_t kFewTileKeys = 4 * kFewKeys;     // of a tile: they divide a block

// scores [kFewTileKeys, 4]
inline void FewScores(const float* query, const float* keys, int64_t line, int64_t width, float* scores) {
    Vector sum[4] = {Simd::Zero(), Simd::Zero(), Simd::Zero(), Simd::Zero()}, key[4];
    auto add = [&](auto spread, int64_t d) __attribute__((always_inline)) {
        Vector q = Simd::LoadFour(query + d * kFewRows);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            sum[g] = Simd::MultiplyAdd(spread(key[g]), q, sum[g]);
        }
    };
    for (int64_t d = 0; d < width; d += 4) {  // a line is padded to whole vectors
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            key[g] = Simd::LoadFours(keys + g * kFewKeys * line + d, line);
        }
        add([](Vector v) __attribute__((always_inline)) { return Simd::Spread<0>(v); }, d);
        if (d + 1 < width) {
            add([](Vector v) __attribute__((always_inline)) { return Simd::Spread<1>(v); }, d + 1);
        }
        if (d + 2 < width) {
            add([](Vector v) __attribute__((always_inline)) { return Simd::Spread<2>(v); }, d + 2);
        }
        if (d + 3 < width) {
            add([](Vector v) __attribute__((always_inline)) { return Simd::Spread<3>(v); }, d + 3);
        }
    }
    for (int g = 0; g < 4; g++) {
        Simd::Store(scores + g * Simd::kLanes, sum[g]);
    }
}

// Soften for four rows.
inline void FewSoften(float* scores, int64_t from, int64_t to, float* maxima, float* totals, float* ratio) {
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
    for (int64_t j = from; j < to; j += 4) {
#pragma GCC unroll 4
        for (int x = 0; x < kSums; x++) {
            float* at = scores + (j + x * kFewKeys) * kFewRows;
            Vector weight = Exp2(Simd::Subtract(Simd::Load(at), shift));
            Simd::Store(at, weight);
            sum[x] = Simd::Add(sum[x], weight);
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

template <int M, int V>
void ValueTile(const float* weights, int64_t rows, const float* ratio, const float* lines, int64_t line, int64_t count, float* sums, int64_t stride) {
    Vector sum[M][V];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
        Vector scale = Simd::All(ratio[i]);
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            sum[i][v] = Simd::Multiply(Simd::Load(sums + i * stride + v * Simd::kLanes), scale);
        }
    }
    for (int64_t j = 0; j < count; j++) {
        Vector value[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            value[v] = Simd::Load(lines + j * line + v * Simd::kLanes);
        }
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            Vector weight = Simd::All(weights[j * rows + i]);
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) {
                sum[i][v] = Simd::MultiplyAdd(weight, value[v], sum[i][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            Simd::Store(sums + i * stride + v * Simd::kLanes, sum[i][v]);
        }
    }
}

// sums [count rows, stride] = ratio · sums + weights · lines, `columns` of them, whole vectors. Columns outside: those of a strip of the lines
// stay in the first-level cache.
inline void Values(const float* weights, int64_t rows, int64_t count, const float* ratio, const float* lines, int64_t line, int64_t keys, int64_t columns,
                   float* sums, int64_t stride) {
    using Tile = void (*)(const float*, int64_t, const float*, const float*, int64_t, int64_t, float*, int64_t);
    static constexpr Tile kWide[] = {ValueTile<1, kValueVectors>, ValueTile<2, kValueVectors>, ValueTile<3, kValueVectors>,
                                     ValueTile<4, kValueVectors>, ValueTile<5, kValueVectors>, ValueTile<6, kValueVectors>};
    static constexpr Tile kNarrow[] = {ValueTile<1, 1>, ValueTile<2, 1>, ValueTile<3, 1>, ValueTile<4, 1>, ValueTile<5, 1>, ValueTile<6, 1>};
    for (int64_t column = 0; column < columns;) {
        bool wide = columns - column >= kValueVectors * Simd::kLanes;
        for (int64_t r = 0; r < count; r += kValueRows) {
            int64_t number = Smaller(kValueRows, count - r);
            (wide ? kWide : kNarrow)[number - 1](weights + r, rows, ratio + r, lines + column, line, keys, sums + r * stride + column, stride);
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
