// Stage (3) of longcat/latent_attention.h: the walk of a tile of rows over blocks of keys. Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "number_block.h"
#include "stages.h"

namespace longcat {
namespace {

// A place to work in: see LatentAttentionLane.
struct LatentLane {
    float *query, *sum, *total, *maxima, *sums, *total_maxima, *total_sums, *scores, *ratio, *block;
};

// Block: what the tiles read of a block of keys (number_block.h, pair_block.h).
template <class Block>
class LatentAttentionRun : private LatentStages {
  public:
    using Terms = typename Block::Terms;
    using Word = typename Terms::Word;

    LatentAttentionRun(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel)
        : LatentStages(arguments, workspace, parallel) {}

    void Run() {
        StoreLines();
        for (begin_ = 0; begin_ < p.tokens; begin_ += plan_.chunk) {
            count_ = Smaller(plan_.chunk, p.tokens - begin_);
            Fold();
            if (removed_ != nullptr) {
                Choose();
            }
            if (CutTiles(plan_.rows) < kFewItems) {
                CutTiles(kFewestHeads);
            }
            Attend();
            Project();
        }
    }

  private:
    void Attend() {
        int64_t keys = 0, next = 0;
        for (int64_t t = 0; t < count_; t++) {
            keys += Visible(t);
        }
        bool small = keys * p.num_heads * (width_ + p.rank) < kInlineWork;
        // A lane is a place to work in; whoever has one takes items until none is left, the last first: they see the most keys.
        For(Unless(small, parallel_), static_cast<size_t>(Smaller(plan_.lanes, items_)), [&](size_t index) {
            size_t at = plan_.lanes_at + index * plan_.lane.bytes;
            float *state = Floats(at + plan_.lane.state), *total_state = Floats(at + plan_.lane.total_state);
            LatentLane lane = {Floats(at + plan_.lane.query), Floats(at + plan_.lane.sum), Floats(at + plan_.lane.total), state, state + plan_.rows,
                               total_state, total_state + plan_.rows, Floats(at + plan_.lane.scores), Floats(at + plan_.lane.ratio),
                               Floats(at + plan_.lane.block)};
            for (;;) {
                int64_t item = items_ - 1 - __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
                if (item < 0) {
                    break;
                }
                AttendItem(item, lane);
            }
        });
    }

    void AttendItem(int64_t item, const LatentLane& lane) {
        const LatentTile& tile = TileOf(&LatentTile::first_item, item);
        int64_t local = item - tile.first_item;
        bool spread = tile.partial >= 0;
        int64_t unit = spread ? local / tile.parts : local, head = unit * tile.group, heads = Smaller(tile.group, p.num_heads - head);
        int64_t count = tile.tokens * heads, rows = count <= kFewRows ? kFewRows : CeilDivide(count, Simd::kLanes) * Simd::kLanes;
        for (int64_t r = 0; r < rows; r++) {
            const float* from = r < count ? Query(tile.first + r / heads, head + r % heads) : nullptr;
            Block::StoreQuery(from, width_, rows, reinterpret_cast<Word*>(lane.query) + r);
        }
        LatentParts parts = Parts(tile);
        if (spread) {
            int64_t part = local % tile.parts;
            SumPart(tile, heads, rows, parts, part, lane);
            for (int64_t r = 0; r < count; r++) {
                int64_t row = PartialRow(tile, tile.first + r / heads, head + r % heads) + part;
                Copy(lane.sum + r * plan_.stride, partial_ + row * plan_.stride);
                partial_state_[2 * row] = lane.maxima[r], partial_state_[2 * row + 1] = lane.sums[r];
            }
            return;
        }
        for (int64_t r = 0; r < count; r++) {
            lane.total_sums[r] = -1;  // nothing seen yet
        }
        for (int64_t part = 0; part < tile.parts; part++) {
            SumPart(tile, heads, rows, parts, part, lane);
            for (int64_t r = 0; r < count; r++) {
                Range range = PartRange(tile, parts, part), seen = Seen(tile, part < parts.sinks, r / heads, range.begin, range.end);
                float *total = lane.total + r * plan_.stride, *sum = lane.sum + r * plan_.stride;
                if (seen.begin >= seen.end) {
                    continue;
                }
                if (lane.total_sums[r] < 0) {
                    Copy(sum, total);
                    lane.total_maxima[r] = lane.maxima[r], lane.total_sums[r] = lane.sums[r];
                } else {
                    MergeSums(total, lane.total_maxima + r, lane.total_sums + r, sum, lane.maxima[r], lane.sums[r], plan_.stride);
                }
            }
        }
        for (int64_t r = 0; r < count; r++) {
            Divide(lane.total + r * plan_.stride, lane.total_sums[r], Latent(tile.first + r / heads, head + r % heads));
        }
    }

