// The stages of NGramEmbedding (longcat/cuda/ngram_embedding.h).
#pragma once

#include "../common/instructions.cuh"
#include "../common/squares.cuh"
#include "../common/visible.cuh"
#include "longcat/cuda/ngram_embedding.h"

namespace longcat::cuda {

struct NGramDeviceTable {
    const uint16_t* rows;
    const int8_t* scaled_rows;
    const uint16_t* projection;
    int64_t modulus;
};

struct NGramParameters {
    int64_t tokens = 0, sequences = 0, vocabulary = 0, hash_vocab_size = 0, eos_token_id = 0;
    int hidden = 0, width = 0, neighbors = 0, per_order = 0, tables = 0, splits = 1;
    bool word_is_float = false;
    const int64_t* input_ids = nullptr;
    const int32_t* query_start = nullptr;
    const int64_t* context = nullptr;
    const void* word = nullptr;
    float* embedding = nullptr;
    uint16_t* rows = nullptr;   // [tokens, tables, width]
    float* scales = nullptr;    // [tokens, tables]
    float* partial = nullptr;   // [splits, tokens, hidden]
    int32_t* fault = nullptr;
    NGramDeviceTable table[kMostNGramTables];
};

inline constexpr int kGatherWarps = 4, kGatherThreads = kGatherWarps * kWarp;

// Grid: tokens x tables / 4.
__global__ void __launch_bounds__(kGatherThreads) NGramGather(NGramParameters p) {
    const int lane = ThreadX() % kWarp;
    const int64_t cell = static_cast<int64_t>(BlockX()) * kGatherWarps + ThreadX() / kWarp;
    if (cell >= p.tokens * p.tables) {
        return;
    }
    const int64_t token = cell / p.tables;
    const int index = static_cast<int>(cell % p.tables), history = p.neighbors - 1;
    const NGramDeviceTable& table = p.table[index];
    const int64_t sequence = SequenceOf(p.query_start, p.sequences, token), before = token - p.query_start[sequence];
    bool fault = false;
    // -1: none. Tokens of this step that precede this one, then the ones before the step.
    auto token_back = [&](int delta) {
        int64_t id = delta <= before ? p.input_ids[token - delta] : p.context[sequence * history + history - (delta - before)];
        int64_t least = delta <= before ? 0 : -1;
        if (id < least || id >= p.vocabulary) {
            fault = true;
            id = 0;
        }
        return id;
    };
    const int order = 2 + index / p.per_order;
    int64_t id = token_back(0) % table.modulus, power = 1;
    for (int delta = 1; delta < order; delta++) {
        int64_t previous = token_back(delta);
        if (previous < 0 || previous == p.eos_token_id) {
            break;
        }
        // Every factor is below 2^31, so the products and sums stay below 2^63.
        power = power * (p.hash_vocab_size % table.modulus) % table.modulus;
        id = (id + previous % table.modulus * power) % table.modulus;
    }
    if (fault && p.fault != nullptr) {
        *p.fault = 1;
    }
    uint16_t* to = p.rows + cell * p.width;
    if (table.scaled_rows == nullptr) {
        const uint16_t* from = table.rows + id * p.width;
        for (int i = 8 * lane; i < p.width; i += 8 * kWarp) {
            *reinterpret_cast<Words4*>(to + i) = LoadOnce(from + i);
        }
    } else {
        const int8_t* from = table.scaled_rows + id * (p.width + 4);
        for (int i = lane; i < p.width; i += kWarp) {
            to[i] = NarrowBFloat16(static_cast<float>(from[i]));
        }
    }
    if (lane == 0) {
        float scale = 1;
        if (table.scaled_rows != nullptr) {
            const int8_t* from = table.scaled_rows + id * (p.width + 4) + p.width;
            uint32_t bits = 0;
            for (int byte = 0; byte < 4; byte++) {
                bits |= static_cast<uint32_t>(static_cast<uint8_t>(from[byte])) << (8 * byte);
            }
            scale = FloatOf(bits);
        }
        p.scales[cell] = scale;
    }
}

__device__ __forceinline__ float Embedded(const NGramParameters& p, int64_t token, int column, float sum) {
    int64_t id = p.input_ids[token];
    int64_t at = (id < 0 || id >= p.vocabulary ? 0 : id) * p.hidden + column;
    float word = p.word_is_float ? static_cast<const float*>(p.word)[at] : WidenLow(static_cast<const uint16_t*>(p.word)[at]);
    return Divide(word + sum, static_cast<float>(1 + p.tables));
}

inline constexpr int kProjectWarps = 4, kProjectThreads = kProjectWarps * kWarp, kProjectTokens = 16 * kProjectWarps, kProjectColumns = 64, kProjectDepth = 64;
inline constexpr int kProjectStages = 3, kProjectStage = kProjectColumns * kProjectDepth * 2;
inline constexpr size_t kProjectShared = size_t{kProjectStages} * kProjectStage;

// Grid: outputs / 64, tokens / 64, parts of the tables.
__global__ void __launch_bounds__(kProjectThreads) NGramProject(NGramParameters p) {
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp, group = lane / 4, place = lane % 4;
    const int first_column = BlockX() * kProjectColumns, chunks = (p.width + kProjectDepth - 1) / kProjectDepth;
    const int64_t first_token = static_cast<int64_t>(BlockY()) * kProjectTokens;
    const int begin = p.tables * BlockZ() / p.splits, end = p.tables * (BlockZ() + 1) / p.splits, pieces = (end - begin) * chunks;
    uint8_t* stages = SharedMemory();

    // Piece i: chunk i % chunks of table begin + i / chunks; 64 outputs x 64 of its width.
    auto load = [&](int i) {
        if (i < pieces) {
            const uint16_t* projection = p.table[begin + i / chunks].projection;
            uint8_t* stage = stages + i % kProjectStages * kProjectStage;
            for (int at = ThreadX(); at < kProjectColumns * 8; at += kProjectThreads) {
                int row = at / 8, piece = at % 8, column = i % chunks * kProjectDepth + 8 * piece;
                bool there = first_column + row < p.hidden && column < p.width;
                CopyAsync16(stage + SquareOffset(row, piece), there ? projection + static_cast<int64_t>(first_column + row) * p.width + column : projection, there);
            }
        }
        CommitCopies();
    };
#pragma unroll
    for (int i = 0; i < kProjectStages - 1; i++) {
        load(i);
    }
    int64_t tokens[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        tokens[half] = SmallerOf(first_token + 16 * warp + group + 8 * half, p.tokens - 1);
    }
    float totals[8][4] = {}, sums[8][4] = {};
    for (int i = 0; i < pieces; i++) {
        WaitCopies<kProjectStages - 2>();
        Barrier();  // the copies of all threads are there, and all have left the stage that is filled next
        load(i + kProjectStages - 1);
        const uint8_t* stage = stages + i % kProjectStages * kProjectStage;
        const int table = begin + i / chunks, chunk = i % chunks;
#pragma unroll
        for (int step = 0; step < kProjectDepth / 16; step++) {
            uint32_t rows[4];
#pragma unroll
            for (int half = 0; half < 2; half++) {
#pragma unroll
                for (int part = 0; part < 2; part++) {
                    int k = chunk * kProjectDepth + 16 * step + 8 * part + 2 * place;
                    rows[half + 2 * part] = k < p.width ? *reinterpret_cast<const uint32_t*>(p.rows + (tokens[half] * p.tables + table) * p.width + k) : 0u;
                }
            }
#pragma unroll
            for (int t = 0; t < 4; t++) {  // sixteen outputs
                uint32_t matrices[4];
                LoadMatrices<false>(matrices, stage + SquareOffset(16 * t + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
                const uint32_t low[2] = {matrices[0], matrices[1]}, high[2] = {matrices[2], matrices[3]};
                MmaBFloat16(sums[2 * t], rows, low);
                MmaBFloat16(sums[2 * t + 1], rows, high);
            }
        }
        if (chunk + 1 == chunks) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float scale = p.scales[tokens[half] * p.tables + table];
#pragma unroll
                for (int t = 0; t < 8; t++) {
#pragma unroll
                    for (int r = 2 * half; r < 2 * half + 2; r++) {
                        totals[t][r] += scale * sums[t][r];
                        sums[t][r] = 0;
                    }
                }
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t token = first_token + 16 * warp + group + 8 * half;
        if (token >= p.tokens) {
            continue;
        }
#pragma unroll
        for (int t = 0; t < 8; t++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int column = first_column + 8 * t + 2 * place + e;
                if (column >= p.hidden) {
                    continue;
                }
                if (p.splits > 1) {
                    p.partial[(BlockZ() * p.tokens + token) * p.hidden + column] = totals[t][2 * half + e];
                } else {
                    p.embedding[token * p.hidden + column] = Embedded(p, token, column, totals[t][2 * half + e]);
                }
            }
        }
    }
}

inline constexpr int kNGramFinishThreads = 256;

// Grid: outputs / 256, tokens.
__global__ void __launch_bounds__(kNGramFinishThreads) NGramFinish(NGramParameters p) {
    const int column = BlockX() * kNGramFinishThreads + ThreadX();
    if (column >= p.hidden) {
        return;
    }
    const int64_t token = BlockY();
    float sum = 0;
    for (int split = 0; split < p.splits; split++) {
        sum += p.partial[(split * p.tokens + token) * p.hidden + column];
    }
    p.embedding[token * p.hidden + column] = Embedded(p, token, column, sum);
}

}  // namespace longcat::cuda
