// NGramEmbedding (LongCat-Flash-Lite, arXiv 2601.21204): the embedding of a token and of the n-grams that end in it.
//
//   e(t) = (word[x_t] + Σ_i projection_i · table_i[id_i(t)]) / (1 + n),    n = split_num · (neighbor_num - 1) tables of width d
//
// Table i = (order - 2) · split_num + split, for order 2..neighbor_num, has modulus T_i and
//
//   id_i(t) = (x_t + Σ_{δ=1}^{order-1} x_{t-δ} · (hash_vocab_size^δ mod T_i)) mod T_i        (int64)
//
// The sum over δ walks back from t and stops at the start of the sequence, at an entry -1 of ngram_context and at an end-of-sequence
// token: the EOS token itself sees its predecessors, tokens after it see neither it nor what lies before it.
//
//   input_ids [T] packed, query_start [S+1], ngram_context [S, N-1] (the tokens before this step, oldest first, -1 for none)
//   word [V, H]    table_i [rows_i, d], rows_i >= T_i    projection_i [H, d]    embedding [T, H] float32
//
// A table's row may also be d 8-bit integers and behind them the float32 scale (little endian, at any address) that they are multiplied by:
// d + 4 bytes in one place, so that a row is still one touch of memory.
//
// Stages: (1) check every id, (2) hash: n rows per token, (3) gather those rows (only they are read from the mapping) as float32,
// (4) project them and sum over i in ascending order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/status.h"
#include "longcat/weights.h"

namespace longcat {

struct NGramTable {
    Weights rows;        // [row_count, table_width]
    Weights projection;  // [hidden, table_width], row-major or in panels, alike for all tables
    int64_t row_count = 0;
    int64_t modulus = 0;                  // T_i, 1..row_count
    const int8_t* scaled_rows = nullptr;  // where this is not null, instead of rows: [row_count, table_width + 4], integers, then their scale
};

// Bytes of a table's row.
inline int64_t RowBytes(const NGramTable& table, int64_t width) {
    return table.scaled_rows != nullptr ? width + 4 : width * static_cast<int64_t>(SizeOf(table.rows.type));
}

struct NGramEmbeddingArguments {
    int64_t tokens = 0, sequences = 0, vocabulary = 0, hidden = 0, table_width = 0;
    int64_t hash_vocab_size = 0, eos_token_id = 0;
    int neighbor_num = 0, split_num = 0;
    const int64_t* input_ids = nullptr;
    const int32_t* query_start = nullptr;
    const int64_t* ngram_context = nullptr;
    Weights word;
    const NGramTable* tables = nullptr;  // split_num · (neighbor_num - 1) of them
    float* embedding = nullptr;
};

// Bytes of scratch NGramEmbedding wants, 64-byte aligned: the ids and the gathered rows.
size_t NGramEmbeddingWorkspace(const NGramEmbeddingArguments& arguments);

// The ids alone, ids[i · tokens + t], the same on every path; input must be valid (NGramEmbedding checks it). Also what a prefetcher of
// table rows needs.
void NGramIds(CpuPath path, const NGramEmbeddingArguments& arguments, int64_t* ids, const ParallelFor& parallel);

// kInvalidArgument: sizes, moduli, query_start. kOutOfRange: a token id outside 0..vocabulary-1 (-1..vocabulary-1 in the context).
Status NGramEmbedding(CpuPath path, const NGramEmbeddingArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
