// What LatentAttention does on every vectorised path but for walking over the keys: stages (1), (2) and (4) of longcat/latent_attention.h, and which
// keys and rows belong together in stage (3). Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/exp.h"
#include "../simd/tiles.h"
#include "paths.h"
#include "scratch.h"
#include "tiles.h"

namespace longcat {
namespace {

constexpr int64_t kTokenBlock = 16;
constexpr int kHeadGroup = 16;        // heads of one product with means
constexpr int64_t kScoreBlocks = 32;  // blocks of one task that scores them
constexpr int64_t kScorePages = 64;   // pages whose means are multiplied at once
constexpr int64_t kEnoughItems = 64;  // above so many a sequence's parts are not spread
constexpr int64_t kFewItems = 8;      // below so many an item takes no more than kFewestHeads heads
constexpr float kLog2E = 1.44269504f;

class LatentStages {
  protected:
    LatentStages(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments),
          plan_(PlanLatentAttention(arguments)),
          parallel_(parallel),
          width_(arguments.rank + arguments.rope),
          memory_(static_cast<char*>(workspace)) {
        rotation_ = Floats(plan_.rotation), query_ = Floats(plan_.query), latent_ = Floats(plan_.latent);
        partial_ = Floats(plan_.partial), partial_state_ = Floats(plan_.partial_state);
        tiles_ = reinterpret_cast<LatentTile*>(memory_ + plan_.tiles);
        if (SparseSequences(p) > 0) {
            removed_ = reinterpret_cast<int64_t*>(memory_ + plan_.removed);
            tables_ = reinterpret_cast<int32_t*>(memory_ + plan_.tables);
            scores_ = Floats(plan_.scores);
        }
    }

    // Stage 1.
    void StoreLines() {
        For(Unless(p.tokens * width_ < kInlineWork / 20, parallel_), static_cast<size_t>(p.tokens), [&](size_t index) {
            int64_t t = static_cast<int64_t>(index);
            StoreLine(p, SequenceOf(t), t);
        });
        if (p.sparse.means != nullptr) {
            StoreMeans();
        }
    }