    // The sums of all rows over one part of the keys. What a row's lanes hold is what it would be alone: blocks begin at multiples of kKeyBlock,
    // and a key that the row does not see has the weight 0 and no value.
    void SumPart(const LatentTile& tile, int64_t heads, int64_t rows, const LatentParts& parts, int64_t part, const LatentLane& lane) {
        Range range = PartRange(tile, parts, part);
        bool sinks = part < parts.sinks;
        int64_t end = sinks ? range.end : tile.position + tile.tokens;  // beyond it there is no page
        for (int64_t r = 0; r < rows; r++) {
            lane.maxima[r] = kLowest, lane.sums[r] = 0;
        }
        for (int64_t i = 0; i < tile.tokens * heads * plan_.stride; i += Simd::kLanes) {
            Simd::Store(lane.sum + i, Simd::Zero());
        }
        const bool few = rows == kFewRows;
        const int64_t words = Block::WordsOf(width_), bytes = LineBytes(p);
        const Word* query = reinterpret_cast<const Word*>(lane.query);
        Block block(p, plan_, lane.block, few);
        const char* lines[2][kKeyBlock];
        int64_t from = range.begin / kKeyBlock * kKeyBlock, skip = range.begin - from;
        if (range.begin < range.end) {
            FindLines(tile, from, skip, Smaller(kKeyBlock, end - from), lines[0]);
        }
        for (int at = 0; from < range.end; from += kKeyBlock, skip = 0, at = 1 - at) {
            int64_t count = Smaller(kKeyBlock, range.end - from), next = Smaller(kKeyBlock, end - from - kKeyBlock);
            bool more = next > 0;
            if (more) {
                FindLines(tile, from + kKeyBlock, 0, next, lines[1 - at]);
            }
            const int64_t step = few ? kFewTileKeys : kScoreKeys, first = skip / step * step, last = CeilDivide(count, step) * step;
            for (int64_t j = first; j < last; j += step) {
                int64_t begin = Larger(j, skip), stop = Smaller(j + step, count);
                block.Take(lines[at], begin, stop);
                if (few) {
                    for (int64_t x = begin; more && x < stop; x++) {
                        for (int64_t i = 0; i < bytes; i += 64) {
                            __builtin_prefetch(lines[1 - at][x] + i, 0, 2);
                        }
                    }
                    FewScores<Terms>(query, block.FewKeys(lines[at], j, begin), block.FewStride(), words, lane.scores + j * rows);
                } else {
                    Scores<Terms>(query, rows, block.Keys(lines[at], j), words, lane.scores + j * rows, {more ? lines[1 - at] + j : nullptr, Block::kAhead});
                }
                block.TakeValues(lines[at], begin, stop);
            }
            // What tokens see neither begins nor ends earlier than what their predecessors see.
            Range keys = {from + skip, from + count}, most = Seen(tile, sinks, 0, keys.begin, keys.end), least = Seen(tile, sinks, tile.tokens - 1, keys.begin, keys.end);
            bool all = least.begin == 0 && most.end == count - skip;  // all tokens see all of them
            if (!all || first < skip || last > count) {
                Hide(tile, heads, rows, sinks, keys, from, first, last, lane.scores);
            }
            if (few) {
                FewSoften<Terms>(lane.scores, first, last, lane.maxima, lane.sums, lane.ratio);
            } else {
                Soften<Terms>(lane.scores, rows, first, last, lane.maxima, lane.sums, lane.ratio);
            }
            for (int64_t t = 0; t < tile.tokens;) {
                Range seen = Seen(tile, sinks, t, keys.begin, keys.end);
                int64_t then = all ? tile.tokens : t + 1;
                for (; then < tile.tokens; then++) {
                    Range other = Seen(tile, sinks, then, keys.begin, keys.end);
                    if (other.begin != seen.begin || other.end != seen.end) {
                        break;
                    }
                }
                if (seen.begin < seen.end) {  // only the keys that are seen: a weight of 0 would not hide a value that is not finite
                    int64_t row = t * heads, key = skip + seen.begin;
                    block.Add(lines[at], lane.scores + row, rows, (then - t) * heads, lane.ratio + row, key, skip + seen.end,
                              lane.sum + row * plan_.stride, plan_.stride);
                }
                t = then;
            }
        }
    }

