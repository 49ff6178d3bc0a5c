// The expanded form, head by head: keys and values of all visible tokens are computed from the cache with double accumulation.
#include <algorithm>
#include <cmath>
#include <vector>

#include "../common/parallel.h"
#include "paths.h"

namespace longcat {
namespace {

// Element i of a line, widened.
double ElementOf(const LatentAttentionArguments& p, int64_t line, int i) {
    const char* at = static_cast<const char*>(p.cache) + line * LineBytes(p);
    if (p.cache_type == CacheType::kInt8) {
        LineScales scales = ScalesOf(p, at);
        return static_cast<double>(reinterpret_cast<const int8_t*>(at)[i]) * (i < p.rank ? scales.latent : scales.key);
    }
    return WeightAt({at, p.cache_type == CacheType::kFloat32 ? WeightType::kFloat32 : WeightType::kBFloat16}, i);
}

void AttendHead(const LatentAttentionArguments& p, int64_t s, int head) {
    int key_width = p.nope + p.rope;
    int64_t first = p.query_start[s], last = p.query_start[s + 1], context = p.context_length[s], sink_end = SinkEnd(p.streaming);
    Weights kv_b = KeysAndValuesOf(p, first);
    int64_t weights_row = static_cast<int64_t>(head) * (p.nope + p.v);

    // The positions that any of the new tokens sees: the sinks, and from the first token's local run on.
    int64_t sinks = Smaller(sink_end, context), local = LocalBegin(p.streaming, context - (last - first)),
            seen = sinks + Larger(0, context - local);
    auto position_of = [=](int64_t j) { return j < sinks ? j : local + j - sinks; };
    std::vector<double> latent(static_cast<size_t>(p.rank)), keys(static_cast<size_t>(seen * key_width)), values(static_cast<size_t>(seen * p.v));
    for (int64_t j = 0; j < seen; j++) {
        int64_t line = LineOf(p, s, position_of(j));
        for (int r = 0; r < p.rank; r++) {
            latent[static_cast<size_t>(r)] = ElementOf(p, line, r);
        }
        for (int i = 0; i < p.nope + p.v; i++) {
            double sum = 0;
            for (int r = 0; r < p.rank; r++) {
                sum += static_cast<double>(WeightAt(kv_b, (weights_row + i) * p.rank + r)) * latent[static_cast<size_t>(r)];
            }
            (i < p.nope ? keys[static_cast<size_t>(j * key_width + i)] : values[static_cast<size_t>(j * p.v + i - p.nope)]) = sum;
        }
        for (int i = 0; i < p.rope; i++) {
            keys[static_cast<size_t>(j * key_width + p.nope + i)] = ElementOf(p, line, p.rank + i);
        }
    }

    std::vector<float> query(static_cast<size_t>(key_width));
    std::vector<double> scores(static_cast<size_t>(seen));
    for (int64_t t = first; t < last; t++) {
        float cosine[kMostRope / 2], sine[kMostRope / 2];
        Rotation(p, p.position_ids[t], cosine, sine);
        const float* source = p.query + (t * p.num_heads + head) * key_width;
        for (int i = 0; i < key_width; i++) {
            query[static_cast<size_t>(i)] = source[i] * p.query_scale;
        }
        RotatePairs(query.data() + p.nope, p.rope, cosine, sine);

        int64_t own = LocalBegin(p.streaming, p.position_ids[t]);
        const int32_t* row = p.selected == nullptr ? nullptr : p.selected + t * p.selected_width;
        const int32_t* row_end = row == nullptr ? nullptr : row + SelectedKeys(p, t);
        const int32_t* set = IsSparse(p, s) ? p.sparse.blocks + s * p.sparse.words : nullptr;
        auto sees = [&](int64_t j) {
            int64_t position = position_of(j);
            if (set != nullptr && !Sees(set, position / p.sparse.block_size)) {
                return false;
            }
            if (row != nullptr) {
                return std::binary_search(row, row_end, static_cast<int32_t>(position));
            }
            return position <= p.position_ids[t] && (position < sink_end || position >= own);
        };
        double largest = -INFINITY;
        for (int64_t j = 0; j < seen; j++) {
            scores[static_cast<size_t>(j)] = -INFINITY;
            if (!sees(j)) {
                continue;
            }
            double sum = 0;
            for (int i = 0; i < key_width; i++) {
                sum += query[static_cast<size_t>(i)] * keys[static_cast<size_t>(j * key_width + i)];
            }
            scores[static_cast<size_t>(j)] = sum * p.softmax_scale;
            largest = scores[static_cast<size_t>(j)] > largest ? scores[static_cast<size_t>(j)] : largest;
        }
        double total = 0;
        for (int64_t j = 0; j < seen; j++) {
            scores[static_cast<size_t>(j)] = std::exp(scores[static_cast<size_t>(j)] - largest);
            total += scores[static_cast<size_t>(j)];
        }
        for (int i = 0; i < p.v; i++) {
            double sum = 0;
            for (int64_t j = 0; j < seen; j++) {
                if (sees(j)) {  // a weight of 0 would not hide a value that is not finite
                    sum += scores[static_cast<size_t>(j)] * values[static_cast<size_t>(j * p.v + i)];
                }
            }
            p.output[(t * p.num_heads + head) * p.v + i] = static_cast<float>(sum / total);
        }
    }
}

// The scores of a sequence's candidates.
std::vector<float> ScoreBlocks(const LatentAttentionArguments& p, int64_t s) {
    BlockRanges ranges = RangesOf(p.sparse, StepOf(p), s);
    int64_t token = p.query_start[s], pages = p.sparse.block_size / p.page_size, width = int64_t{p.rank} + p.rope;
    Weights kv_b = KeysAndValuesOf(p, token);
    std::vector<double> scores(static_cast<size_t>(ranges.Candidates())), folded(static_cast<size_t>(width));
    std::vector<float> query(static_cast<size_t>(p.nope + p.rope));
    float cosine[kMostRope / 2], sine[kMostRope / 2];
    Rotation(p, p.position_ids[token], cosine, sine);
    for (int64_t h = 0; h < p.num_heads; h++) {
        const float* source = p.query + (token * p.num_heads + h) * (p.nope + p.rope);
        for (size_t i = 0; i < query.size(); i++) {
            query[i] = source[i] * p.query_scale;
        }
        RotatePairs(query.data() + p.nope, p.rope, cosine, sine);
        for (int r = 0; r < p.rank; r++) {
            folded[static_cast<size_t>(r)] = 0;
            for (int i = 0; i < p.nope; i++) {
                folded[static_cast<size_t>(r)] += static_cast<double>(query[static_cast<size_t>(i)]) * WeightAt(kv_b, (h * (p.nope + p.v) + i) * p.rank + r);
            }
        }
        for (int i = 0; i < p.rope; i++) {
            folded[static_cast<size_t>(p.rank + i)] = query[static_cast<size_t>(p.nope + i)];
        }
        for (int64_t b = ranges.sinks; b < ranges.local; b++) {
            double sum = 0;
            for (int64_t column = b * pages; column < (b + 1) * pages; column++) {
                int64_t page = p.block_table[s * p.block_table_width + column];
                for (int64_t i = 0; i < width; i++) {
                    sum += folded[static_cast<size_t>(i)] * p.sparse.means[page * width + i];
                }
            }
            scores[static_cast<size_t>(b - ranges.sinks)] += sum > 0 ? sum : 0;
        }
    }
    return {scores.begin(), scores.end()};
}

// The means of the pages that were filled, and the sets of all sequences.
void PrepareSparse(const LatentAttentionArguments& p) {
    PagedStep step = StepOf(p);
    for (int64_t s = 0; s < p.sequences; s++) {
        for (int64_t t = p.query_start[s]; t < p.query_start[s + 1]; t++) {
            if ((p.position_ids[t] + 1) % p.page_size == 0) {
                StoreMean(p, s, p.position_ids[t] / p.page_size);
            }
        }
        if (!IsSparse(p, s)) {
            TakeAllOrNone(p.sparse, step, s, 1);
        } else if (p.sparse.choose) {
            SelectBlocks(p.sparse, step, s, 1, ScoreBlocks(p, s).data());
        } else {
            TakeBlocks(p.sparse, step, s, 1);
        }
    }
}

}  // namespace

void LatentAttentionReference(const LatentAttentionArguments& p, const ParallelFor& parallel) {
    for (int64_t s = 0; s < p.sequences; s++) {
        for (int64_t t = p.query_start[s]; t < p.query_start[s + 1]; t++) {
            StoreLine(p, s, t);
        }
    }
    if (p.sparse.means != nullptr) {
        PrepareSparse(p);
    }
    For(parallel, static_cast<size_t>(p.sequences * p.num_heads), [&](size_t index) {
        int64_t s = static_cast<int64_t>(index) / p.num_heads;
        if (p.query_start[s] < p.query_start[s + 1]) {
            AttendHead(p, s, static_cast<int>(static_cast<int64_t>(index) % p.num_heads));
        }
    });
}

}  // namespace longcat
