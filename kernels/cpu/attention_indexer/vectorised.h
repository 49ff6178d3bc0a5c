// Stages (1) to (4) of longcat/attention_indexer.h. Include after avx2.h, avx512.h or neon.h.
#pragma once

#include "../common/parallel.h"
#include "plan.h"

namespace longcat {
namespace {

using Vector = Simd::Vector;

constexpr int kPanelVectors = static_cast<int>(kIndexPanel) / Simd::kLanes;
constexpr int kPanelsAtOnce = Simd::kLanes == 16 ? 2 : 1;  // two vectors of keys share each element of a query
constexpr int kTileHeads = Simd::kLanes == 16 ? 8 : 4;     // so many times two sums hide the latency of an addition

// total[v] += Σ_{i < M} weights[i] · max(0, query_i · key), for the keys of P panels; one lane is one key.
template <int M, int P, class K>
void ScoreHeads(const float* query, int64_t dim, const float* weights, const K* const* panels, Vector* total) {
    constexpr int V = P * kPanelVectors;
    Vector sum[M][V];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            sum[i][v] = Simd::Zero();
        }
    }
    const K* at[P];
#pragma GCC unroll 16
    for (int x = 0; x < P; x++) {
        at[x] = panels[x];
    }
    for (int64_t d = 0; d < dim; d++) {
        Vector key[V];
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            key[v] = Simd::Load(at[v / kPanelVectors] + d * kIndexPanel + v % kPanelVectors * Simd::kLanes);
        }
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            Vector q = Simd::All(query[i * dim + d]);
#pragma GCC unroll 16
            for (int v = 0; v < V; v++) {
                sum[i][v] = Simd::MultiplyAdd(q, key[v], sum[i][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        Vector weight = Simd::All(weights[i]);
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            total[v] = Simd::MultiplyAdd(weight, Simd::Larger(sum[i][v], Simd::Zero()), total[v]);
        }
    }
}

// scores [P · 16] of one token's queries [heads, dim].
template <int P, class K>
void ScorePanels(const float* query, int64_t heads, int64_t dim, const float* weights, const K* const* panels, float* scores) {
    Vector total[P * kPanelVectors];
    for (Vector& each : total) {
        each = Simd::Zero();
    }
    int64_t h = 0;
    for (; h + kTileHeads <= heads; h += kTileHeads) {
        ScoreHeads<kTileHeads, P>(query + h * dim, dim, weights + h, panels, total);
    }
    for (; h + 2 <= heads; h += 2) {
        ScoreHeads<2, P>(query + h * dim, dim, weights + h, panels, total);
    }
    if (h < heads) {
        ScoreHeads<1, P>(query + h * dim, dim, weights + h, panels, total);
    }
    for (int v = 0; v < P * kPanelVectors; v++) {
        Simd::Store(scores + v * Simd::kLanes, total[v]);
    }
}

// Neighbours of one sequence, and the splits of the keys that they need scores of.
struct TokenGroup {
    int64_t sequence, first, count, split, first_task;
    IndexRange keys;
};

class AttentionIndexerRun {
  public:
    AttentionIndexerRun(const AttentionIndexerArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments),
          plan_(PlanAttentionIndexer(arguments)),
          parallel_(parallel),
          query_(reinterpret_cast<float*>(static_cast<char*>(workspace) + plan_.query)),
          scores_(reinterpret_cast<float*>(static_cast<char*>(workspace) + plan_.scores)) {}