    int64_t SequenceOf(int64_t token) const {
        int64_t low = 0, high = p.sequences - 1;  // the last sequence that begins at or before the token
        while (low < high) {
            int64_t middle = (low + high + 1) / 2;
            if (p.query_start[middle] <= token) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    float* Floats(size_t offset) const { return reinterpret_cast<float*>(memory_ + offset); }
    float* Query(int64_t token, int64_t head) const { return query_ + (token * p.num_heads + head) * width_; }
    float* Latent(int64_t token, int64_t head) const { return latent_ + (token * p.num_heads + head) * p.rank; }
    int64_t PartialRow(const LatentTile& tile, int64_t token, int64_t head) const {
        return tile.partial + ((token - tile.first) * p.num_heads + head) * tile.parts;
    }
    // How many keys a token sees, and the position that it would have if these were all: those that were not selected, or that sparse rows do not
    // see, do not count.
    int64_t Visible(int64_t token) const { return p.selected != nullptr ? SelectedKeys(p, begin_ + token) : VisibleKeys(p.streaming, Position(token)); }
    int64_t Position(int64_t token) const {
        if (p.selected != nullptr) {
            return SelectedKeys(p, begin_ + token) - 1;
        }
        return p.position_ids[begin_ + token] - (removed_ == nullptr ? 0 : removed_[SequenceOf(begin_ + token)]);
    }

    // Stage 2, tokens counted from begin_.
    void Fold() {
        For(Unless(count_ * p.rope < kInlineWork / 40, parallel_), static_cast<size_t>(count_), [&](size_t index) {
            int64_t t = static_cast<int64_t>(index);
            Rotation(p, p.position_ids[begin_ + t], rotation_ + t * p.rope, rotation_ + t * p.rope + p.rope / 2);
        });
        int64_t blocks = CeilDivide(count_, kTokenBlock);
        bool small = count_ * p.num_heads * p.nope * p.rank < kInlineWork;
        For(Unless(small, parallel_), static_cast<size_t>(p.num_heads * blocks), [&](size_t index) {
            int64_t head = static_cast<int64_t>(index) / blocks, first = static_cast<int64_t>(index) % blocks * kTokenBlock;
            FoldHead(head, first, Smaller(kTokenBlock, count_ - first));
        });
    }

    // Tokens from `first` on that are multiplied with the same matrix, at most `tokens`.
    int64_t Alike(int64_t first, int64_t tokens) const {
        int64_t count = 1;
        while (count < tokens && (p.row_adapter == nullptr || p.row_adapter[begin_ + first + count] == p.row_adapter[begin_ + first])) {
            count++;
        }
        return count;
    }

    void FoldHead(int64_t head, int64_t first, int64_t tokens) {
        for (int64_t count; tokens > 0; first += count, tokens -= count) {
            count = Alike(first, tokens);
            FoldAlike(head, first, count);
        }
    }

    void FoldAlike(int64_t head, int64_t first, int64_t tokens) {
        const Weights kv_b = KeysAndValuesOf(p, begin_ + first);
        int64_t query_width = p.nope + p.rope, row = head * (p.nope + p.v);
        const float* source = p.query + ((begin_ + first) * p.num_heads + head) * query_width;
        int64_t source_stride = p.num_heads * query_width, stride = p.num_heads * width_;
        for (int64_t t = 0; t < tokens; t++) {
            float* to = Query(first + t, head);
            for (int i = 0; i < p.rank; i++) {
                to[i] = 0;
            }
        }
        constexpr int64_t kFoldRows = 64;
        for (int64_t i = 0; i < p.nope; i += kFoldRows) {  // rows of W_k in blocks, to bound the list of pointers
            int rows = static_cast<int>(Smaller(kFoldRows, p.nope - i));
            auto fold = [&](auto* weights) {
                decltype(weights) list[kFoldRows];
                for (int x = 0; x < rows; x++) {
                    list[x] = weights + x * p.rank;
                }
                Sums(source + i, source_stride, static_cast<int>(tokens), list, rows, p.rank, Query(first, head), stride);
            };
            const void* weights = Offset(kv_b, (row + i) * p.rank);
            if (kv_b.type == WeightType::kFloat32) {
                fold(static_cast<const float*>(weights));
            } else {
                fold(static_cast<const uint16_t*>(weights));
            }
        }
        const float scale = p.query_scale * p.softmax_scale * kLog2E;  // scores come in powers of two
        for (int64_t t = 0; t < tokens; t++) {
            float* to = Query(first + t, head);
            for (int i = 0; i < p.rank; i++) {
                to[i] *= scale;
            }
            for (int i = 0; i < p.rope; i++) {
                to[p.rank + i] = source[t * source_stride + p.nope + i] * scale;
            }
            const float* rotation = rotation_ + (first + t) * p.rope;
            RotatePairs(to + p.rank, p.rope, rotation, rotation + p.rope / 2);
        }
    }

    void StoreMeans() {
        For(Unless(p.tokens * width_ < kInlineWork / 20, parallel_), static_cast<size_t>(p.tokens), [&](size_t index) {
            int64_t t = static_cast<int64_t>(index);
            if ((p.position_ids[t] + 1) % p.page_size == 0) {
                StoreMean(p, SequenceOf(t), p.position_ids[t] / p.page_size);
            }
        });
        for (int64_t s = 0; s < p.sequences; s++) {
            if (removed_ != nullptr) {
                removed_[s] = 0;
            }
            if (!IsSparse(p, s)) {
                TakeAllOrNone(p.sparse, StepOf(p), s, 1);
            }
        }
    }

    // Between stages 2 and 3: what the sequences see whose first row is one of these tokens, and sparse.
    void Choose() {
        PagedStep step = StepOf(p);
        for (int64_t s = SequenceOf(begin_); s < p.sequences && p.query_start[s] < begin_ + count_; s++) {
            if (p.query_start[s] < begin_ || !IsSparse(p, s)) {
                continue;
            }
            if (p.sparse.choose) {
                int64_t tasks = CeilDivide(RangesOf(p.sparse, step, s).Candidates(), kScoreBlocks);
                For(Unless(tasks * kScoreBlocks * p.num_heads * width_ < kInlineWork, parallel_), static_cast<size_t>(tasks),
                    [&](size_t index) { Score(s, static_cast<int64_t>(index) * kScoreBlocks); });
                SelectBlocks(p.sparse, step, s, 1, scores_ + s * plan_.candidates);
            } else {
                TakeBlocks(p.sparse, step, s, 1);
            }
            removed_[s] = p.context_length[s] - CompactTable(p.sparse, step, s, 1, 0, tables_ + s * plan_.columns);
        }
    }

    // The scores of a sequence's candidates from `from` on: the positive products of all heads' queries and the block's means, added up.
    void Score(int64_t sequence, int64_t from) {
        BlockRanges ranges = RangesOf(p.sparse, StepOf(p), sequence);
        int64_t count = Smaller(kScoreBlocks, ranges.Candidates() - from), pages = p.sparse.block_size / p.page_size;
        const int32_t* table = p.block_table + sequence * p.block_table_width + (ranges.sinks + from) * pages;
        float* scores = scores_ + sequence * plan_.candidates + from;
        for (int64_t b = 0; b < count; b++) {
            scores[b] = 0;
        }
        for (int64_t h = 0; h < p.num_heads; h += kHeadGroup) {
            int heads = static_cast<int>(Smaller(kHeadGroup, p.num_heads - h));
            const float* query[kHeadGroup];
            float sums[kHeadGroup][kScoreBlocks] = {}, products[kHeadGroup * kScorePages];
            for (int x = 0; x < heads; x++) {
                query[x] = Query(p.query_start[sequence] - begin_, h + x);
            }
            for (int64_t at = 0; at < count * pages; at += kScorePages) {
                int number = static_cast<int>(Smaller(kScorePages, count * pages - at));
                const float* means[kScorePages];
                for (int x = 0; x < number; x++) {
                    means[x] = p.sparse.means + table[at + x] * width_;
                }
                Dots(query, heads, means, number, width_, products, kScorePages);
                for (int y = 0; y < heads; y++) {
                    for (int x = 0; x < number; x++) {
                        sums[y][(at + x) / pages] += products[y * kScorePages + x];
                    }
                }
            }
            for (int y = 0; y < heads; y++) {
                for (int64_t b = 0; b < count; b++) {
                    scores[b] += sums[y][b] > 0 ? sums[y][b] : 0;
                }
            }
        }
    }

    LatentParts Parts(int64_t first, int64_t last) const {
        int64_t length = SplitLength(VisibleKeys(p.streaming, last)), sink_end = SinkEnd(p.streaming);
        int64_t sinks = CeilDivide(Smaller(sink_end, last + 1), length);
        if (last < sink_end) {
            return {length, sinks, 0, -1};
        }
        return {length, sinks, LocalBegin(p.streaming, first) / length, last / length};
    }
    LatentParts Parts(const LatentTile& tile) const { return Parts(tile.position, tile.position + tile.tokens - 1); }

    // Stage 3. An item is a tile, a group of at most `most` heads of it and, where the tile spreads, one part of its keys. What a token's sums are
    // does not depend on how they are cut. Returns how many items there are.
    int64_t CutTiles(int64_t most) {
        tile_count_ = 0;
        int64_t whole = 0;
        for (int64_t t = 0; t < count_;) {
            int64_t sequence = SequenceOf(begin_ + t), end = Smaller(count_, p.query_start[sequence + 1] - begin_), run = end - t;
            int64_t group = Smaller(Smaller(p.num_heads, most), Larger(kFewestHeads, plan_.rows / run));
            int64_t groups = CeilDivide(p.num_heads, group);
            group = CeilDivide(p.num_heads, groups);
            int64_t tokens = p.selected == nullptr ? Larger(1, plan_.rows / group) : 1;
            while (t < end) {
                LatentTile& tile = tiles_[tile_count_++];
                tile = {t, 1, sequence, Position(t), group, groups, 0, 0, -1};
                int64_t length = SplitLength(Visible(t));
                while (tile.tokens < tokens && t + tile.tokens < end && SplitLength(Visible(t + tile.tokens)) == length) {
                    tile.tokens++;
                }
                tile.parts = Parts(tile).Count();
                t += tile.tokens, whole += groups;
            }
        }
        items_ = 0;
        for (int64_t i = 0, partials = 0; i < tile_count_; i++) {
            LatentTile& tile = tiles_[i];
            int64_t rows = tile.tokens * p.num_heads * tile.parts;
            bool spread = whole < kEnoughItems && tile.parts > 1 && partials + rows <= plan_.partials;
            tile.partial = spread ? partials : -1, tile.first_item = items_;
            partials += spread ? rows : 0;
            items_ += tile.groups * (spread ? tile.parts : 1);
        }
        return items_;
    }

    const LatentTile& TileOf(int64_t LatentTile::*member, int64_t value) const {
        int64_t low = 0, high = tile_count_ - 1;  // the last one that begins at or before the value
        while (low < high) {
            int64_t middle = (low + high + 1) / 2;
            if (tiles_[middle].*member <= value) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return tiles_[low];
    }

    void Copy(const float* from, float* to) const {
        for (int64_t i = 0; i < plan_.stride; i += Simd::kLanes) {
            Simd::Store(to + i, Simd::Load(from + i));
        }
    }

    void Divide(const float* total, float sum, float* to) const {
        for (int64_t i = 0; i < p.rank; i++) {
            to[i] = total[i] / sum;
        }
    }

    struct Range {
        int64_t begin, end;
    };
    // The keys of a part that the tokens of a tile see between them.
    Range PartRange(const LatentTile& tile, const LatentParts& parts, int64_t part) const {
        if (part < parts.sinks) {
            int64_t begin = part * parts.length;
            return {begin, Smaller(begin + parts.length, Smaller(SinkEnd(p.streaming), tile.position + tile.tokens))};
        }
        int64_t begin = (parts.first + part - parts.sinks) * parts.length;
        return {Larger(begin, LocalBegin(p.streaming, tile.position)), Smaller(begin + parts.length, tile.position + tile.tokens)};
    }
    // Those of [from, to), sinks or others, that token t of the tile sees, counted from `from`; none where begin >= end.
    Range Seen(const LatentTile& tile, bool sinks, int64_t t, int64_t from, int64_t to) const {
        int64_t position = tile.position + t;
        return {sinks ? 0 : Larger(LocalBegin(p.streaming, position), from) - from, Smaller(position + 1, to) - from};
    }

    // Stage 4: the means of tokens whose parts were spread, and W_v.
    void Project() {
        int64_t blocks = CeilDivide(count_, kTokenBlock);
        bool small = count_ * p.num_heads * p.v * p.rank < kInlineWork;
        For(Unless(small, parallel_), static_cast<size_t>(p.num_heads * blocks), [&](size_t index) {
            int64_t head = static_cast<int64_t>(index) / blocks, first = static_cast<int64_t>(index) % blocks * kTokenBlock;
            int tokens = static_cast<int>(Smaller(kTokenBlock, count_ - first));
            const float* latent[kTokenBlock];
            for (int t = 0; t < tokens; t++) {
                const LatentTile& tile = TileOf(&LatentTile::first, first + t);
                if (tile.partial >= 0) {
                    MergeParts(tile, first + t, head);
                }
                latent[t] = Latent(first + t, head);
            }
            for (int t = 0, count; t < tokens; t += count) {
                count = static_cast<int>(Alike(first + t, tokens - t));
                Product(latent + t, count, KeysAndValuesOf(p, begin_ + first + t), head * (p.nope + p.v) + p.nope, p.v, p.rank,
                        p.output + ((begin_ + first + t) * p.num_heads + head) * p.v, p.num_heads * p.v);
            }
        });
    }

    // The parts that the token sees, in ascending order.
    void MergeParts(const LatentTile& tile, int64_t token, int64_t head) {
        LatentParts parts = Parts(tile);
        float* total = nullptr;
        float maximum = 0, sum = 0;
        for (int64_t part = 0; part < tile.parts; part++) {
            Range range = PartRange(tile, parts, part), seen = Seen(tile, part < parts.sinks, token - tile.first, range.begin, range.end);
            if (seen.begin >= seen.end) {
                continue;
            }
            int64_t row = PartialRow(tile, token, head) + part;
            float* other = partial_ + row * plan_.stride;
            if (total == nullptr) {
                total = other, maximum = partial_state_[2 * row], sum = partial_state_[2 * row + 1];
            } else {
                MergeSums(total, &maximum, &sum, other, partial_state_[2 * row], partial_state_[2 * row + 1], plan_.stride);
            }
        }
        Divide(total, sum, Latent(token, head));
    }

    const LatentAttentionArguments& p;
    const LatentAttentionPlan plan_;
    const ParallelFor& parallel_;
    const int64_t width_;
    char* const memory_;
    int64_t begin_ = 0, count_ = 0, tile_count_ = 0, items_ = 0;
    float *rotation_, *query_, *latent_, *partial_, *partial_state_;
    LatentTile* tiles_;
    int64_t* removed_ = nullptr;  // [sequences]: positions that sparse rows do not see; null: no sparse rows
    int32_t* tables_ = nullptr;   // [sequences, columns]: the pages that they do
    float* scores_ = nullptr;     // [sequences, candidates]
};

}  // namespace
}  // namespace longcat
