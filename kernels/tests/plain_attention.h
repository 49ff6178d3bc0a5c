// Both attentions over whole sequences against a plain softmax in float64 that is told which keys a token sees: without norms of heads and
// without rotation, which the tests of each operator have.
#pragma once

#include <algorithm>
#include <utility>

#include "cache_bytes.h"
#include "harness.h"
#include "longcat/latent_attention.h"
#include "longcat/paged_attention.h"

namespace longcat::test {

// Rows of `width`, as the cache gives them back.
inline std::vector<float> Stored(std::vector<float> values, CacheType type, int64_t width) {
    for (size_t i = 0; i < values.size(); i += static_cast<size_t>(width)) {
        RoundTrip(type, &values[i], width);
    }
    return values;
}

// Σ softmax(scores) · values over the keys that are seen.
template <class Sees, class Score, class Add>
void Softmax(int64_t query, Sees&& sees, Score&& score, Add&& add) {
    std::vector<std::pair<int64_t, double>> weights;
    double largest = -INFINITY, total = 0;
    for (int64_t j = 0; j <= query; j++) {
        if (sees(j)) {
            weights.emplace_back(j, score(j));
            largest = std::max(largest, weights.back().second);
        }
    }
    for (auto& [key, weight] : weights) {
        weight = std::exp(weight - largest);
        total += weight;
    }
    for (auto& [key, weight] : weights) {
        add(key, weight / total);
    }
}

// The tokens of one step, in the order of the batch: which token of which sequence.
struct Batch {
    std::vector<int32_t> start{0}, lengths, table;
    std::vector<int64_t> positions, sequence;
    int64_t width = 0, origin = 0;  // origin: the position of the first token that the inputs hold

    std::vector<float> Gather(const std::vector<std::vector<float>>& of, int64_t row) const {
        std::vector<float> values;
        for (size_t i = 0; i < positions.size(); i++) {
            const float* from = of[static_cast<size_t>(sequence[i])].data() + (positions[i] - origin) * row;
            values.insert(values.end(), from, from + row);
        }
        return values;
    }
    template <class Arguments>
    void Fill(Arguments* p) const {
        p->tokens = static_cast<int64_t>(positions.size()), p->sequences = static_cast<int64_t>(lengths.size());
        p->block_table_width = width;
        p->position_ids = positions.data(), p->query_start = start.data(), p->context_length = lengths.data(),
        p->block_table = table.data();
    }
};

// PagedAttention over whole sequences, without norms and rotation.
struct Paged {
    static constexpr const char* kName = "PagedAttention";
    static constexpr bool kPairs = true;  // whether it multiplies pairs of bfloat16 where a path can
    PagedAttentionArguments p;
    std::vector<std::vector<float>> query, key, value, stored_keys, stored_values;
    int64_t SparseHeads() const { return p.num_kv_heads; }
    int64_t MeanWidth() const { return Keys(); }

    Paged(Random& random, const std::vector<int64_t>& lengths) {
        constexpr int kShapes[][3] = {{4, 2, 24}, {6, 1, 16}, {2, 2, 7}, {40, 2, 33}, {14, 1, 64}};
        const int* shape = kShapes[random.Below(5)];
        p.num_heads = shape[0], p.num_kv_heads = shape[1], p.head_dim = shape[2];
        p.softmax_scale = 2 / std::sqrt(static_cast<float>(p.head_dim));
        for (int64_t length : lengths) {
            query.push_back(random.Floats(length * Queries())), key.push_back(random.Floats(length * Keys()));
            value.push_back(random.Floats(length * Keys()));
        }
    }
    int64_t Queries() const { return int64_t{p.num_heads} * p.head_dim; }
    int64_t Keys() const { return int64_t{p.num_kv_heads} * p.head_dim; }
    int64_t Line() const { return 2 * Keys(); }
    int64_t LineBytes() const { return PagedLineBytes(p.cache_type, p.num_kv_heads, p.head_dim); }
    int64_t Outputs() const { return Queries(); }

    Status Run(CpuPath path, const Batch& batch, float* output, const ParallelFor& parallel, const SparseBlocks& sparse = {}) const {
        PagedAttentionArguments a = p;
        a.sparse = sparse;
        batch.Fill(&a);
        std::vector<float> q = batch.Gather(query, Queries()), k = batch.Gather(key, Keys()), v = batch.Gather(value, Keys());
        a.query = q.data(), a.key = k.data(), a.value = v.data(), a.output = output;
        Workspace workspace(PagedAttentionWorkspace(a));
        return PagedAttention(path, a, workspace.get(), parallel);
    }

