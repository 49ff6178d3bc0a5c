#include "longcat/latent_attention.h"

#include <algorithm>

#include "latent_case.h"

using namespace longcat;
using namespace longcat::test;

namespace {

using Dimensions = LatentDimensions;
using Sequence = LatentSequence;
using Case = LatentCase;

struct Result {
    std::vector<float> output;
    std::vector<uint8_t> cache;
};

Status Run(CpuPath path, LatentAttentionArguments p, Result* result, const ParallelFor& parallel = {}) {
    result->output.assign(static_cast<size_t>(p.tokens * p.num_heads * p.v), 0);
    p.output = result->output.data();
    p.cache = result->cache.data();
    Workspace workspace(LatentAttentionWorkspace(p));
    return LatentAttention(path, p, workspace.get(), parallel);
}

Result Run(CpuPath path, const Case& c, const ParallelFor& parallel = {}) {
    Result result{{}, c.Pool()};
    Status status = Run(path, c.p, &result, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return result;
}

const char* const kWhy = "float32 sums and exp; the absorbed form adds in another order";
const Dimensions kOdd = {3, 5, 6, 7, 21}, kEven = {8, 16, 8, 16, 64}, kMany = {19, 8, 4, 8, 40};

void Parity(CpuPath path, WeightType weights, CacheType cache) {
    Comparison comparison(Text("LatentAttention %s %s, cache %s", Name(path), Name(weights), Name(cache)).c_str(),
                          RoundsToPairs(path, cache) ? kPairTolerance : 2e-5, RoundsToPairs(path, cache) ? kPairWhy : kWhy);
    Random random(31);
    for (const Dimensions& d : {kOdd, kEven, kMany}) {
        for (int64_t page : {1, 4, 16}) {
            for (auto& sequences : {std::vector<Sequence>{},
                                    {{1, 1}},
                                    {{5, 5}},
                                    {{17, 1}, {3, 3}, {0, 0}, {70, 2}},
                                    {{130, 1}, {64, 64}, {65, 1}, {9, 0}, {66, 5}}}) {
                if (!Swept()) {
                    continue;
                }
                Case c(random, d, sequences, page, weights, cache);
                Result got = Run(path, c), want = Run(CpuPath::kReference, c);
                comparison.Add(got.output, want.output, Text("heads %d, page %d, %d sequences", d.heads, (int)page, (int)sequences.size()));
                EXPECT(got.cache == want.cache, "%s: the paths fill the cache differently", Name(path));
            }
        }
    }
    Case split(random, kOdd, {{2500, 3}, {1025, 2}}, 16, weights, cache);
    comparison.Add(Run(path, split).output, Run(CpuPath::kReference, split).output, "several splits");
}

// Queries of small integers, keys that are integers where the queries are not 0, scores in powers of two: no rounding to bfloat16 loses anything,
// so every path is as near as with float32 sums, whatever it rounds.
void Exact(CpuPath path, CacheType cache) {
    Comparison comparison(Text("LatentAttention %s, exact in bfloat16, cache %s", Name(path), Name(cache)).c_str(), 2e-5, kWhy);
    Random random(38);
    for (const Dimensions& d : {kOdd, kEven, kMany, Dimensions{3, 7, 8, 9, 64}, Dimensions{4, 3, 4, 3, 128}}) {
        for (const std::vector<Sequence>& sequences : {std::vector<Sequence>{{1, 1}, {2, 1}, {67, 1}}, {{90, 20}, {1, 1}}, {{700, 3}, {150, 33}}}) {
            Case c(random, d, sequences, 16, WeightType::kFloat32, cache);
            int64_t width = d.rank + d.rope;
            auto integer = [&](int most) { return static_cast<float>(random.Between(-most, most)); };
            // Row i of W_k takes the query's element i to element i of the latent, where the norm gives new tokens 0 and old ones have integers.
            std::vector<float> kv_b = random.Floats(int64_t{d.heads} * (d.nope + d.v) * d.rank, 0.2f);
            for (int64_t h = 0; h < d.heads; h++) {
                for (int64_t i = 0; i < d.nope; i++) {
                    for (int64_t r = 0; r < d.rank; r++) {
                        kv_b[static_cast<size_t>((h * (d.nope + d.v) + i) * d.rank + r)] = r == i ? 1 : 0;
                    }
                }
            }
            c.kv_b = Tensor(WeightType::kFloat32, kv_b), c.p.kv_b = c.kv_b.weights();
            std::fill(c.norm.begin(), c.norm.begin() + d.nope, 0.0f);
            std::fill(c.frequencies.begin(), c.frequencies.end(), 0.0f);
            c.p.rope_multiplier = 1, c.p.softmax_scale = 0.6931471806f / c.p.query_scale;
            for (float& x : c.query) {
                x = integer(1);
            }
            for (size_t i = 0; i < c.cache.size(); i++) {
                int64_t at = static_cast<int64_t>(i) % width;
                c.cache[i] = at < d.nope || at >= d.rank ? integer(2) : c.cache[i];
            }
            for (size_t i = 0; i < c.latent.size(); i++) {
                c.latent[i] = static_cast<int64_t>(i) % width >= d.rank ? integer(2) : c.latent[i];
            }
            comparison.Add(Run(path, c).output, Run(CpuPath::kReference, c).output, Text("heads %d, rank %d", d.heads, d.rank));
        }
    }
}

// However the same sequences are put into steps, every bit is the same.
void Invariance(CpuPath path, const Dimensions& dimensions, CacheType cache) {
    Random random(32);
    Case c(random, dimensions, {{90, 90}, {40, 40}, {1200, 150}}, 16, WeightType::kBFloat16, cache);
    Result whole = Run(path, c);
    for (int threads : {2, 5}) {
        Threads pool(threads);
        Result other = Run(path, c, pool.parallel());
        EXPECT(SameBits(whole.output, other.output) && whole.cache == other.cache, "%s: %d threads", Name(path), threads);
    }
    int64_t query_width = c.p.num_heads * (c.p.nope + c.p.rope), width = c.p.rank + c.p.rope, out = c.p.num_heads * c.p.v;
    for (int64_t step : {int64_t{1}, int64_t{7}, int64_t{64}, int64_t{1000}}) {
        if (!Swept()) {
            continue;
        }
        Result cut{{}, c.Pool()};
        for (int64_t s = 0; s < c.p.sequences; s++) {
            for (int64_t from = c.start[s]; from < c.start[s + 1]; from += step) {
                LatentAttentionArguments part = c.p;
                part.tokens = std::min(step, c.start[s + 1] - from);
                part.sequences = 1;
                int32_t start[] = {0, static_cast<int32_t>(part.tokens)}, length = static_cast<int32_t>(c.positions[from] + part.tokens);
                part.query_start = start, part.context_length = &length, part.block_table += s * c.p.block_table_width;
                part.query += from * query_width, part.latent += from * width, part.position_ids += from;
                Status status = Run(path, part, &cut);
                EXPECT(status.ok(), "%s", status.message);
                std::vector<float> want(whole.output.begin() + from * out, whole.output.begin() + (from + part.tokens) * out);
                EXPECT(SameBits(want, cut.output), "%s, cache %s: sequence %d, %d tokens from %d", Name(path), Name(cache), (int)s,
                       (int)part.tokens, (int)from);
            }
        }
        EXPECT(whole.cache == cut.cache, "%s: the cache after steps of %d", Name(path), (int)step);
    }
}

// Where the splits of the keys become longer (32,768 visible ones) a tile of tokens ends: tokens on either side, at once and one by one.
void LongerSplits(CpuPath path) {
    Random random(36);
    Case c(random, {2, 3, 2, 3, 5}, {{32'790, 40}}, 64, WeightType::kFloat32, CacheType::kBFloat16);
    Result whole = Run(path, c), one{{}, c.Pool()};
    Threads pool(3);
    EXPECT(SameBits(whole.output, Run(path, c, pool.parallel()).output), "%s: threads", Name(path));
    int64_t query_width = c.p.num_heads * (c.p.nope + c.p.rope), out = c.p.num_heads * c.p.v;
    for (int64_t t = 0; t < c.p.tokens; t++) {
        LatentAttentionArguments part = c.p;
        int32_t start[] = {0, 1}, length = static_cast<int32_t>(c.positions[static_cast<size_t>(t)] + 1);
        part.tokens = 1, part.query_start = start, part.context_length = &length;
        part.query += t * query_width, part.latent += t * c.line, part.position_ids += t;
        EXPECT(Run(path, part, &one).ok(), "one token");
        EXPECT(SameBits(one.output, {whole.output.begin() + t * out, whole.output.begin() + (t + 1) * out}), "%s: token %d", Name(path), (int)t);
    }
}

// Scores of ±500: the running maximum keeps the exponentials finite. A line nobody may see holds NaN.
void Extremes(CpuPath path) {
    Random random(33);
    Case c(random, kEven, {{80, 8}, {3, 3}}, 4, WeightType::kFloat32, CacheType::kFloat32);
    for (float& x : c.query) {
        x *= 200;
    }
    int64_t width = c.p.rank + c.p.rope, used = 0;
    std::vector<bool> seen(static_cast<size_t>(c.p.pages));
    for (int32_t page : c.table) {
        if (page >= 0) {
            seen[static_cast<size_t>(page)] = true;
            used++;
        }
    }
    for (int64_t page = 0; page < c.p.pages; page++) {
        for (int64_t i = 0; !seen[static_cast<size_t>(page)] && i < c.p.page_size * width; i++) {
            c.cache[static_cast<size_t>(page * c.p.page_size * width + i)] = NAN;
        }
    }
    EXPECT(used < c.p.pages, "a page must be free");
    Result got = Run(path, c), want = Run(CpuPath::kReference, c);
    Comparison comparison(Text("LatentAttention %s, scores of hundreds", Name(path)).c_str(), 2e-3,
                          "an error of 1e-6 in a score of 500 is 5e-4 in its weight");
    comparison.Add(got.output, want.output, "extremes");
}

// Two sequences over the same whole pages: what precedes the new tokens may be shared.
void SharedPages(CpuPath path) {
    Random random(35);
    Case c(random, kOdd, {{9, 1}, {9, 1}}, 4, WeightType::kFloat32, CacheType::kFloat32);
    c.table[3] = c.table[0], c.table[4] = c.table[1];
    Result both = Run(path, c);
    c.p.tokens = c.p.sequences = 1;
    Result one = Run(path, c);
    EXPECT(SameBits(one.output, {both.output.begin(), both.output.begin() + static_cast<int64_t>(one.output.size())}), "%s: shared pages",
           Name(path));
}

// Sequences with adapters beside others: each gives the bits that it gives alone with its adapter's matrix as kv_b; without one it gives what
// it gives without the inputs.
void Adapters(CpuPath path, WeightType weights) {
    Random random(36);
    const std::vector<Sequence> sequences = {{40, 1}, {9, 9}, {70, 2}, {0, 0}, {33, 33}, {5, 1}, {1, 1}};
    const std::vector<int32_t> adapters = {1, -1, 0, 0, 2, -1, 1};
    Case c(random, kMany, sequences, 4, weights, CacheType::kFloat32);
    int64_t matrix = int64_t{kMany.heads} * (kMany.nope + kMany.v) * kMany.rank, out = c.p.num_heads * c.p.v;
    std::vector<float> adapted = random.Floats(3 * matrix, 0.2f);
    std::vector<int32_t> rows;
    for (size_t s = 0; s < sequences.size(); s++) {
        rows.insert(rows.end(), static_cast<size_t>(sequences[s].fresh), adapters[s]);
    }
    Result plain = Run(path, c);
    LatentAttentionArguments with = c.p;
    with.adapters = 3, with.kv_b_adapted = adapted.data(), with.row_adapter = rows.data();
    Result all{{}, c.Pool()};
    Status status = Run(path, with, &all);
    EXPECT(status.ok(), "%s", status.message);
    EXPECT(all.cache == plain.cache, "%s: adapters of kv_b leave the cache alone", Name(path));
    for (int threads : {2, 5}) {
        Threads pool(threads);
        Result other{{}, c.Pool()};
        EXPECT(Run(path, with, &other, pool.parallel()).ok() && SameBits(all.output, other.output), "%s: %d threads", Name(path), threads);
    }
    for (size_t s = 0; s < sequences.size(); s++) {
        LatentAttentionArguments alone = c.p;
        if (adapters[s] >= 0) {
            alone.kv_b = {adapted.data() + adapters[s] * matrix, WeightType::kFloat32};
        }
        Result one{{}, c.Pool()};
        EXPECT(Run(path, alone, &one).ok(), "alone");
        for (int64_t i = c.start[s] * out; i < c.start[s + 1] * out; i++) {
            EXPECT(std::memcmp(&one.output[static_cast<size_t>(i)], &all.output[static_cast<size_t>(i)], 4) == 0,
                   "%s: sequence %d with adapter %d", Name(path), (int)s, adapters[s]);
        }
    }
    auto refuse = [&](auto&& change, const char* part) {
        std::vector<int32_t> spoiled = rows;
        LatentAttentionArguments p = with;
        change(p, spoiled);
        p.row_adapter = spoiled.empty() ? nullptr : spoiled.data();
        Result result{{}, c.Pool()};
        EXPECT_ERROR(Run(path, p, &result), part);
    };
    refuse([](auto&, auto& r) { r[0] = 3; }, "row_adapter[0] is 3, expected -1 (none)..2");
    refuse([](auto&, auto& r) { r[5] = -2; }, "row_adapter[5] is -2, expected -1 (none)..2");
    refuse([](auto&, auto& r) { r[3] = 1; }, "row_adapter[1] is -1 and row_adapter[3] is 1, both of sequence 1: a sequence has one adapter");
    refuse([](auto& p, auto&) { p.adapters = -1; }, "-1 adapters");
    refuse([](auto&, auto& r) { r.clear(); }, "3 adapters: expected 0 or more, with kv_b_adapted and row_adapter");
}

// Selected keys: all of them give the bits of a step without a selection; some of them what the reference says, whatever lies in the lines
// between (NaN); neither threads nor cuts change a bit.
void Selected(CpuPath path, CacheType cache) {
    Random random(37);
    Comparison comparison(Text("LatentAttention %s, selected keys, cache %s", Name(path), Name(cache)).c_str(),
                          RoundsToPairs(path, cache) ? kPairTolerance : 2e-5, RoundsToPairs(path, cache) ? kPairWhy : kWhy);
    for (int64_t page : {1, 4, 16}) {
        Case c(random, kMany, {{90, 20}, {7, 7}, {0, 0}, {1300, 3}, {1, 1}}, page, WeightType::kBFloat16, cache);
        std::vector<int32_t> all, some;
        std::vector<bool> seen(static_cast<size_t>(c.p.pages * page));
        auto line = [&](size_t s, int64_t j) {
            return static_cast<size_t>(c.table[s * static_cast<size_t>(c.p.block_table_width) + static_cast<size_t>(j / page)] * page + j % page);
        };
        for (size_t s = 0; s < c.lengths.size(); s++) {
            for (int64_t t = c.start[s]; t < c.start[s + 1]; t++) {
                int64_t position = c.positions[static_cast<size_t>(t)], first = static_cast<int64_t>(some.size());
                for (int64_t j = 0; j < 1300; j++) {
                    all.push_back(j <= position ? static_cast<int32_t>(j) : -1);
                }
                for (int64_t j = 0; j < position && some.size() - static_cast<size_t>(first) < 69; j++) {
                    if (random.Below(position) < 60) {
                        some.push_back(static_cast<int32_t>(j));
                        seen[line(s, j)] = true;
                    }
                }
                some.push_back(static_cast<int32_t>(position));
                some.resize(static_cast<size_t>(first) + 70, -1);
            }
        }
        LatentAttentionArguments whole = c.p;
        whole.selected = all.data(), whole.selected_width = 1300;
        Result plain = Run(path, c), same{{}, c.Pool()};
        Status status = Run(path, whole, &same);
        EXPECT(status.ok() && SameBits(plain.output, same.output) && plain.cache == same.cache, "%s: all keys selected %s", Name(path), status.message);

        for (size_t at = 0; at < seen.size(); at++) {
            for (int64_t i = 0; !seen[at] && i < c.p.rank + c.p.rope; i++) {
                c.cache[at * static_cast<size_t>(c.p.rank + c.p.rope) + static_cast<size_t>(i)] = NAN;
            }
        }
        LatentAttentionArguments part = c.p;
        part.selected = some.data(), part.selected_width = 70;
        Result got{{}, c.Pool()}, want{{}, c.Pool()};
        EXPECT(Run(path, part, &got).ok() && Run(CpuPath::kReference, part, &want).ok(), "some keys selected");
        comparison.Add(got.output, want.output, Text("page %d", (int)page));
        Threads pool(3);
        Result other{{}, c.Pool()};
        EXPECT(Run(path, part, &other, pool.parallel()).ok() && SameBits(got.output, other.output), "%s: 3 threads, selected keys", Name(path));
        int64_t out = c.p.num_heads * c.p.v, width = c.p.rank + c.p.rope;
        Result cut{{}, c.Pool()};
        for (int64_t from = 0; from < 20; from++) {  // the first sequence token by token
            LatentAttentionArguments one = part;
            one.tokens = one.sequences = 1;
            int32_t start[] = {0, 1}, length = static_cast<int32_t>(c.positions[static_cast<size_t>(from)] + 1);
            one.query_start = start, one.context_length = &length, one.position_ids += from, one.selected += from * 70;
            one.query += from * c.p.num_heads * (c.p.nope + c.p.rope), one.latent += from * width;
            EXPECT(Run(path, one, &cut).ok(), "one token");
            EXPECT(SameBits({got.output.begin() + from * out, got.output.begin() + (from + 1) * out}, cut.output), "%s: token %d alone", Name(path), (int)from);
        }
    }
    Case c(random, kOdd, {{9, 2}, {3, 3}}, 4, WeightType::kFloat32, CacheType::kFloat32);
    const std::vector<int32_t> rows = {0, 3, 7, 1, 8, -1, 0, -1, -1, 0, 1, -1, 0, 1, 2};
    auto refuse = [&](auto&& change, const char* message) {
        std::vector<int32_t> spoiled = rows;
        LatentAttentionArguments p = c.p;
        p.selected_width = 3;
        change(p, spoiled);
        p.selected = spoiled.data();
        Result result{{}, c.Pool()};
        EXPECT_ERROR(Run(path, p, &result), message);
        EXPECT(result.cache == c.Pool(), "%s: an error must leave the cache alone", message);
    };
    Result valid{{}, c.Pool()};
    LatentAttentionArguments p = c.p;
    p.selected = rows.data(), p.selected_width = 3;
    EXPECT(Run(path, p, &valid).ok(), "valid rows");
    refuse([](auto&, auto& r) { r[2] = 8; }, "selected[0, 2] is 8: expected positions in ascending order, at least one and none above the token's own (7)");
    refuse([](auto&, auto& r) { r[0] = -1; }, "selected[0, 0] is -1");
    refuse([](auto&, auto& r) { r[1] = 0; }, "selected[0, 1] is 0");
    refuse([](auto&, auto& r) { r[1] = -1; }, "selected[0, 2] is 7");
    refuse([](auto&, auto& r) { r[7] = -2; }, "selected[2, 1] is -2");
    refuse([](auto&, auto& r) { r[14] = INT32_MAX; }, "selected[4, 2] is 2147483647");
    refuse([](auto& p, auto&) { p.selected_width = 0; }, "selected has 0 columns");
    refuse([](auto& p, auto&) { p.streaming = {4, 1, 1}; }, "block_size is 4");
}

void Errors(CpuPath path) {
    Random random(34);
    auto expect = [&](auto&& change, const char* part) {
        Case c(random, kOdd, {{9, 2}, {3, 3}}, 4, WeightType::kFloat32, CacheType::kFloat32);
        change(c);
        Result result{{}, c.Pool()};
        std::vector<uint8_t> before = result.cache;
        EXPECT_ERROR(Run(path, c.p, &result), part);
        EXPECT(before == result.cache, "%s: an error must leave the cache alone", part);
    };
    expect([](Case& c) { c.table[2] = -1; }, "block_table[0, 2] is page -1, expected 0..4 (the cache has 5 pages)");
    expect([](Case& c) { c.table[0] = 5; }, "block_table[0, 0] is page 5");
    expect([](Case& c) { c.lengths[0] = 13; }, "context_length[0] is 13: 4 pages of 4, but block_table has 3 columns");
    expect([](Case& c) { c.lengths[1] = 2; }, "context_length[1] is 2, below the sequence's 3 new tokens");
    expect([](Case& c) { c.positions[1] = 9; }, "position_ids[1] is 9, expected 8");
    expect([](Case& c) { c.start[1] = 6; }, "query_start[2] is 5, below query_start[1] = 6");
    expect([](Case& c) { c.p.rope = 5; }, "qk_rope_head_dim 5");
    // Dimensions beside one of size 0 take no memory and can be anything.
    expect([](Case& c) { c.p.pages = 0, c.p.page_size = INT64_MAX; }, "cache 0 pages of 9223372036854775807");
    expect([](Case& c) { c.p.pages = INT64_MAX, c.p.page_size = 0; }, "cache 9223372036854775807 pages of 0");
    expect([](Case& c) { c.p.pages = 0; }, "the cache has 0 pages");
    expect([](Case& c) { c.p.num_heads = 32769; }, "num_heads 32769");
    expect([](Case& c) { c.p.rank = INT32_MAX; }, "kv_lora_rank 2147483647");
    expect([](Case& c) { c.lengths[0] = INT32_MIN; }, "context_length[0] is -2147483648");
    expect([](Case& c) { c.lengths[0] = INT32_MAX; }, "context_length[0] is 2147483647");
    // The first sequence writes columns 1 and 2, the second column 0.
    expect([](Case& c) { c.table[3] = c.table[2]; }, "block_table[1, 0] is page");
    expect([](Case& c) { c.table[0] = c.table[3]; }, "which this step writes for other tokens too");
    expect([](Case& c) { c.table[0] = c.table[1]; }, "block_table[0, 0] is page");
}

}  // namespace

int main() {
    Errors(CpuPath::kReference);
    Adapters(CpuPath::kReference, WeightType::kFloat32);
    Selected(CpuPath::kReference, CacheType::kFloat32);
    for (CpuPath path : FastPaths()) {
        Errors(path);
        SharedPages(path);
        Adapters(path, WeightType::kFloat32);
        Adapters(path, WeightType::kBFloat16);
        LongerSplits(path);
        Extremes(path);
        for (CacheType cache : {CacheType::kFloat32, CacheType::kBFloat16, CacheType::kInt8}) {
            Selected(path, cache);
            Parity(path, WeightType::kFloat32, cache);
            Parity(path, WeightType::kBFloat16, cache);
            if (cache != CacheType::kInt8) {
                Exact(path, cache);
            }
            Invariance(path, kMany, cache);
            Invariance(path, kOdd, cache);
        }
    }
    return Report();
}
