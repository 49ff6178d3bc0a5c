// Sparse rows of PagedAttention: longcat/sparse_blocks.h. Include after vectorised.h.
#pragma once

#include "../simd/tiles.h"
#include "vectorised.h"

namespace longcat {
namespace {

constexpr int64_t kScoreBlocks = 32;  // blocks of one task
constexpr int64_t kScorePages = 64;   // pages whose means are multiplied at once
constexpr int kScoreHeads = 16;       // … with so many queries

// Fills the cache and its means, computes the exact sequences as ever, and the sparse ones as sequences of one kv head.
template <class Blocks>
class SparseAttentionRun {
  public:
    SparseAttentionRun(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments),
          step_(StepOf(arguments)),
          exact_(arguments, workspace, parallel),
          plan_(PlanSparse(arguments)),
          parallel_(parallel) {
        memory_ = static_cast<char*>(workspace) + PlanPagedAttention(arguments, nullptr, nullptr).bytes;
        group_ = p.num_heads / p.num_kv_heads;
        width_ = group_ * p.head_dim;
    }

    void Run() {
        exact_.Store();
        StoreMeans();
        int64_t found = 0;
        for (int64_t s = 0; s < p.sequences; s++) {
            if (IsSparse(p, s)) {
                At<int64_t>(plan_.which)[found++] = s;
            } else {
                TakeAllOrNone(p.sparse, step_, s, p.num_kv_heads);
            }
        }
        exact_.Attend();
        if (plan_.sequences > 0) {
            Prepare();
            Choose();
            Attend();
        }
    }

  private:
    template <class T>
    T* At(size_t offset) const {
        return reinterpret_cast<T*>(memory_ + offset);
    }
    int64_t Sequence(int64_t i) const { return At<int64_t>(plan_.which)[i]; }
    int64_t First(int64_t i) const { return p.query_start[Sequence(i)]; }
    int64_t Count(int64_t i) const { return p.query_start[Sequence(i) + 1] - First(i); }
    // The rows of sequence i and kv head g in the step of one head.
    int64_t Row(int64_t i, int64_t g) const { return At<int32_t>(plan_.start)[i * p.num_kv_heads + g]; }

    void StoreMeans() {
        bool small = p.tokens * p.num_kv_heads * p.head_dim < kInlineWork / 10;
        For(Unless(small, parallel_), static_cast<size_t>(CeilDivide(p.tokens, kStoreTokens)), [&](size_t index) {
            int64_t from = static_cast<int64_t>(index) * kStoreTokens;
            for (int64_t t = from; t < Smaller(from + kStoreTokens, p.tokens); t++) {
                if ((p.position_ids[t] + 1) % p.page_size == 0) {
                    StoreMean(p, exact_.SequenceOf(t), p.position_ids[t] / p.page_size);
                }
            }
        });
    }

    // The queries, normed and rotated, by sequence, kv head and token.
    void Prepare() {
        int32_t* start = At<int32_t>(plan_.start);
        int32_t rows = 0;
        for (int64_t i = 0; i < plan_.sequences; i++) {
            for (int64_t g = 0; g < p.num_kv_heads; g++) {
                start[i * p.num_kv_heads + g] = rows;
                rows += static_cast<int32_t>(Count(i));
            }
        }
        start[plan_.sequences * p.num_kv_heads] = rows;
        bool small = rows * width_ < kInlineWork / 10;
        For(Unless(small, parallel_), static_cast<size_t>(plan_.sequences * p.num_kv_heads), [&](size_t index) {
            int64_t i = static_cast<int64_t>(index) / p.num_kv_heads, g = static_cast<int64_t>(index) % p.num_kv_heads;
            for (int64_t t = 0; t < Count(i); t++) {
                const float *rotation = exact_.RotationOf(First(i) + t), *source = p.query + ((First(i) + t) * p.num_kv_heads + g) * width_;
                float* to = At<float>(plan_.query) + (Row(i, g) + t) * width_;
                for (int64_t h = 0; h < group_; h++) {
                    PrepareHead(p, source + h * p.head_dim, p.query_norm, rotation, rotation + p.rotary_dim / 2, to + h * p.head_dim);
                }
            }
        });
    }

    void Choose() {
        if (p.sparse.choose) {
            int64_t tasks = CeilDivide(plan_.candidates, kScoreBlocks), all = plan_.sequences * p.num_kv_heads * tasks;
            bool small = all * kScoreBlocks * width_ * (p.sparse.block_size / p.page_size) < kInlineWork;
            For(Unless(small, parallel_), static_cast<size_t>(all), [&](size_t index) {
                int64_t pair = static_cast<int64_t>(index) / tasks, part = static_cast<int64_t>(index) % tasks;
                Score(pair / p.num_kv_heads, pair % p.num_kv_heads, part * kScoreBlocks);
            });
        }
        For(Unless(plan_.sequences * p.num_kv_heads * plan_.columns < kInlineWork / 4, parallel_), static_cast<size_t>(plan_.sequences),
            [&](size_t index) { Table(static_cast<int64_t>(index)); });
    }