    // What the cache holds of each sequence.
    void Prepare() {
        stored_keys.clear(), stored_values.clear();
        for (size_t s = 0; s < key.size(); s++) {
            stored_keys.push_back(Stored(key[s], p.cache_type, p.head_dim));
            stored_values.push_back(Stored(value[s], p.cache_type, p.head_dim));
        }
    }

    // Another token at a position.
    void Redraw(Random& random, size_t s, int64_t position) {
        for (int64_t i = position * Keys(); i < (position + 1) * Keys(); i++) {
            key[s][static_cast<size_t>(i)] = random.Unit(), value[s][static_cast<size_t>(i)] = random.Unit();
        }
    }

    // Element i of what the mean of a page averages: the keys of all kv heads.
    double KeyAt(size_t s, int64_t position, int64_t i) const { return stored_keys[s][static_cast<size_t>(position * Keys() + i)]; }

    // How much a query asks for a block of keys [from, to).
    double Importance(size_t s, int64_t token, int64_t g, int64_t from, int64_t to) const {
        double best = -INFINITY;
        int64_t group = p.num_heads / p.num_kv_heads;
        for (int64_t h = g * group; h < (g + 1) * group; h++) {
            double sum = 0;
            for (int64_t j = from; j < to; j++) {
                for (int64_t i = 0; i < p.head_dim; i++) {
                    sum += static_cast<double>(query[s][static_cast<size_t>(token * Queries() + h * p.head_dim + i)]) *
                           KeyAt(s, j, g * p.head_dim + i);
                }
            }
            best = std::max(best, sum / static_cast<double>(to - from));
        }
        return best;
    }

    // sees(head of keys, position) says which keys the token sees; never one behind it.
    template <class See>
    std::vector<float> Expected(size_t s, int64_t token, See&& sees) const {
        const std::vector<float>&keys = stored_keys[s], &values = stored_values[s];
        std::vector<float> result;
        int64_t dim = p.head_dim;
        for (int64_t h = 0; h < p.num_heads; h++) {
            int64_t g = h / (p.num_heads / p.num_kv_heads);
            std::vector<double> sum(static_cast<size_t>(dim));
            Softmax(
                token, [&](int64_t j) { return sees(g, j); },
                [&](int64_t j) {
                    double score = 0;
                    for (int64_t i = 0; i < dim; i++) {
                        score += static_cast<double>(query[s][static_cast<size_t>(token * Queries() + h * dim + i)]) *
                                 keys[static_cast<size_t>(j * Keys() + g * dim + i)];
                    }
                    return score * p.softmax_scale;
                },
                [&](int64_t j, double weight) {
                    for (int64_t i = 0; i < dim; i++) {
                        sum[static_cast<size_t>(i)] += weight * values[static_cast<size_t>(j * Keys() + g * dim + i)];
                    }
                });
            result.insert(result.end(), sum.begin(), sum.end());
        }
        return result;
    }
};

// LatentAttention over whole sequences; frequencies of 0: nothing turns.
struct Latent {
    static constexpr const char* kName = "LatentAttention";
    static constexpr bool kPairs = true;
    LatentAttentionArguments p;
    std::vector<std::vector<float>> query, latent, stored;
    std::vector<float> norm, frequencies, kv_b;
    int64_t SparseHeads() const { return 1; }
    int64_t MeanWidth() const { return Line(); }

    Latent(Random& random, const std::vector<int64_t>& lengths) {
        constexpr int kShapes[][5] = {{3, 5, 6, 7, 21}, {8, 16, 8, 16, 64}, {19, 8, 4, 8, 40}};
        const int* shape = kShapes[random.Below(3)];
        p.num_heads = shape[0], p.nope = shape[1], p.rope = shape[2], p.v = shape[3], p.rank = shape[4];
        p.epsilon = 1e-6f, p.query_scale = 1.5f, p.latent_scale = 2, p.softmax_scale = 0.3f;
        norm = random.Floats(p.rank), frequencies.assign(static_cast<size_t>(p.rope / 2), 0);
        kv_b = random.Floats(int64_t{p.num_heads} * (p.nope + p.v) * p.rank, 0.2f);
        for (int64_t length : lengths) {
            query.push_back(random.Floats(length * Queries())), latent.push_back(random.Floats(length * Line()));
        }
    }
    int64_t Queries() const { return int64_t{p.num_heads} * (p.nope + p.rope); }
    int64_t Line() const { return p.rank + p.rope; }
    int64_t LineBytes() const { return LatentLineBytes(p.cache_type, p.rank, p.rope); }
    int64_t Outputs() const { return int64_t{p.num_heads} * p.v; }

