#include "longcat/attention_indexer.h"

#include <algorithm>
#include <cstdlib>

#include "indexer_case.h"

using namespace longcat;
using namespace longcat::test;

namespace {

const IndexerShape kOdd = {3, 10, 6, 9, 2, 3}, kOne = {1, 8, 8, 8, 0, 1}, kMany = {21, 16, 8, 40, 4, 20}, kForced = {2, 12, 0, 7, 4, 3},
                   kWide = {16, 128, 64, 200, 16, 100};

struct Result {
    std::vector<int32_t> selected;
    std::vector<uint8_t> cache;
};

Status Run(CpuPath path, AttentionIndexerArguments p, Result* result, const ParallelFor& parallel = {}) {
    result->selected.assign(static_cast<size_t>(p.tokens * p.top_k), -7);
    p.selected = result->selected.data();
    p.cache = result->cache.data();
    Workspace workspace(AttentionIndexerWorkspace(p));
    return AttentionIndexer(path, p, workspace.get(), parallel);
}

Result Run(CpuPath path, const IndexerCase& c, const ParallelFor& parallel = {}) {
    Result result{{}, c.Pool()};
    Status status = Run(path, c.p, &result, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return result;
}

// The rule in double precision, from the inputs alone: keys of earlier tokens are read out of the cache as it is after the step.
void Rule(CpuPath path, WeightType cache) {
    Random random(41);
    int64_t chosen = 0, close = 0;
    for (const IndexerShape& d : {kOdd, kOne, kMany, kForced, kWide}) {
        for (int64_t page : {int64_t{1}, int64_t{5}, int64_t{16}, int64_t{48}}) {
            if (!Swept()) {
                continue;
            }
            IndexerCase c(random, d, {{d.top_k, 2}, {d.top_k + 1, 1}, {d.top_k + 70, 70}, {0, 0}, {700, 3}}, page, cache);
            Result got = Run(path, c);
            for (int64_t s = 0; s < c.p.sequences; s++) {
                for (int64_t t = c.start[static_cast<size_t>(s)]; t < c.start[static_cast<size_t>(s) + 1]; t++) {
                    int64_t position = c.positions[static_cast<size_t>(t)];
                    const int32_t* row = &got.selected[static_cast<size_t>(t * d.top_k)];
                    if (position < d.top_k) {
                        for (int64_t i = 0; i < d.top_k; i++) {
                            EXPECT(row[i] == (i <= position ? i : -1), "token %d: [%d] is %d", (int)t, (int)i, row[i]);
                        }
                        continue;
                    }
                    std::vector<double> scores = c.Scores(got.cache, s, t);
                    std::vector<int32_t> order(static_cast<size_t>(position + 1));
                    for (size_t j = 0; j < order.size(); j++) {
                        order[j] = static_cast<int32_t>(j);
                    }
                    auto forced = [&](int32_t j) { return j < d.init || j > position - d.local; };
                    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
                        double x = forced(a) ? INFINITY : scores[static_cast<size_t>(a)],
                               y = forced(b) ? INFINITY : scores[static_cast<size_t>(b)];
                        return x > y;
                    });
                    // What double and float32 may order differently is left out.
                    double gap = scores[static_cast<size_t>(order[static_cast<size_t>(d.top_k) - 1])] -
                                 scores[static_cast<size_t>(order[static_cast<size_t>(d.top_k)])];
                    chosen++;
                    if (d.init + d.local < d.top_k && gap < 1e-5 && gap != 0) {
                        close++;
                        continue;
                    }
                    order.resize(static_cast<size_t>(d.top_k));
                    std::sort(order.begin(), order.end());
                    EXPECT(std::equal(order.begin(), order.end(), row), "%s, %d heads of %d, page %d, token %d at %d chooses otherwise",
                           Name(path), d.heads, d.dim, (int)page, (int)t, (int)position);
                }
            }
        }
    }
    std::printf("AttentionIndexer %s, cache %s: %d choices as in double precision, %d too close to tell\n", Name(path), Name(cache),
                (int)(chosen - close), (int)close);
    EXPECT(close * 20 <= chosen, "%d of %d choices are too close to tell", (int)close, (int)chosen);
}

// All paths: the same bits in the cache, the same choice.
void Parity(CpuPath path, WeightType cache) {
    Random random(42);
    for (const IndexerShape& d : {kOdd, kOne, kMany, kForced, kWide}) {
        for (int64_t page : {1, 4, 16, 40, 64}) {
            for (auto& sequences : {std::vector<PagedSequence>{},
                                    {{1, 1}},
                                    {{9, 9}},
                                    {{17, 1}, {3, 3}, {0, 0}, {70, 2}},
                                    {{530, 20}, {64, 64}, {1100, 1}, {9, 0}, {210, 5}}}) {
                if (!Swept()) {
                    continue;
                }
                IndexerCase c(random, d, sequences, page, cache);
                Result got = Run(path, c), want = Run(CpuPath::kReference, c);
                EXPECT(got.selected == want.selected && got.cache == want.cache, "%s, cache %s: %d heads of %d, page %d, %d sequences",
                       Name(path), Name(cache), d.heads, d.dim, (int)page, (int)sequences.size());
            }
        }
    }
}

