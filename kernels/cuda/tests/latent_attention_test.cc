// LatentAttention of the device against the CPU's reference.
#include "longcat/cuda/latent_attention.h"

#include <algorithm>
#include <array>

#include "../../tests/latent_case.h"
#include "device_memory.h"
#include "relative_error.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;

namespace {

struct Result {
    std::vector<float> output;
    std::vector<uint16_t> cache;
    int32_t fault = 0;
};

// The case's own numbers, and its kv_b as the device wants it. Every size of a case is a multiple of 8.
struct Step {
    LatentCase c;
    std::vector<uint16_t> pool;
    std::vector<int32_t> selected;

    Step(Random& random, const LatentDimensions& d, const std::vector<LatentSequence>& sequences, int64_t page)
        : c(random, d, sequences, page, WeightType::kBFloat16, CacheType::kBFloat16) {
        std::vector<uint8_t> bytes = c.Pool();
        pool.resize(bytes.size() / 2);
        std::memcpy(pool.data(), bytes.data(), bytes.size());
        c.p.softmax_scale = 0.3f / std::sqrt(static_cast<float>(d.rank) / 64);
    }
};

Result Want(Step& s) {
    Result r{std::vector<float>(static_cast<size_t>(s.c.p.tokens * s.c.p.num_heads * s.c.p.v)), s.pool, 0};
    LatentAttentionArguments p = s.c.p;
    p.cache = r.cache.data(), p.output = r.output.data();
    Workspace workspace(LatentAttentionWorkspace(p));
    Status status = LatentAttention(CpuPath::kReference, p, workspace.get(), {});
    EXPECT(status.ok(), "%s", status.message);
    return r;
}

Result Got(const Execution& execution, Step& s) {
    LatentAttentionArguments p = s.c.p;
    Array<float> query(s.c.query), latent(s.c.latent), norm(s.c.norm), frequencies(s.c.frequencies), output(static_cast<size_t>(p.tokens * p.num_heads * p.v));
    Array<int64_t> positions(s.c.positions);
    Array<int32_t> start(s.c.start), lengths(s.c.lengths), table(s.c.table), fault(std::vector<int32_t>{0});
    const uint16_t* weights = static_cast<const uint16_t*>(p.kv_b.data);
    Array<uint16_t> kv_b(std::vector<uint16_t>(weights, weights + static_cast<int64_t>(p.num_heads) * (p.nope + p.v) * p.rank)), cache(s.pool);
    p.query = query.get(), p.latent = latent.get(), p.latent_norm = norm.get(), p.inv_freq = frequencies.get(), p.kv_b.data = kv_b.get();
    p.position_ids = positions.get(), p.query_start = start.get(), p.context_length = lengths.get(), p.block_table = table.get();
    p.cache = cache.get(), p.output = output.get();
    Array<int32_t> selected(s.selected);
    if (!s.selected.empty()) {
        p.selected = selected.get();
    }
    Array<uint8_t> workspace(LatentAttentionWorkspace(execution.device, p));
    Status status = LatentAttention(execution, p, workspace.get(), fault.get());
    EXPECT(status.ok(), "%s", status.message);
    return {output.Values(), cache.Values(), fault.Values()[0]};
}

// Queries are rounded to 8 bits before and after folding, softmax weights and means once: four errors of at most 2^-9, mostly in random directions, of which
// the queries' grow with the scores (here about 3).
cuda::test::RelativeError outputs("LatentAttention", 8e-3, 5e-2, "8-bit queries, weights and means");
Comparison stored("lines in the cache", 8e-3, "8 bits; an angle's cosine");

float Widened(uint16_t value) {
    uint32_t bits = static_cast<uint32_t>(value) << 16;
    float number;
    std::memcpy(&number, &bits, 4);
    return number;
}

void Compare(const Execution& execution, Step& s, const std::string& what) {
    Result want = Want(s), got = Got(execution, s);
    EXPECT(got.fault == 0, "%s: fault %d", what.c_str(), got.fault);
    outputs.Add(got.output, want.output, what);
    std::vector<float> new_got, new_want;
    for (size_t i = 0; i < s.pool.size(); i++) {
        if (want.cache[i] != s.pool[i] || got.cache[i] != want.cache[i]) {
            new_want.push_back(Widened(want.cache[i])), new_got.push_back(Widened(got.cache[i]));
        }
    }
    stored.Add(new_got, new_want, what);
}

void Shapes(const Execution& execution) {
    Random random(91);
    const LatentDimensions small = {8, 16, 8, 16, 64}, odd = {19, 24, 16, 40, 40}, one_tile = {64, 8, 8, 8, 16}, wide = {6, 72, 64, 72, 512}, middle = {16, 128, 64, 64, 200};
    for (const LatentDimensions& d : {small, odd, one_tile, wide, middle}) {
        for (StreamingPattern streaming : {StreamingPattern{}, StreamingPattern{16, 1, 2}}) {
            for (const std::vector<LatentSequence>& sequences :
                 {std::vector<LatentSequence>{{1, 1}}, {{130, 1}, {0, 0}, {33, 1}}, {{40, 40}}, {{50, 20}, {3, 3}, {90, 1}, {31, 7}}, {{300, 1}}}) {
                if (!Swept()) {
                    continue;
                }
                int64_t page = random.Below(2) == 0 ? 16 : 5;
                Step s(random, d, sequences, page);
                s.c.p.streaming = streaming;
                Compare(execution, s, Text("%d heads, rank %d, block %d, page %d, %d sequences, first %d of %d", d.heads, d.rank, streaming.block_size, (int)page,
                                           (int)sequences.size(), (int)sequences[0].fresh, (int)sequences[0].context));
            }
        }
    }
}

// Queries of zeros: all weights are 1, so the output is W_v times the mean of the visible latents, and a key too many or too few shows.
void Visibility(const Execution& execution) {
    Random random(92);
    static cuda::test::RelativeError means("means of the visible latents", 4e-3, 4e-2, "weights are 1; means are rounded to 8 bits once");
    for (StreamingPattern streaming : {StreamingPattern{}, StreamingPattern{4, 1, 2}, StreamingPattern{64, 1, 1}, StreamingPattern{3, 0, 5}}) {
        for (auto [context, fresh] : {std::array<int64_t, 2>{100, 100}, {150, 1}, {140, 9}}) {
            Step s(random, {8, 16, 8, 16, 64}, {{context, fresh}}, 16);
            s.c.p.streaming = streaming;
            std::fill(s.c.query.begin(), s.c.query.end(), 0.0f);
            means.Add(Got(execution, s).output, Want(s).output, Text("block %d, %d of %d new", streaming.block_size, (int)fresh, (int)context));
        }
    }
}

// Tokens with keys of their own: the reference's, whatever lies in the lines that a token does not see.
void Selected(const Execution& execution) {
    Random random(95);
    const LatentDimensions small = {8, 16, 8, 16, 64}, odd = {19, 24, 16, 40, 40}, two_tiles = {80, 8, 8, 8, 16}, wide = {6, 72, 64, 72, 512};
    for (const LatentDimensions& d : {small, odd, two_tiles, wide}) {
        for (int64_t width : {1, 40, 131}) {
            if (!Swept()) {
                continue;
            }
            Step s(random, d, {{1, 1}, {300, 2}, {0, 0}, {50, 9}}, 16);
            for (int64_t position : s.c.positions) {
                std::vector<int32_t> row;  // some positions, the token's own among them
                while (static_cast<int64_t>(row.size()) + 1 < std::min(width, position + 1) && row.size() < 100) {
                    int32_t other = static_cast<int32_t>(random.Below(position));
                    if (std::find(row.begin(), row.end(), other) == row.end()) {
                        row.push_back(other);
                    }
                }
                row.push_back(static_cast<int32_t>(position));
                std::sort(row.begin(), row.end());
                row.resize(static_cast<size_t>(width), -1);
                s.selected.insert(s.selected.end(), row.begin(), row.end());
            }
            s.c.p.selected = s.selected.data(), s.c.p.selected_width = width;
            Compare(execution, s, Text("%d heads, rank %d, %d selected", d.heads, d.rank, (int)width));
            if (width == 40) {
                Result first = Got(execution, s);
                cuda::test::InEveryOrder([&](int order) { EXPECT(SameBits(first.output, Got(execution, s).output), "selected keys, order %d", order); });
            }
        }
    }
    Step s(random, small, {{20, 1}}, 16);
    s.selected = {-1, -1}, s.c.p.selected = s.selected.data(), s.c.p.selected_width = 2;
    EXPECT(Got(execution, s).fault == 1, "a token without keys was not noticed");
}

void OrdersAndFaults(const Execution& execution) {
    Random random(93);
    Step s(random, {16, 32, 16, 24, 128}, {{200, 1}, {20, 2}}, 16);
    Result first = Got(execution, s);
    cuda::test::InEveryOrder([&](int order) {
        Result again = Got(execution, s);
        EXPECT(SameBits(first.output, again.output) && first.cache == again.cache, "order %d", order);
    });
    s.c.table[2] = static_cast<int32_t>(s.c.p.pages);
    EXPECT(Got(execution, s).fault == 1, "a page behind the last one was not noticed");
}

void Errors(const Execution& execution) {
    Random random(94);
    auto expect = [&](auto&& change, const char* part) {
        Step s(random, {8, 16, 8, 16, 64}, {{20, 2}}, 16);
        alignas(16) static uint16_t cache[16] = {};
        static float output[1] = {};
        s.c.p.cache = cache, s.c.p.output = output, s.c.p.kv_b.data = cache;
        change(s.c.p);
        EXPECT_ERROR(LatentAttention(execution, s.c.p, nullptr, nullptr), part);
    };
    expect([](LatentAttentionArguments& p) { p.cache_type = CacheType::kInt8; }, "the cache is int8 and kv_b bfloat16");
    expect([](LatentAttentionArguments& p) { p.kv_b.type = WeightType::kFloat32; }, "kv_b float32");
    expect([](LatentAttentionArguments& p) { p.rank = 520; }, "kv_lora_rank 520");
    expect([](LatentAttentionArguments& p) { p.rope = 12; }, "qk_rope_head_dim 12");
    expect([](LatentAttentionArguments& p) { p.num_heads = 0; }, "num_heads is 0");
    expect([](LatentAttentionArguments& p) { p.adapters = 1; }, "1 adapters of kv_b");
    expect([](LatentAttentionArguments& p) { p.selected = p.block_table; }, "selected has 0 columns");
    expect([](LatentAttentionArguments& p) { p.selected = p.block_table, p.selected_width = 4, p.streaming = {4, 1, 1}; }, "block_size is 4: expected 1 or more columns, and no streaming");
    expect([](LatentAttentionArguments& p) { p.page_size = 0; }, "pages of 0");
    expect([](LatentAttentionArguments& p) { p.streaming = {4, -1, 1}; }, "sink_blocks -1");
    expect([](LatentAttentionArguments& p) { p.sparse.means = p.output; }, "sparse rows: not on a GPU");
    expect([](LatentAttentionArguments& p) { p.latent = nullptr; }, "must not be null");
    expect([](LatentAttentionArguments& p) { p.kv_b.data = static_cast<const uint16_t*>(p.kv_b.data) + 1; }, "multiples of 16");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Shapes(execution);
    Visibility(execution);
    Selected(execution);
    OrdersAndFaults(execution);
    return Report();
}
