// AttentionIndexer of the device: the cache against the CPU's, choices against scores in double precision.
#include "longcat/cuda/attention_indexer.h"

#include <algorithm>

#include "../../tests/indexer_case.h"
#include "device_memory.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;

namespace {

struct Result {
    std::vector<int32_t> selected;
    std::vector<uint16_t> cache;
    int32_t fault = 0;
};

float Widened(uint16_t value) {
    uint32_t bits = static_cast<uint32_t>(value) << 16;
    float number;
    std::memcpy(&number, &bits, 4);
    return number;
}
uint16_t Cut(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return static_cast<uint16_t>(bits >> 16);
}

// Lines of a page as plain rows, the device's layout; the case's own numbers.
struct Step {
    IndexerCase c;
    std::vector<uint16_t> pool;

    Step(Random& random, const IndexerShape& d, const std::vector<PagedSequence>& sequences, int64_t page) : c(random, d, sequences, page, WeightType::kBFloat16) {
        for (float value : c.cache) {
            pool.push_back(Cut(value));
        }
    }
    // Element i of the line of a slot, in the CPU's pages.
    int64_t InPanels(int64_t page, int64_t slot, int64_t i) const {
        int64_t panel = slot / 16 * 16, wide = std::min<int64_t>(16, c.p.page_size - panel);
        return (page * c.p.page_size + panel) * c.p.head_dim + i * wide + slot - panel;
    }
    int64_t InRows(int64_t page, int64_t slot, int64_t i) const { return (page * c.p.page_size + slot) * c.p.head_dim + i; }
};

Result Got(const Execution& execution, Step& s) {
    AttentionIndexerArguments p = s.c.p;
    Array<float> query(s.c.query), key(s.c.key), weights(s.c.weights), norm(s.c.norm), frequencies(s.c.frequencies);
    Array<int64_t> positions(s.c.positions);
    Array<int32_t> start(s.c.start), table(s.c.table), fault(std::vector<int32_t>{0}), selected(static_cast<size_t>(p.tokens * p.top_k));
    Array<uint16_t> cache(s.pool);
    p.query = query.get(), p.key = key.get(), p.weights = weights.get(), p.key_norm = norm.get(), p.inv_freq = frequencies.get();
    p.position_ids = positions.get(), p.query_start = start.get(), p.context_length = nullptr, p.block_table = table.get();
    p.cache = cache.get(), p.selected = selected.get();
    Array<uint8_t> workspace(cuda::AttentionIndexerWorkspace(execution.device, p));
    Status status = cuda::AttentionIndexer(execution, p, workspace.get(), fault.get());
    EXPECT(status.ok(), "%s", status.message);
    return {selected.Values(), cache.Values(), fault.Values()[0]};
}

// Every line that the step wrote, as the CPU writes it.
Comparison stored("keys in the cache", 8e-3, "8 bits; an angle's cosine");
void Cache(const Step& s, const Result& got, const std::string& what) {
    std::vector<uint8_t> bytes(s.pool.size() * 2);
    auto at = [&](int64_t i) { return bytes.data() + 2 * i; };
    for (int64_t page = 0; page < s.c.p.pages; page++) {
        for (int64_t slot = 0; slot < s.c.p.page_size; slot++) {
            for (int64_t i = 0; i < s.c.p.head_dim; i++) {
                std::memcpy(at(s.InPanels(page, slot, i)), &s.pool[static_cast<size_t>(s.InRows(page, slot, i))], 2);
            }
        }
    }
    AttentionIndexerArguments p = s.c.p;
    std::vector<int32_t> selected(static_cast<size_t>(p.tokens * p.top_k));
    p.cache = bytes.data(), p.selected = selected.data();
    Workspace workspace(AttentionIndexerWorkspace(p));
    Status status = AttentionIndexer(CpuPath::kReference, p, workspace.get(), {});
    EXPECT(status.ok(), "%s", status.message);
    std::vector<float> want_keys, got_keys;
    for (int64_t page = 0; page < p.pages; page++) {
        for (int64_t slot = 0; slot < p.page_size; slot++) {
            for (int64_t i = 0; i < p.head_dim; i++) {
                uint16_t want;
                std::memcpy(&want, at(s.InPanels(page, slot, i)), 2);
                const size_t row = static_cast<size_t>(s.InRows(page, slot, i));
                if (want != s.pool[row] || got.cache[row] != want) {
                    want_keys.push_back(Widened(want)), got_keys.push_back(Widened(got.cache[row]));
                }
            }
        }
    }
    stored.Add(got_keys, want_keys, what);
}

struct Score {
    double value, error;  // how far a float32 sum of the products may be off
};

// Scores of all keys up to token t's own, in double, from the cache as it is after the step. rounded: queries lose all but 8 bits.
std::vector<Score> Scores(const Step& s, const std::vector<uint16_t>& cache, int64_t sequence, int64_t t, bool rounded) {
    const AttentionIndexerArguments& p = s.c.p;
    const int64_t position = s.c.positions[static_cast<size_t>(t)];
    std::vector<double> query(static_cast<size_t>(p.num_heads * p.head_dim));
    for (int64_t at = 0; at < p.num_heads * p.head_dim; at++) {
        const float* q = p.query + t * p.num_heads * p.head_dim + at;
        const int64_t i = at % p.head_dim;
        double x = *q;
        if (i < p.rope_dim) {
            float angle = static_cast<float>(position) * p.inv_freq[i / 2];
            double sine = std::sin(static_cast<double>(angle)), cosine = std::cos(static_cast<double>(angle));
            x = (i % 2 == 0 ? q[0] * cosine - q[1] * sine : q[0] * cosine + q[-1] * sine) * static_cast<double>(p.rope_multiplier);
        }
        query[static_cast<size_t>(at)] = x;
    }
    std::vector<Score> scores;
    for (int64_t j = 0; j <= position; j++) {
        const int64_t page = s.c.table[static_cast<size_t>(sequence * p.block_table_width + j / p.page_size)];
        Score score{0, 0};
        for (int64_t h = 0; h < p.num_heads; h++) {
            double product = 0, size = 0;
            for (int64_t i = 0; i < p.head_dim; i++) {
                double term = query[static_cast<size_t>(h * p.head_dim + i)] * Widened(cache[static_cast<size_t>(s.InRows(page, j % p.page_size, i))]);
                product += term, size += std::fabs(term);
            }
            const double weight = p.weights[t * p.num_heads + h];
            score.value += weight * std::max(0.0, product);
            score.error += std::fabs(weight) * size * (rounded ? 0x1p-8 : 0x1p-18);
        }
        scores.push_back(score);
    }
    return scores;
}

// Of the keys that are not forced none that was left out is surely better than one that was taken.
void Rule(const Execution& execution) {
    Random random(111);
    const IndexerShape odd = {3, 24, 8, 9, 2, 3}, one = {1, 8, 8, 8, 0, 1}, many = {21, 64, 16, 40, 4, 20}, forced = {2, 16, 0, 7, 4, 3}, wide = {80, 128, 64, 100, 16, 50},
                       plain = {5, 40, 0, 33, 1, 8};
    int64_t rows = 0, same = 0;
    for (const IndexerShape& d : {odd, one, many, forced, wide, plain}) {
        for (int64_t page : {int64_t{5}, int64_t{16}, int64_t{64}}) {
            for (auto& sequences : {std::vector<PagedSequence>{{d.top_k, 2}, {d.top_k + 1, 1}, {0, 0}, {600, 3}}, {{d.top_k + 70, 70}, {300, 21}}, {{0, 0}, {700, 1}}}) {
                if (!Swept()) {
                    continue;
                }
                Step s(random, d, sequences, page);
                const bool rounded = d.rope > 0;
                if (!rounded) {  // queries of 8 bits: nothing but the order of the sums may differ
                    for (float& x : s.c.query) {
                        x = Widened(Cut(x));
                    }
                }
                const Result got = Got(execution, s);
                const std::string what = Text("%d heads of %d, page %d, top %d", d.heads, d.dim, (int)page, d.top_k);
                EXPECT(got.fault == 0, "%s: fault", what.c_str());
                Cache(s, got, what);
                for (int64_t q = 0; q < s.c.p.sequences; q++) {
                    for (int64_t t = s.c.start[static_cast<size_t>(q)]; t < s.c.start[static_cast<size_t>(q) + 1]; t++) {
                        const int64_t position = s.c.positions[static_cast<size_t>(t)];
                        const std::vector<int32_t> row(got.selected.begin() + t * d.top_k, got.selected.begin() + (t + 1) * d.top_k);
                        if (position < d.top_k) {
                            for (int i = 0; i < d.top_k; i++) {
                                EXPECT(row[static_cast<size_t>(i)] == (i <= position ? i : -1), "%s: token %d, [%d] is %d", what.c_str(), (int)t, i, row[static_cast<size_t>(i)]);
                            }
                            continue;
                        }
                        std::vector<bool> taken(static_cast<size_t>(position + 1));
                        bool ascending = true;
                        for (size_t i = 0; i < row.size(); i++) {
                            ascending = ascending && row[i] >= 0 && row[i] <= position && (i == 0 || row[i] > row[i - 1]);
                            if (ascending) {
                                taken[static_cast<size_t>(row[i])] = true;
                            }
                        }
                        EXPECT(ascending, "%s: token %d does not ascend", what.c_str(), (int)t);
                        const std::vector<Score> scores = Scores(s, got.cache, q, t, rounded);
                        double least = INFINITY, most = -INFINITY, least_sure = INFINITY, most_sure = -INFINITY;
                        for (int64_t j = 0; j <= position; j++) {
                            const Score& score = scores[static_cast<size_t>(j)];
                            const bool here = taken[static_cast<size_t>(j)], must = j < d.init || j > position - d.local;
                            EXPECT(!must || here, "%s: token %d leaves out %d", what.c_str(), (int)t, (int)j);
                            if (!must && here) {
                                least = std::min(least, score.value), least_sure = std::min(least_sure, score.value + score.error);
                            } else if (!must) {
                                most = std::max(most, score.value), most_sure = std::max(most_sure, score.value - score.error);
                            }
                        }
                        EXPECT(least_sure >= most_sure, "%s: token %d at %d takes %g and leaves %g", what.c_str(), (int)t, (int)position, least, most);
                        rows++, same += least >= most;
                    }
                }
            }
        }
    }
    std::printf("AttentionIndexer: %d choices, %d of them as in double precision, the others within the rounding of 8-bit queries\n", (int)rows, (int)same);
    EXPECT(SweptEvery() > 1 || (rows > 300 && same * 2 > rows), "%d of %d: this test would prove little", (int)same, (int)rows);
}

// Keys set by hand, one head, query 1: as in the CPU's test of the same name.
void Ties(const Execution& execution) {
    Random random(112);
    Step s(random, {1, 8, 0, 6, 1, 2}, {{12, 1}}, 4);
    s.c.query = {1, 0, 0, 0, 0, 0, 0, 0}, s.c.weights = {1};
    auto choose = [&](const std::vector<float>& keys) {
        std::fill(s.pool.begin(), s.pool.end(), uint16_t{0x7fc0});
        for (int64_t j = 0; j < 11; j++) {
            for (int64_t i = 0; i < 8; i++) {
                s.pool[static_cast<size_t>(s.InRows(s.c.table[static_cast<size_t>(j / 4)], j % 4, i))] = i == 0 ? Cut(keys[static_cast<size_t>(j)]) : uint16_t{0};
            }
        }
        return Got(execution, s).selected;
    };
    using Row = std::vector<int32_t>;
    EXPECT(choose({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) == (Row{0, 1, 2, 3, 10, 11}), "equal scores");
    EXPECT(choose({0, 1, 2, 1, 2, 1, 2, 2, 1, 2, 1}) == (Row{0, 2, 4, 6, 10, 11}), "equal scores at the end");
    EXPECT(choose({9, -1, 0, -0.0f, -9, 3, 0, 0, 0, 0, 0}) == (Row{0, 1, 2, 5, 10, 11}), "below zero is zero");
    EXPECT(choose({9, 1, INFINITY, 1, 1, 3, INFINITY, 0, 0, 4, 0}) == (Row{0, 2, 6, 9, 10, 11}), "infinities");
    EXPECT(choose({0, NAN, 1, NAN, 0, 0, 1, 0, 0, 1, 0}) == (Row{0, 2, 6, 9, 10, 11}), "a key that is no number scores 0");
    s.c.weights = {-1};
    EXPECT(choose({9, -1, 5, 4, -9, 3, 0, 2, 0, 1, 0}) == (Row{0, 1, 4, 6, 10, 11}), "a weight below zero");
    s.c.weights = {NAN};
    EXPECT(choose({9, -1, 5, 4, -9, 3, 0, 2, 0, 1, 0}) == (Row{0, 1, 2, 3, 10, 11}), "scores that are no numbers");
}

// However the same sequences are put into steps, every choice is the same; so it is in any order of blocks and threads.
void Company(const Execution& execution) {
    Random random(113);
    const IndexerShape d = {20, 32, 8, 40, 4, 20};
    Step s(random, d, {{90, 90}, {40, 40}, {700, 60}}, 16);
    const Result whole = Got(execution, s);
    for (int64_t step : {int64_t{1}, int64_t{33}}) {
        Step cut(random, d, {{1, 1}}, 16);  // its numbers are replaced
        std::vector<uint16_t> pool = s.pool;
        for (size_t q = 0; q < 3; q++) {
            for (int64_t from = s.c.start[q]; from < s.c.start[q + 1]; from += step) {
                const int64_t tokens = std::min(step, s.c.start[q + 1] - from), width = s.c.p.block_table_width;
                auto part = [&](const auto& values, int64_t size) {
                    return std::remove_cvref_t<decltype(values)>(values.begin() + from * size, values.begin() + (from + tokens) * size);
                };
                cut.c.query = part(s.c.query, d.heads * d.dim), cut.c.key = part(s.c.key, d.dim), cut.c.weights = part(s.c.weights, d.heads);
                cut.c.norm = s.c.norm, cut.c.frequencies = s.c.frequencies, cut.c.positions = part(s.c.positions, 1);
                cut.c.start = {0, static_cast<int32_t>(tokens)}, cut.pool = pool;
                cut.c.table.assign(s.c.table.begin() + static_cast<int64_t>(q) * width, s.c.table.begin() + static_cast<int64_t>(q + 1) * width);
                cut.c.p.tokens = tokens, cut.c.p.pages = s.c.p.pages, cut.c.p.block_table_width = width;
                const Result got = Got(execution, cut);
                pool = got.cache;
                EXPECT(std::equal(got.selected.begin(), got.selected.end(), whole.selected.begin() + from * d.top_k), "sequence %d, %d tokens from %d", (int)q, (int)tokens,
                       (int)from);
            }
        }
        EXPECT(pool == whole.cache, "the cache after steps of %d", (int)step);
    }
    cuda::test::InEveryOrder([&](int order) {
        const Result again = Got(execution, s);
        EXPECT(again.selected == whole.selected && again.cache == whole.cache, "order %d", order);
    });
    // So wide a table that the scores of all tokens do not fit: they are made in parts.
    const int64_t width = s.c.p.block_table_width, wide = 120'000;
    std::vector<int32_t> table(static_cast<size_t>(3 * wide), -1);
    for (int64_t q = 0; q < 3; q++) {
        std::copy_n(s.c.table.begin() + q * width, width, table.begin() + q * wide);
    }
    s.c.table = table, s.c.p.block_table_width = wide;
    EXPECT(Got(execution, s).selected == whole.selected, "scores in parts");
}

void Faults(const Execution& execution) {
    Random random(114);
    Step s(random, {4, 16, 8, 9, 2, 3}, {{100, 1}, {20, 2}}, 16);
    s.c.table[2] = static_cast<int32_t>(s.c.p.pages);
    EXPECT(Got(execution, s).fault == 1, "a page behind the last one was not noticed");
}

void Errors(const Execution& execution) {
    Random random(115);
    auto expect = [&](auto&& change, const char* part) {
        Step s(random, {4, 16, 8, 9, 2, 3}, {{20, 2}}, 16);
        alignas(16) static uint16_t cache[16] = {};
        static int32_t selected[1] = {};
        s.c.p.cache = cache, s.c.p.selected = selected;
        change(s.c.p);
        EXPECT_ERROR(cuda::AttentionIndexer(execution, s.c.p, nullptr, nullptr), part);
    };
    expect([](AttentionIndexerArguments& p) { p.cache_type = WeightType::kFloat32; }, "the cache is float32, expected bfloat16 on a GPU");
    expect([](AttentionIndexerArguments& p) { p.head_dim = 20; }, "head_dim is 20, expected a multiple of 8, 8..128, on a GPU");
    expect([](AttentionIndexerArguments& p) { p.head_dim = 136; }, "head_dim is 136");
    expect([](AttentionIndexerArguments& p) { p.rope_dim = 5; }, "rope_dim is 5");
    expect([](AttentionIndexerArguments& p) { p.top_k = 4; }, "top_k 4");
    expect([](AttentionIndexerArguments& p) { p.block_table_width = 1 << 28; }, "expected fewer than 2^31 positions");
    expect([](AttentionIndexerArguments& p) { p.weights = nullptr; }, "must not be null");
    expect([](AttentionIndexerArguments& p) { p.cache = static_cast<uint16_t*>(p.cache) + 1; }, "a multiple of 16");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Rule(execution);
    Ties(execution);
    Company(execution);
    Faults(execution);
    return Report();
}