// However the same sequences are put into steps, every choice is the same.
void Invariance(CpuPath path, WeightType cache) {
    Random random(43);
    IndexerCase c(random, kMany, {{90, 90}, {40, 40}, {1200, 150}}, 16, cache);
    Result whole = Run(path, c);
    for (int threads : {2, 5}) {
        Threads pool(threads);
        Result other = Run(path, c, pool.parallel());
        EXPECT(whole.selected == other.selected && whole.cache == other.cache, "%s: %d threads", Name(path), threads);
    }
    for (int64_t step : {int64_t{1}, int64_t{7}, int64_t{64}, int64_t{1000}}) {
        if (!Swept()) {
            continue;
        }
        Result cut{{}, c.Pool()};
        for (int64_t s = 0; s < c.p.sequences; s++) {
            for (int64_t from = c.start[static_cast<size_t>(s)]; from < c.start[static_cast<size_t>(s) + 1]; from += step) {
                AttentionIndexerArguments part = c.p;
                part.tokens = std::min(step, c.start[static_cast<size_t>(s) + 1] - from);
                part.sequences = 1;
                int32_t start[] = {0, static_cast<int32_t>(part.tokens)},
                        length = static_cast<int32_t>(c.positions[static_cast<size_t>(from)] + part.tokens);
                part.query_start = start, part.context_length = &length, part.block_table += s * c.p.block_table_width;
                part.query += from * c.p.num_heads * c.p.head_dim, part.key += from * c.p.head_dim, part.weights += from * c.p.num_heads;
                part.position_ids += from;
                Status status = Run(path, part, &cut);
                EXPECT(status.ok(), "%s", status.message);
                EXPECT(std::equal(cut.selected.begin(), cut.selected.end(), whole.selected.begin() + from * c.p.top_k),
                       "%s, cache %s: sequence %d, %d tokens from %d", Name(path), Name(cache), (int)s, (int)part.tokens, (int)from);
            }
        }
        EXPECT(whole.cache == cut.cache, "%s: the cache after steps of %d", Name(path), (int)step);
    }
}