    // The scores of the candidates from `from` on: the largest product of a query of the group and the block's means.
    void Score(int64_t i, int64_t g, int64_t from) {
        BlockRanges ranges = RangesOf(p.sparse, step_, Sequence(i));
        int64_t count = Smaller(kScoreBlocks, ranges.Candidates() - from), pages = p.sparse.block_size / p.page_size;
        if (count <= 0) {
            return;
        }
        const int32_t* table = p.block_table + Sequence(i) * p.block_table_width + (ranges.sinks + from) * pages;
        const float* query = At<float>(plan_.query) + Row(i, g) * width_;
        float* scores = At<float>(plan_.scores) + i * p.num_kv_heads * plan_.candidates + g * ranges.Candidates() + from;
        for (int64_t b = 0; b < count; b++) {
            scores[b] = kLowest;
        }
        for (int64_t h = 0; h < group_; h += kScoreHeads) {
            int heads = static_cast<int>(Smaller(kScoreHeads, group_ - h));
            const float* queries[kScoreHeads];
            float sums[kScoreHeads][kScoreBlocks] = {}, products[kScoreHeads * kScorePages];
            for (int x = 0; x < heads; x++) {
                queries[x] = query + (h + x) * p.head_dim;
            }
            for (int64_t at = 0; at < count * pages; at += kScorePages) {
                int number = static_cast<int>(Smaller(kScorePages, count * pages - at));
                const float* means[kScorePages];
                for (int x = 0; x < number; x++) {
                    means[x] = p.sparse.means + (int64_t{table[at + x]} * p.num_kv_heads + g) * p.head_dim;
                }
                Dots(queries, heads, means, number, p.head_dim, products, kScorePages);
                for (int y = 0; y < heads; y++) {
                    for (int x = 0; x < number; x++) {
                        sums[y][(at + x) / pages] += products[y * kScorePages + x];
                    }
                }
            }
            for (int y = 0; y < heads; y++) {
                for (int64_t b = 0; b < count; b++) {
                    scores[b] = sums[y][b] > scores[b] ? sums[y][b] : scores[b];
                }
            }
        }
    }

    // The sets of a sequence, and its kv heads as sequences that hold nothing else.
    void Table(int64_t i) {
        int64_t s = Sequence(i), heads = p.num_kv_heads;
        if (p.sparse.choose) {
            SelectBlocks(p.sparse, step_, s, heads, At<float>(plan_.scores) + i * heads * plan_.candidates);
        } else {
            TakeBlocks(p.sparse, step_, s, heads);
        }
        for (int64_t g = 0; g < heads; g++) {
            int64_t one = i * heads + g;
            int64_t length = CompactTable(p.sparse, step_, s, heads, g, At<int32_t>(plan_.table) + one * plan_.columns);
            At<int32_t>(plan_.lengths)[one] = static_cast<int32_t>(length);
            for (int64_t t = 0; t < Count(i); t++) {
                At<int64_t>(plan_.positions)[Row(i, g) + t] = length - Count(i) + t;
            }
        }
    }

    void Attend() {
        PagedAttentionArguments one = OneHead(p, plan_);
        one.query = At<float>(plan_.query), one.output = At<float>(plan_.output);
        one.position_ids = At<int64_t>(plan_.positions), one.query_start = At<int32_t>(plan_.start);
        one.context_length = At<int32_t>(plan_.lengths), one.block_table = At<int32_t>(plan_.table);
        PagedAttentionRun<Blocks>(one, memory_ + plan_.scratch, parallel_).Attend();
        for (int64_t i = 0; i < plan_.sequences; i++) {
            for (int64_t g = 0; g < p.num_kv_heads; g++) {
                for (int64_t t = 0; t < Count(i); t++) {
                    __builtin_memcpy(p.output + ((First(i) + t) * p.num_kv_heads + g) * width_, one.output + (Row(i, g) + t) * width_,
                                     static_cast<size_t>(width_) * sizeof(float));
                }
            }
        }
    }

    const PagedAttentionArguments& p;
    const PagedStep step_;
    PagedAttentionRun<Blocks> exact_;
    const SparsePlan plan_;
    const ParallelFor& parallel_;
    char* memory_;
    int64_t group_, width_;
};

template <class Blocks>
void RunPagedAttention(const PagedAttentionArguments& p, void* workspace, const ParallelFor& parallel) {
    if (p.sparse.means != nullptr) {
        SparseAttentionRun<Blocks>(p, workspace, parallel).Run();
        return;
    }
    PagedAttentionRun<Blocks> run(p, workspace, parallel);
    run.Store();
    run.Attend();
}

}  // namespace
}  // namespace longcat
