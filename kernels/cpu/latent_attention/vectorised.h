// Stages (1) to (4) of longcat/latent_attention.h. Include after avx2.h or avx512.h.
#pragma once

#include "../common/parallel.h"
#include "../simd/exp.h"
#include "../simd/tiles.h"
#include "paths.h"
#include "scratch.h"

namespace longcat {
namespace {

constexpr int kKeyBlock = 64;   // keys between two updates of the running maximum; blocks begin at multiples of it
constexpr int kHeadGroup = 16;  // heads of one task: a line of the cache serves them all
constexpr int kFewHeads = 4;    // … where there would be too few tasks
constexpr int64_t kTokenBlock = 16;
constexpr int64_t kScoreBlocks = 32;  // blocks of one task that scores them
constexpr int64_t kScorePages = 64;   // pages whose means are multiplied at once

class LatentAttentionRun {
  public:
    LatentAttentionRun(const LatentAttentionArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments), plan_(PlanLatentAttention(arguments)), parallel_(parallel), width_(arguments.rank + arguments.rope) {
        char* memory = static_cast<char*>(workspace);
        rotation_ = reinterpret_cast<float*>(memory + plan_.rotation);
        query_ = reinterpret_cast<float*>(memory + plan_.query);
        partial_ = reinterpret_cast<float*>(memory + plan_.partial);
        state_ = reinterpret_cast<float*>(memory + plan_.state);
        first_task_ = reinterpret_cast<int64_t*>(memory + plan_.first_task);
        if (SparseSequences(p) > 0) {
            removed_ = reinterpret_cast<int64_t*>(memory + plan_.removed);
            tables_ = reinterpret_cast<int32_t*>(memory + plan_.tables);
            scores_ = reinterpret_cast<float*>(memory + plan_.scores);
        }
    }

    void Run() {
        For(Unless(p.tokens * width_ < kInlineWork / 20, parallel_), static_cast<size_t>(p.tokens), [&](size_t index) {
            int64_t t = static_cast<int64_t>(index);
            StoreLine(p, SequenceOf(t), t);
        });
        if (p.sparse.means != nullptr) {
            StoreMeans();
        }
        for (begin_ = 0; begin_ < p.tokens; begin_ += plan_.chunk) {
            count_ = Smaller(plan_.chunk, p.tokens - begin_);
            Fold();
            if (removed_ != nullptr) {
                Choose();
            }
            Attend();
            Merge();
        }
    }

  private:
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