// Keys without rotation and norm gain 1, so that scores can be set: one head of width 1, query 1, weight 1, keys ±1 times what is not
// there. Equal scores: the lower position. No number: last. Nothing of a line that no token of the sequence wrote.
void Ties(CpuPath path) {
    Random random(44);
    IndexerShape d{1, 2, 0, 6, 1, 2};
    IndexerCase c(random, d, {{12, 1}}, 4, WeightType::kFloat32);
    c.query = {1, 0};
    c.weights = {1};
    c.p.query = c.query.data(), c.p.weights = c.weights.data();
    auto choose = [&](std::vector<float> scores) {
        std::vector<uint8_t> pool = c.Pool();
        float* lines = reinterpret_cast<float*>(pool.data());
        for (size_t i = 0; i < pool.size() / 4; i++) {
            lines[i] = NAN;
        }
        for (int64_t j = 0; j < 11; j++) {  // element 0 of the key at j, panels of 4 slots
            int64_t page = c.table[static_cast<size_t>(j / 4)];
            lines[page * 8 + j % 4] = scores[static_cast<size_t>(j)];
            lines[page * 8 + 4 + j % 4] = 0;
        }
        Result result{{}, pool};
        EXPECT(Run(path, c.p, &result).ok(), "ties");
        return result.selected;
    };
    using Row = std::vector<int32_t>;
    EXPECT(choose({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) == (Row{0, 1, 2, 3, 10, 11}), "%s: equal scores", Name(path));
    EXPECT(choose({0, 1, 2, 1, 2, 1, 2, 2, 1, 2, 1}) == (Row{0, 2, 4, 6, 10, 11}), "%s: equal scores at the end", Name(path));
    EXPECT(choose({9, -1, 0, -0.0f, -9, 3, 0, 0, 0, 0, 0}) == (Row{0, 1, 2, 5, 10, 11}), "%s: below zero is zero", Name(path));
    EXPECT(choose({9, 1, INFINITY, 1, 1, 3, INFINITY, 0, 0, 4, 0}) == (Row{0, 2, 6, 9, 10, 11}), "%s: infinities", Name(path));
    EXPECT(choose({0, NAN, 1, NAN, 0, 0, 1, 0, 0, 1, 0}) == (Row{0, 2, 6, 9, 10, 11}), "%s: a key that is no number scores 0", Name(path));
    c.weights = {-1};
    EXPECT(choose({9, -1, 5, 4, -9, 3, 0, 2, 0, 1, 0}) == (Row{0, 1, 4, 6, 10, 11}), "%s: a weight below zero", Name(path));
    c.weights = {NAN};
    EXPECT(choose({9, -1, 5, 4, -9, 3, 0, 2, 0, 1, 0}) == (Row{0, 1, 2, 3, 10, 11}), "%s: scores that are no numbers", Name(path));
}

// Two sequences over the same whole pages: what precedes the new tokens may be shared.
void SharedPages(CpuPath path) {
    Random random(45);
    IndexerCase c(random, kOdd, {{13, 1}, {13, 1}}, 4, WeightType::kFloat32);
    std::copy(c.table.begin(), c.table.begin() + 3, c.table.begin() + 4);
    Result both = Run(path, c);
    c.p.tokens = c.p.sequences = 1;
    Result one = Run(path, c);
    EXPECT(std::equal(one.selected.begin(), one.selected.end(), both.selected.begin()), "%s: shared pages", Name(path));
}

void Errors(CpuPath path) {
    Random random(46);
    auto expect = [&](auto&& change, const char* part) {
        IndexerCase c(random, kOdd, {{19, 2}, {3, 3}}, 8, WeightType::kFloat32);
        change(c);
        Result result{{}, c.Pool()};
        std::vector<uint8_t> before = result.cache;
        AttentionIndexerArguments p = c.p;
        std::vector<int32_t> selected(static_cast<size_t>(5 * kOdd.top_k), -7), untouched = selected;
        p.selected = selected.data(), p.cache = result.cache.data();
        Workspace workspace(AttentionIndexerWorkspace(p));
        EXPECT_ERROR(AttentionIndexer(path, p, workspace.get(), {}), part);
        EXPECT(before == result.cache && selected == untouched, "%s: an error must leave everything alone", part);
    };
    expect([](auto& c) { c.table[2] = -1; }, "block_table[0, 2] is page -1, expected 0..4 (the cache has 5 pages)");
    expect([](auto& c) { c.table[0] = 5; }, "block_table[0, 0] is page 5");
    expect([](auto& c) { c.lengths[0] = 25; }, "context_length[0] is 25: 4 pages of 8, but block_table has 3 columns");
    expect([](auto& c) { c.lengths[1] = 2; }, "context_length[1] is 2, below the sequence's 3 new tokens");
    expect([](auto& c) { c.positions[1] = 19; }, "position_ids[1] is 19, expected 18");
    expect([](auto& c) { c.start[1] = 6; }, "query_start[2] is 5, below query_start[1] = 6");
    expect([](auto& c) { c.p.rope_dim = 5; }, "rope_dim is 5, expected an even number, 0..10");
    expect([](auto& c) { c.p.rope_dim = 12; }, "rope_dim is 12");
    expect([](auto& c) { c.p.num_heads = 0; }, "num_heads 0");
    expect([](auto& c) { c.p.num_heads = 1025; }, "num_heads 1025");
    expect([](auto& c) { c.p.head_dim = INT32_MAX; }, "head_dim 2147483647");
    expect([](auto& c) { c.p.top_k = 4; },
           "top_k 4: expected 1..16777216; init_tokens 2 and local_tokens 3: expected 0 or more, together at most top_k");
    expect([](auto& c) { c.p.top_k = INT32_MAX; }, "top_k 2147483647");
    expect([](auto& c) { c.p.init_tokens = -1; }, "init_tokens -1");
    expect([](auto& c) { c.p.init_tokens = c.p.local_tokens = INT32_MAX; }, "init_tokens 2147483647");
    expect([](auto& c) { c.p.pages = 0, c.p.page_size = INT64_MAX; }, "cache 0 pages of 9223372036854775807");
    expect([](auto& c) { c.table[3] = c.table[2]; }, "block_table[1, 0] is page");
    expect([](auto& c) { c.table[0] = c.table[2]; }, "which this step writes for other tokens too");
}

}  // namespace

int main() {
    for (WeightType cache : {WeightType::kFloat32, WeightType::kBFloat16}) {
        Rule(CpuPath::kReference, cache);
    }
    Errors(CpuPath::kReference);
    Ties(CpuPath::kReference);
    for (CpuPath path : FastPaths()) {
        Errors(path);
        Ties(path);
        SharedPages(path);
        for (WeightType cache : {WeightType::kFloat32, WeightType::kBFloat16}) {
            Parity(path, cache);
            Invariance(path, cache);
        }
    }
    return Report();
}
