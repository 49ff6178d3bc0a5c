// The second and third stage (longcat/cuda/paged_attention.h).
#pragma once

#include "prepare.cuh"

namespace longcat::cuda {

inline constexpr int kAttendWarps = 4, kAttendThreads = kAttendWarps * kWarp;
inline constexpr int kChunk = 64;   // keys at a time
inline constexpr int kKeyStages = 3;

// kWarpKeys: the keys of a chunk that one warp takes. 16: all warps have the same 16 rows; 64: each has 16 of 64.
template <int kWarpKeys>
inline constexpr int kAttendRows = kWarpKeys == kChunk ? 16 * kAttendWarps : 16;
template <int kDim>
inline constexpr int kKeyStageBytes = 2 * kChunk * kDim * 2;
// At the end the warps' sums meet in the same memory.
template <int kDim, int kWarpKeys>
inline constexpr size_t kAttendShared = size_t{kKeyStages} * kKeyStageBytes<kDim>;

// Where 16 bytes of a row of kDim elements lie: pieces are exchanged among eight so that a column of eight rows touches all banks.
template <int kDim>
__device__ __forceinline__ int PieceOffset(int row, int piece) { return row * kDim * 2 + ((piece ^ (row & 7)) * 16); }

template <int kDim>
__device__ __forceinline__ void LoadKeys(const PagedParameters& p, uint8_t* stage, int64_t block, const Blocks<kChunk>& blocks, int64_t last, int64_t sequence,
                                         int64_t kv_head) {
    const PagedAttentionArguments& a = p.a;
    const uint16_t* cache = static_cast<const uint16_t*>(a.cache);
    constexpr int kPieces = kDim / 8;
    for (int i = ThreadX(); i < kChunk * kPieces; i += kAttendThreads) {
        int row = i / kPieces, piece = i % kPieces;
        int64_t position = block * kChunk + row;
        bool seen = position <= last && (position < blocks.sink_end || position >= blocks.local_begin);
        const PagePlace at = seen ? PageOf(a, sequence, position, p.fault) : PagePlace{-1, 0};
        bool there = at.page >= 0 && piece * 8 < a.head_dim;
        const uint16_t* from = cache;
        if (there) {
            from += HeadBegin(a, at.page, kv_head) + static_cast<int64_t>(at.slot) * a.head_dim + piece * 8;
        }
        CopyAsync16(stage + PieceOffset<kDim>(row, piece), from, there);
        CopyAsync16(stage + kChunk * kDim * 2 + PieceOffset<kDim>(row, piece), there ? from + a.page_size * a.head_dim : from, there);
    }
}

// Row r of a part: its sums, then its maximum (in base 2) and its total.
__device__ __forceinline__ float* PartialRow(const PagedParameters& p, int64_t tile, int64_t kv_head, int64_t split, int rows, int row) {
    return p.partial + (((tile * p.a.num_kv_heads + kv_head) * p.splits + split) * rows + row) * (p.a.head_dim + 2);
}

// Grid: tiles, kv heads, parts of the keys.
template <int kDim, int kWarpKeys>
__global__ void __launch_bounds__(kAttendThreads) PagedAttend(PagedParameters p) {
    constexpr int kRows = kAttendRows<kWarpKeys>, kSteps = kDim / 16, kKeyTiles = kWarpKeys / 8, kOutTiles = kDim / 8;
    constexpr bool kByKeys = kWarpKeys < kChunk;
    const PagedAttentionArguments& a = p.a;
    const int warp = ThreadX() / kWarp, lane = ThreadX() % kWarp, group = lane / 4, place = lane % 4;
    const int64_t kv_head = BlockY(), heads = a.num_heads / a.num_kv_heads;
    const TilePlace at = PlaceOf(a.query_start, a.sequences, heads, kRows, BlockX());
    const int64_t first_token = a.query_start[at.sequence], count = a.query_start[at.sequence + 1] - first_token, rows = count * heads;
    if (at.row >= rows) {
        return;  // an empty tile
    }
    const int64_t before = a.context_length[at.sequence] - count;  // positions of this sequence before its first new token
    const int64_t last_row = SmallerOf(at.row + kRows, rows) - 1;
    const int64_t first = before + at.row / heads, last = before + last_row / heads;
    const Blocks<kChunk> blocks(p.pattern, first, last);
    const int64_t begin = blocks.Count() * BlockZ() / p.splits, end = blocks.Count() * (BlockZ() + 1) / p.splits;
    uint8_t* stages = SharedMemory();

#pragma unroll
    for (int s = 0; s < kKeyStages - 1; s++) {
        if (begin + s < end) {
            LoadKeys<kDim>(p, stages + s * kKeyStageBytes<kDim>, blocks.At(begin + s), blocks, last, at.sequence, kv_head);
        }
        CommitCopies();
    }

    // The two rows of this thread: group and group + 8 of the warp's 16.
    const int warp_row = kByKeys ? 0 : 16 * warp, first_key = kByKeys ? kWarpKeys * warp : 0;
    int position[2], local_begin[2];
    uint32_t query[kSteps][4];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t row = SmallerOf(at.row + warp_row + group + 8 * half, rows - 1);  // beyond the last: that again, and never written
        int64_t token = row / heads, head = kv_head * heads + row % heads;
        position[half] = static_cast<int>(before + token), local_begin[half] = static_cast<int>(p.pattern.LocalBegin(before + token));
        const uint16_t* from = p.queries + ((first_token + token) * a.num_heads + head) * a.head_dim;
#pragma unroll
        for (int step = 0; step < kSteps; step++) {
#pragma unroll
            for (int part = 0; part < 2; part++) {
                int i = 16 * step + 8 * part + 2 * place;
                query[step][half + 2 * part] = i < a.head_dim ? *reinterpret_cast<const uint32_t*>(from + i) : 0u;
            }
        }
    }
    const int sink_end = static_cast<int>(SmallerOf(p.pattern.SinkEnd(), last + 1));

