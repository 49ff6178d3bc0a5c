// Which keys a query sees, and which blocks of keys a tile of queries must visit (longcat/streaming.h; window: longcat/paged_attention.h).
#pragma once

#include "cuda.cuh"
#include "longcat/streaming.h"

namespace longcat::cuda {

struct Pattern {
    int window = 0;
    StreamingPattern streaming;

    __host__ __device__ int64_t SinkEnd() const { return static_cast<int64_t>(streaming.sink_blocks) * streaming.block_size; }
    // Where the run of keys begins that ends with the query itself.
    __host__ __device__ int64_t LocalBegin(int64_t position) const {
        if (window > 0) {
            return LargerOf(0, position - window + 1);
        }
        return streaming.block_size == 0
                   ? 0
                   : LargerOf(SinkEnd(), (position / streaming.block_size - streaming.local_blocks + 1) * streaming.block_size);
    }
};

// The blocks of kBlock positions that queries at positions first..last see keys of: [0, sinks) and [local, local + locals), as positions / kBlock.
template <int kBlock>
struct Blocks {
    int64_t sinks, local, locals;
    int64_t sink_end, local_begin;  // positions: keys between the two are seen by none of them

    __device__ Blocks(const Pattern& pattern, int64_t first, int64_t last) {
        sink_end = SmallerOf(pattern.SinkEnd(), last + 1), local_begin = pattern.LocalBegin(first);
        sinks = (sink_end + kBlock - 1) / kBlock;
        local = LargerOf(local_begin / kBlock, sinks);
        locals = LargerOf(last / kBlock + 1 - local, 0);
    }
    __device__ int64_t Count() const { return sinks + locals; }
    __device__ int64_t At(int64_t index) const { return index < sinks ? index : local + index - sinks; }
};

// The sequence whose tokens begin at or before `token`: the last one with query_start <= token that is not empty.
__device__ __forceinline__ int64_t SequenceOf(const int32_t* query_start, int64_t sequences, int64_t token) {
    int64_t low = 0, high = sequences - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (query_start[middle] <= token) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

// Tiles of `rows` rows, of which a token has rows_per_token. Where a tile never spans two tokens there are as many as needed; elsewhere a sequence whose
// tokens begin at q gets the tiles from q · rows_per_token / rows + its number on, which is at least as many as it needs, so that a tile's sequence is
// found without a table: some tiles are then empty.
__host__ __device__ __forceinline__ bool TilesOfOneToken(int64_t rows_per_token, int rows) { return rows_per_token % rows == 0; }
__host__ __device__ __forceinline__ int64_t TilesOf(int64_t tokens, int64_t sequences, int64_t rows_per_token, int rows) {
    return tokens * rows_per_token / rows + (TilesOfOneToken(rows_per_token, rows) ? 0 : sequences);
}
struct TilePlace {
    int64_t sequence, row;  // row: of the sequence
};
__device__ __forceinline__ TilePlace PlaceOf(const int32_t* query_start, int64_t sequences, int64_t rows_per_token, int rows, int64_t tile) {
    const int64_t extra = TilesOfOneToken(rows_per_token, rows) ? 0 : 1;
    int64_t low = 0, high = sequences - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (query_start[middle] * rows_per_token / rows + extra * middle <= tile) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return {low, (tile - query_start[low] * rows_per_token / rows - extra * low) * rows};
}

}  // namespace longcat::cuda
