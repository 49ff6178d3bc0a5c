#include <cmath>
#include <vector>

#include "../common/parallel.h"
#include "paths.h"

namespace longcat {
namespace {

// The number at an index of the cache, without its scale, and the scale of a row.
double NumberAt(const PagedAttentionArguments& p, int64_t index) {
    if (p.cache_type == CacheType::kInt8) {
        return static_cast<const int8_t*>(p.cache)[index];
    }
    return WeightAt({p.cache, p.cache_type == CacheType::kFloat32 ? WeightType::kFloat32 : WeightType::kBFloat16}, index);
}
double RowScale(const PagedAttentionArguments& p, int64_t at) {
    return p.cache_type == CacheType::kInt8 ? ScaleAt(static_cast<const char*>(p.cache) + at) : 1;
}

void AttendHead(const PagedAttentionArguments& p, int64_t sequence, int64_t token, int64_t head) {
    int64_t position = p.position_ids[token], kv_head = head / (p.num_heads / p.num_kv_heads);
    int64_t line = (token * p.num_heads + head) * p.head_dim;
    float cosine[kMostHeadDim / 2], sine[kMostHeadDim / 2], query[kMostHeadDim];
    HeadRotation(p, position, cosine, sine);
    PrepareHead(p, p.query + line, p.query_norm, cosine, sine, query);

    std::vector<int64_t> visible;
    const int32_t* set = IsSparse(p, sequence) ? p.sparse.blocks + (sequence * p.num_kv_heads + kv_head) * p.sparse.words : nullptr;
    for (int64_t j = 0; j < Smaller(SinkEnd(p.streaming), position + 1); j++) {
        visible.push_back(j);
    }
    for (int64_t j = FirstVisible(p, position); j <= position; j++) {
        if (set == nullptr || Sees(set, j / p.sparse.block_size)) {
            visible.push_back(j);
        }
    }
    std::vector<double> weights;
    double largest = -INFINITY;
    for (int64_t j : visible) {
        Slot slot = SlotOf(p, sequence, j, kv_head);
        double score = 0;
        for (int i = 0; i < p.head_dim; i++) {
            score += static_cast<double>(query[i]) * NumberAt(p, slot.key + i * slot.stride);
        }
        weights.push_back(score * RowScale(p, slot.key_scale) * p.softmax_scale);
        largest = weights.back() > largest ? weights.back() : largest;
    }
    double total = 0;
    for (double& weight : weights) {
        weight = std::exp(weight - largest);
        total += weight;
    }
    std::vector<double> sum(static_cast<size_t>(p.head_dim));
    for (size_t j = 0; j < visible.size(); j++) {
        Slot slot = SlotOf(p, sequence, visible[j], kv_head);
        for (int i = 0; i < p.head_dim; i++) {
            sum[static_cast<size_t>(i)] += weights[j] * RowScale(p, slot.value_scale) * NumberAt(p, slot.value + i);
        }
    }
    for (int i = 0; i < p.head_dim; i++) {
        p.output[line + i] = static_cast<float>(sum[static_cast<size_t>(i)] / total);
    }
}

// The scores of a sequence's candidates, [kv heads, candidates].
std::vector<float> ScoreBlocks(const PagedAttentionArguments& p, int64_t sequence) {
    BlockRanges ranges = RangesOf(p.sparse, StepOf(p), sequence);
    int64_t token = p.query_start[sequence], pages = p.sparse.block_size / p.page_size, group = p.num_heads / p.num_kv_heads;
    float cosine[kMostHeadDim / 2], sine[kMostHeadDim / 2], query[kMostHeadDim];
    HeadRotation(p, p.position_ids[token], cosine, sine);
    std::vector<float> scores;
    for (int64_t g = 0; g < p.num_kv_heads; g++) {
        for (int64_t b = ranges.sinks; b < ranges.local; b++) {
            double best = -INFINITY;
            for (int64_t h = g * group; h < (g + 1) * group; h++) {
                PrepareHead(p, p.query + (token * p.num_heads + h) * p.head_dim, p.query_norm, cosine, sine, query);
                double sum = 0;
                for (int64_t column = b * pages; column < (b + 1) * pages; column++) {
                    int64_t page = p.block_table[sequence * p.block_table_width + column];
                    for (int i = 0; i < p.head_dim; i++) {
                        sum += static_cast<double>(query[i]) * p.sparse.means[(page * p.num_kv_heads + g) * p.head_dim + i];
                    }
                }
                best = sum > best ? sum : best;
            }
            scores.push_back(static_cast<float>(best));
        }
    }
    return scores;
}

// The means of the pages that were filled, and the sets of all sequences.
void PrepareSparse(const PagedAttentionArguments& p) {
    PagedStep step = StepOf(p);
    for (int64_t s = 0; s < p.sequences; s++) {
        for (int64_t t = p.query_start[s]; t < p.query_start[s + 1]; t++) {
            if ((p.position_ids[t] + 1) % p.page_size == 0) {
                StoreMean(p, s, p.position_ids[t] / p.page_size);
            }
        }
        if (!IsSparse(p, s)) {
            TakeAllOrNone(p.sparse, step, s, p.num_kv_heads);
        } else if (p.sparse.choose) {
            SelectBlocks(p.sparse, step, s, p.num_kv_heads, ScoreBlocks(p, s).data());
        } else {
            TakeBlocks(p.sparse, step, s, p.num_kv_heads);
        }
    }
}

}  // namespace

void PagedAttentionReference(const PagedAttentionArguments& p, const ParallelFor& parallel) {
    for (int64_t s = 0; s < p.sequences; s++) {
        for (int64_t t = p.query_start[s]; t < p.query_start[s + 1]; t++) {
            float cosine[kMostHeadDim / 2], sine[kMostHeadDim / 2];
            HeadRotation(p, p.position_ids[t], cosine, sine);
            StoreToken(p, s, t, cosine, sine);
        }
    }
    if (p.sparse.means != nullptr) {
        PrepareSparse(p);
    }
    for (int64_t s = 0; s < p.sequences; s++) {
        int64_t first = p.query_start[s];
        For(parallel, static_cast<size_t>((p.query_start[s + 1] - first) * p.num_heads), [&](size_t index) {
            AttendHead(p, s, first + static_cast<int64_t>(index) / p.num_heads, static_cast<int64_t>(index) % p.num_heads);
        });
    }
}

}  // namespace longcat