    void Run() {
        For(Unless(p.tokens * p.head_dim < kInlineWork / 20, parallel_), static_cast<size_t>(p.tokens), [&](size_t index) {
            int64_t t = static_cast<int64_t>(index);
            StoreIndexKey(p, SequenceOf(t), t);
        });
        for (begin_ = 0; begin_ < p.tokens; begin_ += plan_.chunk) {
            count_ = Smaller(plan_.chunk, p.tokens - begin_);
            Score();
            For(Unless(count_ * Larger(plan_.stride, p.top_k) < kInlineWork, parallel_), static_cast<size_t>(count_), [&](size_t index) {
                int64_t t = static_cast<int64_t>(index);
                Select(p, begin_ + t, scores_ + t * plan_.stride);
            });
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

    IndexRange Keys(int64_t token) const { return ScoredKeys(p, p.position_ids[begin_ + token]); }
    bool Scored(int64_t token) const {
        IndexRange keys = Keys(token);
        return keys.from < keys.to;
    }

    // Stages 2 and 3, tokens counted from begin_.
    void Score() {
        int64_t groups = 0, tasks = 0, keys = 0;
        for (int64_t t = 0; plan_.stride > 0 && t < count_;) {
            if (!Scored(t)) {
                t++;
                continue;
            }
            TokenGroup& group = groups_[groups++];
            group.sequence = SequenceOf(begin_ + t), group.first = t, group.count = 0, group.first_task = tasks;
            int64_t end = Smaller(p.query_start[group.sequence + 1] - begin_, count_);
            // Positions ascend within a sequence: once one is scored all that follow are, over the same keys and more.
            for (; t < end && group.count < kIndexGroup; t++, group.count++) {
                keys += Keys(t).to - Keys(t).from;
            }
            group.keys = Keys(group.first + group.count - 1);
            group.split = group.keys.from / kIndexSplit;
            tasks += CeilDivide(group.keys.to, kIndexSplit) - group.split;
        }
        if (groups == 0) {
            return;
        }
        int64_t width = int64_t{p.num_heads} * p.head_dim;
        For(Unless(count_ * width < kInlineWork / 20, parallel_), static_cast<size_t>(count_), [&](size_t index) {
            int64_t t = static_cast<int64_t>(index);
            if (Scored(t)) {
                RotateIndexQueries(p, begin_ + t, query_ + t * width);
            }
        });
        For(Unless(keys * width < kInlineWork, parallel_), static_cast<size_t>(tasks), [&](size_t index) {
            int64_t task = static_cast<int64_t>(index), at = groups - 1;
            while (groups_[at].first_task > task) {
                at--;
            }
            int64_t split = groups_[at].split + task - groups_[at].first_task;
            if (p.cache_type == WeightType::kFloat32) {
                ScoreSplit<float>(groups_[at], split);
            } else {
                ScoreSplit<uint16_t>(groups_[at], split);
            }
        });
    }

    template <class C>
    void ScoreSplit(const TokenGroup& group, int64_t split) {
        int64_t from = Larger(split * kIndexSplit, group.keys.from / kIndexPanel * kIndexPanel);
        int64_t to = Smaller((split + 1) * kIndexSplit, group.keys.to);
        const C* cache = static_cast<const C*>(p.cache);
        if (p.page_size % kIndexPanel != 0) {
            float wide[kMostIndexDim * kIndexPanel];
            for (; from < to; from += kIndexPanel) {
                Gather(group.sequence, from, to, wide);
                const float* panel = wide;
                ScoreBlock<1>(group, from, &panel);
            }
            return;
        }
        while (from < to) {
            const C* panels[kPanelsAtOnce];
            int count = 0;
            for (; count < kPanelsAtOnce && from + count * kIndexPanel < to; count++) {
                panels[count] = cache + IndexSlotOf(p, group.sequence, from + count * kIndexPanel).first;
            }
            if (count == kPanelsAtOnce) {
                ScoreBlock<kPanelsAtOnce>(group, from, panels);
            } else {
                ScoreBlock<1>(group, from, panels);
            }
            from += count * kIndexPanel;
        }
    }

    // Sixteen keys from a position on as a panel of float32, where pages are not made of whole panels; zeros at and beyond `to`.
    void Gather(int64_t sequence, int64_t from, int64_t to, float* panel) {
        for (int64_t j = 0; j < kIndexPanel; j++) {
            IndexSlot slot = from + j < to ? IndexSlotOf(p, sequence, from + j) : IndexSlot{};
            for (int64_t i = 0; i < p.head_dim; i++) {
                panel[i * kIndexPanel + j] = from + j < to ? WeightAt({p.cache, p.cache_type}, slot.first + i * slot.stride) : 0;
            }
        }
    }

    template <int P, class K>
    void ScoreBlock(const TokenGroup& group, int64_t from, const K* const* panels) {
        int64_t width = int64_t{p.num_heads} * p.head_dim;
        for (int64_t t = group.first; t < group.first + group.count; t++) {
            if (from < Keys(t).to) {
                ScorePanels<P>(query_ + t * width, p.num_heads, p.head_dim, p.weights + (begin_ + t) * p.num_heads, panels,
                               scores_ + t * plan_.stride + from);
            }
        }
    }

    const AttentionIndexerArguments& p;
    const AttentionIndexerPlan plan_;
    const ParallelFor& parallel_;
    float *query_, *scores_;
    int64_t begin_ = 0, count_ = 0;
    TokenGroup groups_[kIndexChunk];
};

}  // namespace
}  // namespace longcat