    float output[kOutTiles][4] = {};
    float largest[2] = {FloatOf(kMinusInfinityBits), FloatOf(kMinusInfinityBits)}, total[2] = {0, 0};
    for (int64_t index = begin; index < end; index++) {
        WaitCopies<kKeyStages - 2>();
        Barrier();  // the copies of all threads are there, and all have left the stage that is filled next
        if (index + kKeyStages - 1 < end) {
            int64_t to = (index - begin + kKeyStages - 1) % kKeyStages;
            LoadKeys<kDim>(p, stages + to * kKeyStageBytes<kDim>, blocks.At(index + kKeyStages - 1), blocks, last, at.sequence, kv_head);
        }
        CommitCopies();
        const uint8_t* keys = stages + (index - begin) % kKeyStages * kKeyStageBytes<kDim>;
        const uint8_t* values = keys + kChunk * kDim * 2;

        float scores[kKeyTiles][4] = {};
#pragma unroll
        for (int step = 0; step < kSteps; step++) {
#pragma unroll
            for (int pair = 0; pair < kKeyTiles / 2; pair++) {
                uint32_t matrices[4];  // keys 0..7 and 8..15 of the pair, elements 0..7 and 8..15 of the step
                int row = first_key + 16 * pair + lane / 16 * 8 + lane % 8;
                LoadMatrices<false>(matrices, keys + PieceOffset<kDim>(row, 2 * step + lane / 8 % 2));
                const uint32_t low[2] = {matrices[0], matrices[1]}, high[2] = {matrices[2], matrices[3]};
                MmaBFloat16(scores[2 * pair], query[step], low);
                MmaBFloat16(scores[2 * pair + 1], query[step], high);
            }
        }
        // Register r of tile t is key 8 · t + 2 · place + r % 2 of row group + 8 · (r / 2).
        const int block_begin = static_cast<int>(blocks.At(index)) * kChunk + first_key;
        float highest[2] = {largest[0], largest[1]};
#pragma unroll
        for (int t = 0; t < kKeyTiles; t++) {
#pragma unroll
            for (int r = 0; r < 4; r++) {
                int key = block_begin + 8 * t + 2 * place + r % 2;
                bool seen = key <= position[r / 2] && (key < sink_end || key >= local_begin[r / 2]);
                scores[t][r] = seen ? scores[t][r] : FloatOf(kMinusInfinityBits);
                highest[r / 2] = LargerFloat(highest[r / 2], scores[t][r]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            highest[half] = LargestOver<4>(highest[half]);
            // While a row has seen nothing its maximum is -infinity, and 0 stands for it: every weight is then 2^-infinity = 0.
            float shift = highest[half] == FloatOf(kMinusInfinityBits) ? 0 : highest[half];
            float factor = Exp2(largest[half] - shift);
            largest[half] = highest[half];
            total[half] *= factor;
#pragma unroll
            for (int t = 0; t < kOutTiles; t++) {
                output[t][2 * half] *= factor, output[t][2 * half + 1] *= factor;
            }
#pragma unroll
            for (int t = 0; t < kKeyTiles; t++) {
#pragma unroll
                for (int r = 2 * half; r < 2 * half + 2; r++) {
                    scores[t][r] = Exp2(scores[t][r] - shift);
                    total[half] += scores[t][r];
                }
            }
        }
#pragma unroll
        for (int pair = 0; pair < kKeyTiles / 2; pair++) {
            const uint32_t weights[4] = {PackBFloat16(scores[2 * pair][0], scores[2 * pair][1]), PackBFloat16(scores[2 * pair][2], scores[2 * pair][3]),
                                         PackBFloat16(scores[2 * pair + 1][0], scores[2 * pair + 1][1]),
                                         PackBFloat16(scores[2 * pair + 1][2], scores[2 * pair + 1][3])};
#pragma unroll
            for (int t = 0; t < kOutTiles / 2; t++) {
                uint32_t matrices[4];  // keys 0..7 and 8..15, elements 0..7; the same of elements 8..15
                int row = first_key + 16 * pair + lane / 8 % 2 * 8 + lane % 8;
                LoadMatrices<true>(matrices, values + PieceOffset<kDim>(row, 2 * t + lane / 16));
                const uint32_t low[2] = {matrices[0], matrices[1]}, high[2] = {matrices[2], matrices[3]};
                MmaBFloat16(output[2 * t], weights, low);
                MmaBFloat16(output[2 * t + 1], weights, high);
            }
        }
    }
    total[0] = SumOver<4>(total[0]), total[1] = SumOver<4>(total[1]);

    if constexpr (kByKeys) {
        // The warps' sums, maxima and totals: [warp][16][kDim + 2]. Stages are free once nobody reads or fills them.
        float* meeting = reinterpret_cast<float*>(stages);
        WaitCopies<0>();
        Barrier();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float* to = meeting + (warp * 16 + group + 8 * half) * (kDim + 2);
#pragma unroll
            for (int t = 0; t < kOutTiles; t++) {
                to[8 * t + 2 * place] = output[t][2 * half], to[8 * t + 2 * place + 1] = output[t][2 * half + 1];
            }
            if (place == 0) {
                to[kDim] = largest[half], to[kDim + 1] = total[half];
            }
        }
        Barrier();
        for (int cell = ThreadX(); cell < 16 * kDim; cell += kAttendThreads) {
            int row = cell / kDim, i = cell % kDim;
            if (at.row + row >= rows || i >= a.head_dim) {
                continue;
            }
            float highest = FloatOf(kMinusInfinityBits), sum = 0, weight = 0;
            for (int w = 0; w < kAttendWarps; w++) {
                highest = LargerFloat(highest, meeting[(w * 16 + row) * (kDim + 2) + kDim]);
            }
            float shift = highest == FloatOf(kMinusInfinityBits) ? 0 : highest;
            for (int w = 0; w < kAttendWarps; w++) {
                const float* from = meeting + (w * 16 + row) * (kDim + 2);
                float factor = Exp2(from[kDim] - shift);
                sum += from[i] * factor, weight += from[kDim + 1] * factor;
            }
            if (p.splits > 1) {
                float* to = PartialRow(p, BlockX(), kv_head, BlockZ(), kRows, row);
                to[i] = sum;
                if (i == 0) {
                    to[a.head_dim] = highest, to[a.head_dim + 1] = weight;
                }
            } else {
                int64_t of = at.row + row;
                a.output[((first_token + of / heads) * a.num_heads + kv_head * heads + of % heads) * a.head_dim + i] = sum / weight;
            }
        }
    } else {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = warp_row + group + 8 * half;
            int64_t of = at.row + row;
            if (of >= rows) {
                continue;
            }
            float* to = p.splits > 1 ? PartialRow(p, BlockX(), kv_head, BlockZ(), kRows, row)
                                     : a.output + ((first_token + of / heads) * a.num_heads + kv_head * heads + of % heads) * a.head_dim;
            float inverse = p.splits > 1 ? 1 : Divide(1, total[half]);
#pragma unroll
            for (int t = 0; t < kOutTiles; t++) {
                int i = 8 * t + 2 * place;
                if (i < a.head_dim) {
                    to[i] = output[t][2 * half] * inverse, to[i + 1] = output[t][2 * half + 1] * inverse;
                }
            }
            if (p.splits > 1 && place == 0) {
                to[a.head_dim] = largest[half], to[a.head_dim + 1] = total[half];
            }
        }
    }
}