    float* Query(int64_t token, int64_t head) const { return query_ + (token * p.num_heads + head) * width_; }
    float* Partial(int64_t token, int64_t head, int64_t split) const {
        return partial_ + ((token * p.num_heads + head) * plan_.splits + split) * p.rank;
    }
    float* State(int64_t token, int64_t head, int64_t split) const {
        return state_ + ((token * p.num_heads + head) * plan_.splits + split) * 2;
    }
    int64_t Visible(int64_t token) const {
        if (p.selected != nullptr) {
            return SelectedKeys(p, begin_ + token);
        }
        int64_t removed = removed_ == nullptr ? 0 : removed_[SequenceOf(begin_ + token)];
        return VisibleKeys(p.streaming, p.position_ids[begin_ + token] - removed);
    }
    // The line of the cache that holds a token of a sequence: its position, or how many come before it of those that sparse rows see.
    int64_t Line(int64_t sequence, int64_t position) const {
        if (removed_ == nullptr || removed_[sequence] == 0) {
            return LineOf(p, sequence, position);
        }
        return int64_t{tables_[sequence * plan_.columns + position / p.page_size]} * p.page_size + position % p.page_size;
    }
    int64_t Splits(int64_t token) const { return CeilDivide(Visible(token), SplitLength(Visible(token))); }

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
        for (int64_t i = 0; i < p.nope; i += kKeyBlock) {  // rows of W_k in blocks, to bound the list of pointers
            int rows = static_cast<int>(Smaller(kKeyBlock, p.nope - i));
            auto fold = [&](auto* weights) {
                decltype(weights) list[kKeyBlock];
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
        for (int64_t t = 0; t < tokens; t++) {
            float* to = Query(first + t, head);
            for (int i = 0; i < p.rank; i++) {
                to[i] *= p.query_scale;
            }
            for (int i = 0; i < p.rope; i++) {
                to[p.rank + i] = source[t * source_stride + p.nope + i] * p.query_scale;
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

    // Stage 3: a task is a token, a split of its keys and a group of heads.
    void Attend() {
        int64_t tasks = 0, keys = 0;
        for (int64_t t = 0; t < count_; t++) {
            first_task_[t] = tasks;
            tasks += Splits(t);
            keys += Visible(t);
        }
        first_task_[count_] = tasks;
        int64_t group = tasks * CeilDivide(p.num_heads, kHeadGroup) < 16 ? kFewHeads : kHeadGroup;
        int64_t groups = CeilDivide(p.num_heads, group);
        bool small = keys * p.num_heads * (width_ + p.rank) < kInlineWork;
        For(Unless(small, parallel_), static_cast<size_t>(tasks * groups), [&](size_t index) {
            int64_t task = static_cast<int64_t>(index) / groups, head = static_cast<int64_t>(index) % groups * group;
            int64_t low = 0, high = count_ - 1;  // the last token whose first task is at or before this one
            while (low < high) {
                int64_t middle = (low + high + 1) / 2;
                if (first_task_[middle] <= task) {
                    low = middle;
                } else {
                    high = middle - 1;
                }
            }
            int heads = static_cast<int>(Smaller(group, p.num_heads - head));
            if (p.cache_type == CacheType::kFloat32) {
                AttendSplit<float>(low, task - first_task_[low], head, heads);
            } else if (p.cache_type == CacheType::kInt8) {
                AttendSplit<int8_t>(low, task - first_task_[low], head, heads);
            } else {
                AttendSplit<uint16_t>(low, task - first_task_[low], head, heads);
            }
        });
    }

    template <class C>
    void AttendSplit(int64_t token, int64_t split, int64_t head, int heads) {
        int64_t visible = Visible(token), length = SplitLength(visible), sequence = SequenceOf(begin_ + token);
        int64_t from = split * length, to = Smaller(from + length, visible);
        constexpr bool kScaled = sizeof(C) == 1;
        const char* cache = static_cast<const char*>(p.cache);
        int64_t line_bytes = LineBytes(p);
        const int32_t* selected = p.selected == nullptr ? nullptr : p.selected + (begin_ + token) * p.selected_width;
        // The keys that a token sees are counted without those between the sinks and the local run.
        int64_t sink_end = SinkEnd(p.streaming), gap = LocalBegin(p.streaming, p.position_ids[begin_ + token]) - sink_end;

        const float *query[kHeadGroup], *turned[kHeadGroup];
        for (int h = 0; h < heads; h++) {
            query[h] = Query(token, head + h);
            turned[h] = query[h] + p.rank;
            float* sum = Partial(token, head + h, split);
            for (int i = 0; i < p.rank; i++) {
                sum[i] = 0;
            }
            State(token, head + h, split)[0] = -__builtin_inff();  // running maximum
            State(token, head + h, split)[1] = 0;                  // running sum of e^(score - maximum)
        }
        const C *lines_of[2][kKeyBlock];
        auto find = [&](int64_t block, const C** lines) {
            for (int64_t j = block; j < Smaller(block + kKeyBlock, to); j++) {
                int64_t position = selected != nullptr ? selected[j] : j < sink_end ? j : j + gap;
                lines[j - block] = reinterpret_cast<const C*>(cache + Line(sequence, position) * line_bytes);
            }
        };
        find(from, lines_of[0]);
        int at = 0;
        for (int64_t block = from; block < to; block += kKeyBlock, at = 1 - at) {
            int keys = static_cast<int>(Smaller(kKeyBlock, to - block));
            const C** lines = lines_of[at];
            bool fetch = heads % 4 == 0 && to - block >= 2 * kKeyBlock;
            find(block + kKeyBlock, lines_of[1 - at]);
            float scores[kHeadGroup * kKeyBlock];
            [[maybe_unused]] float latent_scale[kKeyBlock];
            if constexpr (kScaled) {
                const C* parts[kKeyBlock];
                float parts_scale[kKeyBlock], others[kHeadGroup * kKeyBlock];
                for (int j = 0; j < keys; j++) {
                    LineScales scales = ScalesOf(p, lines[j]);
                    latent_scale[j] = scales.latent, parts_scale[j] = scales.key;
                    parts[j] = lines[j] + p.rank;
                }
                Dots(query, heads, lines, keys, p.rank, scores, kKeyBlock);
                Dots(turned, heads, parts, keys, p.rope, others, kKeyBlock);
                for (int h = 0; h < heads; h++) {
                    for (int j = 0; j < keys; j++) {
                        int at = h * kKeyBlock + j;
                        scores[at] = scores[at] * latent_scale[j] + others[at] * parts_scale[j];
                    }
                }
            } else {
                Dots(query, heads, lines, keys, width_, scores, kKeyBlock);
            }
            for (int h = 0; h < heads; h++) {
                for (int j = h; fetch && j < kKeyBlock; j += heads) {
                    const char* rest = reinterpret_cast<const char*>(lines_of[1 - at][j] + p.rank);
                    for (const char* end = rest + p.rope * static_cast<int64_t>(sizeof(C)); rest < end; rest += 64) {
                        __builtin_prefetch(rest, 0, 2);
                    }
                }
                Soften(scores + h * kKeyBlock, keys, State(token, head + h, split), Partial(token, head + h, split));
                if constexpr (kScaled) {
                    for (int j = 0; j < keys; j++) {
                        scores[h * kKeyBlock + j] *= latent_scale[j];
                    }
                }
            }
            float* sum = Partial(token, head, split);
            int64_t stride = plan_.splits * p.rank;
            if (fetch) {
                SumsAhead<C>(scores, kKeyBlock, heads, lines, keys, p.rank, sum, stride, lines_of[1 - at]);
            } else {
                Sums(scores, kKeyBlock, heads, lines, keys, p.rank, sum, stride);
            }
        }
    }

    // Turns one block of scores into weights e^(score - maximum), and rescales what was summed when the maximum grows.
    void Soften(float* scores, int keys, float* state, float* sum) {
        Vector scale = Simd::All(p.softmax_scale), lowest = Simd::All(-__builtin_inff()), most = lowest;
        int j = 0;
        for (; j + Simd::kLanes <= keys; j += Simd::kLanes) {
            Vector s = Simd::Multiply(Simd::Load(scores + j), scale);
            Simd::Store(scores + j, s);
            most = Simd::Larger(most, s);
        }
        float largest = Simd::Largest(most);
        for (; j < keys; j++) {
            scores[j] *= p.softmax_scale;
            largest = scores[j] > largest ? scores[j] : largest;
        }
        float maximum = largest > state[0] ? largest : state[0];
        if (maximum > state[0]) {
            alignas(64) float ratio[Simd::kLanes];
            Simd::Store(ratio, Exp(Simd::All(state[0] - maximum)));
            state[0] = maximum;
            state[1] *= ratio[0];
            for (int i = 0; i < p.rank; i++) {
                sum[i] *= ratio[0];
            }
        }
        Vector shift = Simd::All(maximum), total = Simd::Zero();
        j = 0;
        for (; j + Simd::kLanes <= keys; j += Simd::kLanes) {
            Vector e = Exp(Simd::Subtract(Simd::Load(scores + j), shift));
            Simd::Store(scores + j, e);
            total = Simd::Add(total, e);
        }
        float tail = 0;
        if (j < keys) {
            Simd::Store(scores + j, Exp(Simd::Subtract(Simd::Load(scores + j, keys - j), shift)), keys - j);
            for (; j < keys; j++) {
                tail += scores[j];
            }
        }
        state[1] += Simd::Sum(total) + tail;
    }

    // Stage 4.
    void Merge() {
        int64_t blocks = CeilDivide(count_, kTokenBlock);
        bool small = count_ * p.num_heads * p.v * p.rank < kInlineWork;
        For(Unless(small, parallel_), static_cast<size_t>(p.num_heads * blocks), [&](size_t index) {
            int64_t head = static_cast<int64_t>(index) / blocks, first = static_cast<int64_t>(index) % blocks * kTokenBlock;
            int tokens = static_cast<int>(Smaller(kTokenBlock, count_ - first));
            const float* latent[kTokenBlock];
            for (int t = 0; t < tokens; t++) {
                MergeSplits(first + t, head);
                latent[t] = Partial(first + t, head, 0);
            }
            for (int t = 0, count; t < tokens; t += count) {
                count = static_cast<int>(Alike(first + t, tokens - t));
                Product(latent + t, count, KeysAndValuesOf(p, begin_ + first + t), head * (p.nope + p.v) + p.nope, p.v, p.rank,
                        p.output + ((begin_ + first + t) * p.num_heads + head) * p.v, p.num_heads * p.v);
            }
        });
    }

    // The weighted mean of all splits, in ascending order, into the first.
    void MergeSplits(int64_t token, int64_t head) {
        int64_t splits = Splits(token);
        float* sum = Partial(token, head, 0);
        float* state = State(token, head, 0);
        for (int64_t s = 1; s < splits; s++) {
            const float* other = State(token, head, s);
            float maximum = other[0] > state[0] ? other[0] : state[0];
            alignas(64) float mine[Simd::kLanes], theirs[Simd::kLanes];
            Simd::Store(mine, Exp(Simd::All(state[0] - maximum)));
            Simd::Store(theirs, Exp(Simd::All(other[0] - maximum)));
            const float* line = Partial(token, head, s);
            for (int i = 0; i < p.rank; i++) {
                sum[i] = sum[i] * mine[0] + line[i] * theirs[0];
            }
            state[0] = maximum;
            state[1] = state[1] * mine[0] + other[1] * theirs[0];
        }
        for (int i = 0; i < p.rank; i++) {
            sum[i] /= state[1];
        }
    }

    const LatentAttentionArguments& p;
    const LatentAttentionPlan plan_;
    const ParallelFor& parallel_;
    const int64_t width_;
    int64_t begin_ = 0, count_ = 0;
    float *rotation_, *query_, *partial_, *state_;
    int64_t* first_task_;
    int64_t* removed_ = nullptr;  // [sequences]: positions that sparse rows do not see; null: no sparse rows
    int32_t* tables_ = nullptr;   // [sequences, columns]: the pages that they do
    float* scores_ = nullptr;     // [sequences, candidates]
};

}  // namespace
}  // namespace longcat
