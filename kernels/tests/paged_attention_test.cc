#include "longcat/paged_attention.h"

#include <algorithm>

#include "harness.h"
#include "paged_case.h"

using namespace longcat;
using namespace longcat::test;

namespace {

Status Run(CpuPath path, PagedAttentionArguments p, PagedResult* result, const ParallelFor& parallel = {}) {
    result->output.assign(static_cast<size_t>(p.tokens * p.num_heads * p.head_dim), 0);
    p.output = result->output.data();
    p.cache = result->cache.data();
    Workspace workspace(PagedAttentionWorkspace(p));
    return PagedAttention(path, p, workspace.get(), parallel);
}

PagedResult Run(CpuPath path, const PagedCase& c, const ParallelFor& parallel = {}) {
    PagedResult result{{}, c.Pool()};
    Status status = Run(path, c.p, &result, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return result;
}

//                            heads, kv heads, dim, rotary, interleaved, norms, window
const PagedShape kShapes[] = {{4, 4, 24, 24, false, true, 0},   {6, 3, 64, 32, true, false, 0},  {8, 2, 80, 80, false, true, 40},
                              {8, 1, 128, 128, false, true, 0}, {5, 1, 7, 4, false, false, 3},   {100, 1, 16, 16, false, false, 130},
                              {9, 3, 33, 2, true, true, 1},     {2, 2, 16, 16, false, false, 64}};

void Parity(CpuPath path, CacheType cache) {
    bool pairs = RoundsToPairs(path, cache);
    Comparison comparison(Text("PagedAttention %s, cache %s", Name(path), Name(cache)).c_str(), pairs ? kPairTolerance : 2e-5,
                          pairs ? kPairWhy : "float32 sums and exp");
    Random random(51);
    for (const PagedShape& shape : kShapes) {
        for (int64_t page : {1, 4, 16, 24, 32}) {
            for (auto& sequences : {std::vector<PagedSequence>{},
                                    {{1, 1}},
                                    {{5, 5}},
                                    {{17, 1}, {3, 3}, {0, 0}, {70, 2}},
                                    {{130, 1}, {64, 64}, {65, 1}, {9, 0}, {200, 130}}}) {
                if (!Swept()) {
                    continue;
                }
                PagedCase c(random, shape, sequences, page, cache);
                PagedResult got = Run(path, c), want = Run(CpuPath::kReference, c);
                comparison.Add(got.output, want.output,
                               Text("heads %d, dim %d, page %d, %d sequences", shape.heads, shape.dim, (int)page, (int)sequences.size()));
                EXPECT(got.cache == want.cache, "%s: the paths fill the cache differently", Name(path));
            }
        }
    }
    for (int window : {0, 700}) {
        PagedShape shape = kShapes[2];
        shape.window = window;
        PagedCase split(random, shape, {{1300, 3}, {1025, 2}, {1100, 90}}, 16, cache);
        comparison.Add(Run(path, split).output, Run(CpuPath::kReference, split).output, "several splits");
    }
}

// However the same sequences are put into steps, every bit is the same.
void Invariance(CpuPath path, const PagedShape& shape, CacheType cache, int64_t page) {
    Random random(52);
    PagedCase c(random, shape, {{90, 90}, {40, 40}, {1200, 250}}, page, cache);
    PagedResult whole = Run(path, c);
    for (int threads : {2, 5}) {
        Threads pool(threads);
        PagedResult other = Run(path, c, pool.parallel());
        EXPECT(SameBits(whole.output, other.output) && whole.cache == other.cache, "%s: %d threads", Name(path), threads);
    }
    int64_t width = int64_t{shape.heads} * shape.dim, kv_width = int64_t{shape.kv_heads} * shape.dim;
    for (int64_t step : {int64_t{1}, int64_t{7}, int64_t{64}, int64_t{1000}}) {
        if (!Swept()) {
            continue;
        }
        PagedResult cut{{}, c.Pool()};
        Threads pool(3);
        for (int64_t s = 0; s < c.p.sequences; s++) {
            for (int64_t from = c.start[s]; from < c.start[s + 1]; from += step) {
                PagedAttentionArguments part = c.p;
                part.tokens = std::min(step, c.start[s + 1] - from);
                part.sequences = 1;
                int32_t start[] = {0, static_cast<int32_t>(part.tokens)}, length = static_cast<int32_t>(c.positions[from] + part.tokens);
                part.query_start = start, part.context_length = &length, part.block_table += s * c.p.block_table_width;
                part.query += from * width, part.key += from * kv_width, part.value += from * kv_width, part.position_ids += from;
                Status status = Run(path, part, &cut, step == 7 ? pool.parallel() : ParallelFor{});
                EXPECT(status.ok(), "%s", status.message);
                std::vector<float> want(whole.output.begin() + from * width, whole.output.begin() + (from + part.tokens) * width);
                EXPECT(SameBits(want, cut.output), "%s, cache %s, group %d: sequence %d, %d tokens from %d", Name(path), Name(cache),
                       shape.heads / shape.kv_heads, (int)s, (int)part.tokens, (int)from);
            }
        }
        EXPECT(whole.cache == cut.cache, "%s: the cache after steps of %d", Name(path), (int)step);
    }
}

// Scores of hundreds: the running maximum keeps the exponentials finite. Slots that nobody may see hold NaN, and so does the last token's
// value: the tokens before it do not see it.
void Extremes(CpuPath path) {
    Random random(53);
    PagedCase c(random, {8, 2, 48, 48, false, false, 0}, {{83, 9}, {3, 3}}, 16, CacheType::kFloat32);
    for (float& x : c.query) {
        x *= 200;
    }
    PagedResult want = Run(CpuPath::kReference, c);
    c.SpoilUnused();
    int64_t keys = int64_t{2} * 48;
    std::fill(c.value.begin() + 8 * keys, c.value.begin() + 9 * keys, NAN);
    PagedResult got = Run(path, c);
    Comparison comparison(Text("PagedAttention %s, scores of hundreds", Name(path)).c_str(), 2e-3,
                          "an error of 1e-6 in a score of 500 is 5e-4 in its weight");
    int64_t width = int64_t{8} * 48;
    got.output.erase(got.output.begin() + 8 * width, got.output.begin() + 9 * width);
    want.output.erase(want.output.begin() + 8 * width, want.output.begin() + 9 * width);
    comparison.Add(got.output, want.output, "extremes");
}

// What no row sees does not count, whatever lies there: NaN in all slots that no new token sees, and in the last token of a sequence, which its
// predecessors do not see. Few rows and many, odd ends of windows, odd widths, panels that pages cut.
void Unseen(CpuPath path, CacheType cache) {
    Random random(56);
    for (PagedShape shape : {kShapes[0], kShapes[2], kShapes[4], kShapes[7]}) {
        for (int window : {0, 1, 2, 37}) {
            for (int64_t page : {3, 16, 24}) {
                shape.window = window;
                PagedCase c(random, shape, {{83, 9}, {3, 3}, {1, 1}, {301, 2}, {140, 77}}, page, cache);
                PagedResult want = Run(path, c);
                c.SpoilUnused();
                int64_t keys = int64_t{shape.kv_heads} * shape.dim, width = int64_t{shape.heads} * shape.dim;
                std::fill(c.value.begin() + 8 * keys, c.value.begin() + 9 * keys, NAN);
                std::fill(c.key.begin() + 8 * keys, c.key.begin() + 9 * keys, NAN);
                PagedResult got = Run(path, c);
                EXPECT(std::isnan(got.output[static_cast<size_t>(8 * width)]), "%s: the last token sees its own", Name(path));
                got.output.erase(got.output.begin() + 8 * width, got.output.begin() + 9 * width);
                want.output.erase(want.output.begin() + 8 * width, want.output.begin() + 9 * width);
                EXPECT(SameBits(want.output, got.output), "%s, cache %s: heads %d, dim %d, window %d, page %d: NaN that no row sees shows", Name(path),
                       Name(cache), shape.heads, shape.dim, window, static_cast<int>(page));
            }
        }
    }
}

// One head of two elements, by hand: position 1, quarter turn per position.
void ByHand(CpuPath path) {
    for (bool interleaved : {false, true}) {
        const float half_pi = 1.57079633f;
        std::vector<float> key = {1, 2, 3, 4, 5, 6, 7, 8}, query = key, value = {10, 0, 0, 0, 0, 20, 0, 0}, frequencies = {half_pi, 0},
                           output(8);
        std::vector<int64_t> positions = {0, 1};
        std::vector<int32_t> start = {0, 2}, length = {2}, table = {0};
        std::vector<float> cache(2 * 2 * 4, NAN);
        PagedAttentionArguments p;
        p.tokens = 2, p.sequences = 1, p.pages = 1, p.page_size = 2, p.block_table_width = 1;
        p.num_heads = p.num_kv_heads = 1, p.head_dim = p.rotary_dim = 4, p.interleaved = interleaved, p.softmax_scale = 0;
        p.query = query.data(), p.key = key.data(), p.value = value.data(), p.inv_freq = frequencies.data();
        p.position_ids = positions.data(), p.query_start = start.data(), p.context_length = length.data(), p.block_table = table.data();
        p.cache = cache.data(), p.output = output.data();
        Workspace workspace(PagedAttentionWorkspace(p));
        EXPECT(PagedAttention(path, p, workspace.get(), {}).ok(), "valid");
        // The scale is 0: every visible key weighs the same.
        EXPECT(output == std::vector<float>({10, 0, 0, 0, 5, 10, 0, 0}), "%s: means of the values", Name(path));
        // The panel has two slots: element i of key 0, of key 1. A quarter turn takes (a, b) to (-b, a).
        std::vector<float> turned = interleaved ? std::vector<float>{-6, 5, 7, 8} : std::vector<float>{-7, 6, 5, 8};
        for (int i = 0; i < 4; i++) {
            EXPECT(cache[i * 2] == key[i] && std::fabs(cache[i * 2 + 1] - turned[i]) < 1e-5, "%s: key element %d is %g, %g", Name(path), i,
                   cache[i * 2], cache[i * 2 + 1]);
        }
    }
}

// The bytes of an int8 cache: one head of four elements, pages of two slots: keys [4, 2], values [2, 4], scales of two keys, of two values.
void Int8ByHand(CpuPath path) {
    std::vector<float> key = {127, -63.5f, 0.5f, 1.5f, 0, 0, 0, 0}, value = {254, 3, 1, -5, 1e-39f, 0, 0, 0}, query(8), output(8);
    std::vector<int64_t> positions = {0, 1};
    std::vector<int32_t> start = {0, 2}, length = {2}, table = {0};
    std::vector<uint8_t> cache(static_cast<size_t>(2 * PagedLineBytes(CacheType::kInt8, 1, 4)), 0xee);
    EXPECT(cache.size() == 32, "%zu bytes", cache.size());
    PagedAttentionArguments p;
    p.tokens = 2, p.sequences = 1, p.pages = 1, p.page_size = 2, p.block_table_width = 1, p.cache_type = CacheType::kInt8;
    p.num_heads = p.num_kv_heads = 1, p.head_dim = 4, p.softmax_scale = 1;
    p.query = query.data(), p.key = key.data(), p.value = value.data();
    p.position_ids = positions.data(), p.query_start = start.data(), p.context_length = length.data(), p.block_table = table.data();
    p.cache = cache.data(), p.output = output.data();
    Workspace workspace(PagedAttentionWorkspace(p));
    auto run = [&] {
        Status status = PagedAttention(path, p, workspace.get(), {});
        EXPECT(status.ok(), "%s", status.message);
    };
    run();
    std::vector<int8_t> integers(16), want = {127, 0, -64, 0, 0, 0, 2, 0, 127, 2, 0, -2, 0, 0, 0, 0};  // ties to even: -63.5, 0.5, 1.5, -2.5, 0.5
    float scales[4], factors[4] = {1, 0, 2, 0};
    std::memcpy(integers.data(), cache.data(), 16), std::memcpy(scales, cache.data() + 16, 16);
    EXPECT(integers == want, "%s: the integers of an int8 cache", Name(path));
    EXPECT(std::equal(scales, scales + 4, factors), "%s: scales %g, %g, %g, %g", Name(path), scales[0], scales[1], scales[2], scales[3]);
    // No query: every visible key weighs the same.
    EXPECT(output == std::vector<float>({254, 4, 0, -4, 127, 2, 0, -2}), "%s: means of the values", Name(path));
    // A key with a NaN or an infinity spoils what sees it and nothing else.
    for (float bad : {NAN, INFINITY}) {
        key[5] = bad, query[0] = query[4] = 1;
        run();
        EXPECT(output[0] == 254 && std::isnan(output[4]), "%s: %g and %g behind a key of %g", Name(path), output[0], output[4], bad);
    }
}

// Two sequences over the same whole pages: what precedes the new tokens may be shared.
void SharedPages(CpuPath path) {
    Random random(55);
    PagedCase c(random, kShapes[0], {{9, 1}, {9, 1}}, 4, CacheType::kFloat32);
    c.table[3] = c.table[0], c.table[4] = c.table[1];
    PagedResult both = Run(path, c);
    c.p.tokens = c.p.sequences = 1;
    PagedResult one = Run(path, c);
    EXPECT(SameBits(one.output, {both.output.begin(), both.output.begin() + static_cast<int64_t>(one.output.size())}), "%s: shared pages",
           Name(path));
}

void Errors(CpuPath path) {
    Random random(54);
    auto expect = [&](auto&& change, const char* part) {
        PagedCase c(random, kShapes[1], {{9, 2}, {3, 3}}, 4, CacheType::kFloat32);
        change(c);
        PagedResult result{{}, c.Pool()};
        std::vector<uint8_t> before = result.cache;
        EXPECT_ERROR(Run(path, c.p, &result), part);
        EXPECT(before == result.cache, "%s: an error must leave the cache alone", part);
    };
    using C = PagedCase;
    expect([](C& c) { c.table[2] = -1; }, "block_table[0, 2] is page -1, expected 0..4 (the cache has 5 pages)");
    expect([](C& c) { c.table[0] = 5; }, "block_table[0, 0] is page 5");
    expect([](C& c) { c.lengths[0] = 13; }, "context_length[0] is 13: 4 pages of 4, but block_table has 3 columns");
    expect([](C& c) { c.lengths[1] = 2; }, "context_length[1] is 2, below the sequence's 3 new tokens");
    expect([](C& c) { c.positions[1] = 9; }, "position_ids[1] is 9, expected 8");
    expect([](C& c) { c.start[1] = 6; }, "query_start[2] is 5, below query_start[1] = 6");
    expect([](C& c) { c.p.num_kv_heads = 4; }, "num_heads is 6, expected 1..32768 and a multiple of num_kv_heads, which is 4");
    expect([](C& c) { c.p.num_kv_heads = 0; }, "num_kv_heads, which is 0");
    expect([](C& c) { c.p.num_heads = 98304; }, "num_heads is 98304");
    expect([](C& c) { c.p.head_dim = 1025; }, "head_dim is 1025, expected 1..1024");
    expect([](C& c) { c.p.rotary_dim = 5; }, "rotary_dim is 5, expected an even number, 0..64");
    expect([](C& c) { c.p.rotary_dim = 66; }, "rotary_dim is 66");
    expect([](C& c) { c.p.window = -1; }, "window is -1");
    // Dimensions beside one of size 0 take no memory and can be anything.
    expect([](C& c) { c.p.pages = 0, c.p.page_size = INT64_MAX; }, "cache 0 pages of 9223372036854775807");
    expect([](C& c) { c.p.pages = INT64_MAX, c.p.page_size = 0; }, "cache 9223372036854775807 pages of 0");
    expect([](C& c) { c.p.pages = 0; }, "the cache has 0 pages");
    expect([](C& c) { c.lengths[0] = INT32_MIN; }, "context_length[0] is -2147483648");
    expect([](C& c) { c.lengths[0] = INT32_MAX; }, "context_length[0] is 2147483647");
    // The first sequence writes columns 1 and 2, the second column 0.
    expect([](C& c) { c.table[3] = c.table[2]; }, "block_table[1, 0] is page");
    expect([](C& c) { c.table[0] = c.table[3]; }, "which this step writes for other tokens too");
    expect([](C& c) { c.table[0] = c.table[1]; }, "block_table[0, 0] is page");
}

}  // namespace

int main() {
    Errors(CpuPath::kReference);
    ByHand(CpuPath::kReference);
    Int8ByHand(CpuPath::kReference);
    for (CpuPath path : FastPaths()) {
        Errors(path);
        ByHand(path);
        Int8ByHand(path);
        SharedPages(path);
        Extremes(path);
        Unseen(path, CacheType::kFloat32);
        Unseen(path, CacheType::kBFloat16);
        for (CacheType cache : {CacheType::kFloat32, CacheType::kBFloat16, CacheType::kInt8}) {
            Parity(path, cache);
            for (const PagedShape& shape : {kShapes[0], kShapes[2], kShapes[5]}) {
                Invariance(path, shape, cache, 16);
            }
            Invariance(path, kShapes[4], cache, 24);  // a part of a panel, a window that begins at odd keys, an odd width
        }
    }
    return Report();
}