    Status Run(CpuPath path, const Batch& batch, float* output, const ParallelFor& parallel, const SparseBlocks& sparse = {}) const {
        LatentAttentionArguments a = p;
        a.sparse = sparse;
        batch.Fill(&a);
        std::vector<float> q = batch.Gather(query, Queries()), lines = batch.Gather(latent, Line());
        a.query = q.data(), a.latent = lines.data(), a.output = output;
        a.latent_norm = norm.data(), a.inv_freq = frequencies.data(), a.kv_b = {kv_b.data(), WeightType::kFloat32};
        Workspace workspace(LatentAttentionWorkspace(a));
        return LatentAttention(path, a, workspace.get(), parallel);
    }

    void Prepare() {
        stored.clear();
        for (std::vector<float> lines : latent) {
            for (int64_t at = 0; at < static_cast<int64_t>(lines.size()); at += Line()) {
                float* line = lines.data() + at;
                double squares = 0;
                for (int i = 0; i < p.rank; i++) {
                    squares += static_cast<double>(line[i]) * line[i];
                }
                float inverse = static_cast<float>(1.0 / std::sqrt(squares / p.rank + static_cast<double>(p.epsilon)));
                for (int i = 0; i < p.rank; i++) {
                    line[i] = line[i] * inverse * norm[static_cast<size_t>(i)] * p.latent_scale;
                }
            }
            for (int64_t at = 0; at < static_cast<int64_t>(lines.size()); at += Line()) {
                RoundTrip(p.cache_type, &lines[static_cast<size_t>(at)], p.rank);
                RoundTrip(p.cache_type, &lines[static_cast<size_t>(at + p.rank)], p.rope);
            }
            stored.push_back(lines);
        }
    }

    void Redraw(Random& random, size_t s, int64_t position) {
        for (int64_t i = position * Line(); i < (position + 1) * Line(); i++) {
            latent[s][static_cast<size_t>(i)] = random.Unit();
        }
    }

    double KeyAt(size_t s, int64_t position, int64_t i) const { return stored[s][static_cast<size_t>(position * Line() + i)]; }

    double Importance(size_t s, int64_t token, int64_t, int64_t from, int64_t to) const {
        double result = 0;
        for (int64_t h = 0; h < p.num_heads; h++) {
            std::vector<double> folded = Folded(s, token, h);
            double sum = 0;
            for (int64_t j = from; j < to; j++) {
                for (int64_t i = 0; i < Line(); i++) {
                    sum += folded[static_cast<size_t>(i)] * KeyAt(s, j, i);
                }
            }
            result += std::max(0.0, sum / static_cast<double>(to - from));
        }
        return result;
    }

    // The query of a head against lines of the cache.
    std::vector<double> Folded(size_t s, int64_t token, int64_t h) const {
        const float *q = query[s].data() + token * Queries() + h * (p.nope + p.rope), *w = kv_b.data() + h * (p.nope + p.v) * p.rank;
        std::vector<double> folded(static_cast<size_t>(Line()));
        for (int i = 0; i < p.nope; i++) {
            for (int r = 0; r < p.rank; r++) {
                folded[static_cast<size_t>(r)] += static_cast<double>(q[i]) * p.query_scale * w[i * p.rank + r];
            }
        }
        for (int i = 0; i < p.rope; i++) {
            folded[static_cast<size_t>(p.rank + i)] = static_cast<double>(q[p.nope + i]) * p.query_scale;
        }
        return folded;
    }

    // sees(head of keys, position) says which keys the token sees; never one behind it.
    template <class See>
    std::vector<float> Expected(size_t s, int64_t token, See&& sees) const {
        const std::vector<float>& lines = stored[s];
        std::vector<float> result;
        for (int64_t h = 0; h < p.num_heads; h++) {
            const float* w = kv_b.data() + h * (p.nope + p.v) * p.rank;
            std::vector<double> folded = Folded(s, token, h), mean(static_cast<size_t>(p.rank));
            Softmax(
                token, [&](int64_t j) { return sees(int64_t{0}, j); },
                [&](int64_t j) {
                    double score = 0;
                    for (int64_t i = 0; i < Line(); i++) {
                        score += folded[static_cast<size_t>(i)] * lines[static_cast<size_t>(j * Line() + i)];
                    }
                    return score * p.softmax_scale;
                },
                [&](int64_t j, double weight) {
                    for (int i = 0; i < p.rank; i++) {
                        mean[static_cast<size_t>(i)] += weight * lines[static_cast<size_t>(j * Line() + i)];
                    }
                });
            for (int i = 0; i < p.v; i++) {
                double sum = 0;
                for (int r = 0; r < p.rank; r++) {
                    sum += mean[static_cast<size_t>(r)] * w[(p.nope + i) * p.rank + r];
                }
                result.push_back(static_cast<float>(sum));
            }
        }
        return result;
    }
};

}  // namespace longcat::test