// Grid: tiles, kv heads. Parts without keys have a maximum of -infinity and count nothing.
template <int kRows>
__global__ void __launch_bounds__(kAttendThreads) PagedMerge(PagedParameters p) {
    const PagedAttentionArguments& a = p.a;
    const int64_t kv_head = BlockY(), heads = a.num_heads / a.num_kv_heads;
    const TilePlace at = PlaceOf(a.query_start, a.sequences, heads, kRows, BlockX());
    const int64_t first_token = a.query_start[at.sequence], rows = (a.query_start[at.sequence + 1] - first_token) * heads;
    for (int cell = ThreadX(); cell < kRows * a.head_dim; cell += kAttendThreads) {
        int row = cell / a.head_dim, i = cell % a.head_dim;
        int64_t of = at.row + row;
        if (of >= rows) {
            return;
        }
        float highest = FloatOf(kMinusInfinityBits), sum = 0, weight = 0;
        for (int64_t split = 0; split < p.splits; split++) {
            highest = LargerFloat(highest, PartialRow(p, BlockX(), kv_head, split, kRows, row)[a.head_dim]);
        }
        for (int64_t split = 0; split < p.splits; split++) {
            const float* from = PartialRow(p, BlockX(), kv_head, split, kRows, row);
            float factor = Exp2(from[a.head_dim] - (highest == FloatOf(kMinusInfinityBits) ? 0 : highest));
            sum += from[i] * factor, weight += from[a.head_dim + 1] * factor;
        }
        a.output[((first_token + of / heads) * a.num_heads + kv_head * heads + of % heads) * a.head_dim + i] = sum / weight;
    }
}

}  // namespace longcat::cuda