    // Where the lines of the keys [skip, count) behind `from` lie; what is not there is the first that is.
    void FindLines(const LatentTile& tile, int64_t from, int64_t skip, int64_t count, const char** lines) const {
        const char* cache = static_cast<const char*>(p.cache);
        int64_t bytes = LineBytes(p);
        const int32_t* selected = p.selected == nullptr ? nullptr : p.selected + (begin_ + tile.first) * p.selected_width + from;
        const int32_t* table = removed_ == nullptr || removed_[tile.sequence] == 0 ? p.block_table + tile.sequence * p.block_table_width
                                                                                   : tables_ + tile.sequence * plan_.columns;
        const int32_t* page = table + (from + skip) / p.page_size;
        int64_t slot = (from + skip) % p.page_size;
        for (int64_t j = skip; selected != nullptr && j < count; j++) {
            lines[j] = cache + LineOf(p, tile.sequence, selected[j]) * bytes;
        }
        for (int64_t j = skip; selected == nullptr && j < count; page++, slot = 0) {
            const char* line = cache + (*page * p.page_size + slot) * bytes;
            for (; slot < p.page_size && j < count; slot++, line += bytes) {
                lines[j++] = line;
            }
        }
        for (int64_t j = 0; j < kKeyBlock; j++) {
            if (j < skip || j >= count) {
                lines[j] = lines[skip];
            }
        }
    }

    // Scores of keys [first, last) of the block at `from` that a token does not see become lowest; `keys` are those that are there.
    void Hide(const LatentTile& tile, int64_t heads, int64_t rows, bool sinks, const Range& keys, int64_t from, int64_t first, int64_t last,
              float* scores) const {
        for (int64_t t = 0; t < tile.tokens; t++) {
            Range seen = Seen(tile, sinks, t, keys.begin, keys.end);
            auto hide = [&](int64_t begin, int64_t end) {
                for (int64_t j = begin; j < end; j++) {
                    for (int64_t r = t * heads; r < (t + 1) * heads; r++) {
                        scores[j * rows + r] = kLowest;
                    }
                }
            };
            if (seen.begin < seen.end) {
                hide(first, keys.begin - from + seen.begin);
                hide(keys.begin - from + seen.end, last);
            } else {
                hide(first, last);
            }
        }
    }
};

// By the type of the cache.
inline void AttendInNumbers(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel) {
    if (arguments.cache_type == CacheType::kFloat32) {
        LatentAttentionRun<NumberBlock<float>>(arguments, workspace, parallel).Run();
    } else if (arguments.cache_type == CacheType::kInt8) {
        LatentAttentionRun<NumberBlock<int8_t>>(arguments, workspace, parallel).Run();
    } else {
        LatentAttentionRun<NumberBlock<uint16_t>>(arguments, workspace, parallel).Run();
    }
}

}  // namespace
}  // namespace longcat
