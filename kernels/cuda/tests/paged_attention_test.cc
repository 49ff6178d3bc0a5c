// PagedAttention of the device against the CPU's reference.
#include "longcat/cuda/paged_attention.h"

#include <array>

#include "../../tests/paged_case.h"
#include "device_memory.h"
#include "relative_error.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;

namespace {

// The two operators have layouts of their own inside a page: element i of a key (which 0) or value (1) of a slot on the CPU and on the device.
int64_t CpuElement(const PagedAttentionArguments& p, int64_t page, int64_t g, int which, int64_t slot, int64_t i) {
    int64_t head = (page * p.num_kv_heads + g) * 2 * p.page_size * p.head_dim;
    if (which == 1) {
        return head + (p.page_size + slot) * p.head_dim + i;
    }
    int64_t panel = slot / 16 * 16, wide = std::min<int64_t>(16, p.page_size - panel);
    return head + panel * p.head_dim + i * wide + slot - panel;
}
int64_t DeviceElement(const PagedAttentionArguments& p, int64_t page, int64_t g, int which, int64_t slot, int64_t i) {
    return (((page * p.num_kv_heads + g) * 2 + which) * p.page_size + slot) * p.head_dim + i;
}

// to[DeviceElement] = from[CpuElement], or the other way round.
std::vector<uint16_t> Converted(const PagedAttentionArguments& p, const std::vector<uint16_t>& from, bool to_device) {
    std::vector<uint16_t> to(from.size());
    for (int64_t page = 0; page < p.pages; page++) {
        for (int64_t g = 0; g < p.num_kv_heads; g++) {
            for (int which = 0; which < 2; which++) {
                for (int64_t slot = 0; slot < p.page_size; slot++) {
                    for (int64_t i = 0; i < p.head_dim; i++) {
                        size_t cpu = static_cast<size_t>(CpuElement(p, page, g, which, slot, i)), device = static_cast<size_t>(DeviceElement(p, page, g, which, slot, i));
                        to_device ? to[device] = from[cpu] : to[cpu] = from[device];
                    }
                }
            }
        }
    }
    return to;
}

struct Result {
    std::vector<float> output;
    std::vector<uint16_t> cache;
    int32_t fault = 0;
};

std::vector<uint16_t> Pool(PagedCase& c) {
    std::vector<uint8_t> bytes = c.Pool();
    std::vector<uint16_t> numbers(bytes.size() / 2);
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
    return numbers;
}

Result Want(PagedCase& c) {
    Result r;
    r.cache = Pool(c), r.output.assign(static_cast<size_t>(c.p.tokens * c.p.num_heads * c.p.head_dim), -1);
    PagedAttentionArguments p = c.p;
    p.cache = r.cache.data(), p.output = r.output.data();
    Workspace workspace(PagedAttentionWorkspace(p));
    Status status = PagedAttention(CpuPath::kReference, p, workspace.get(), {});
    EXPECT(status.ok(), "%s", status.message);
    return r;
}

Result Got(const Execution& execution, PagedCase& c) {
    PagedAttentionArguments p = c.p;
    Array<float> query(c.query), key(c.key), value(c.value), query_norm(c.query_norm), key_norm(c.key_norm), frequencies(c.frequencies);
    Array<float> output(static_cast<size_t>(p.tokens * p.num_heads * p.head_dim));
    Array<int64_t> positions(c.positions);
    Array<int32_t> start(c.start), lengths(c.lengths), table(c.table), fault(std::vector<int32_t>{0});
    Array<uint16_t> cache(Converted(p, Pool(c), true));
    p.query = query.get(), p.key = key.get(), p.value = value.get(), p.inv_freq = frequencies.get();
    p.query_norm = c.p.query_norm == nullptr ? nullptr : query_norm.get(), p.key_norm = c.p.key_norm == nullptr ? nullptr : key_norm.get();
    p.position_ids = positions.get(), p.query_start = start.get(), p.context_length = lengths.get(), p.block_table = table.get();
    p.cache = cache.get(), p.output = output.get();
    Array<uint8_t> workspace(PagedAttentionWorkspace(execution.device, p));
    Status status = PagedAttention(execution, p, workspace.get(), fault.get());
    EXPECT(status.ok(), "%s", status.message);
    return {output.Values(), Converted(p, cache.Values(), false), fault.Values()[0]};
}

// Queries and softmax weights are rounded to 8 bits: errors of at most 2^-9 each, mostly in random directions; outputs are means of many values.
cuda::test::RelativeError outputs("PagedAttention", 6e-3, 3e-2, "8-bit queries and weights");
Comparison stored("keys and values in the cache", 8e-3, "8 bits; an angle's cosine");

float Widened(uint16_t value) {
    uint32_t bits = static_cast<uint32_t>(value) << 16;
    float number;
    std::memcpy(&number, &bits, 4);
    return number;
}

void Compare(const Execution& execution, PagedCase& c, const std::string& what) {
    Result want = Want(c), got = Got(execution, c);
    EXPECT(got.fault == 0, "%s: fault %d", what.c_str(), got.fault);
    outputs.Add(got.output, want.output, what);
    // The lines of the step's own tokens are the reference's but for a rounding; all others are untouched.
    std::vector<uint16_t> before = Pool(c);
    std::vector<float> new_got, new_want;
    for (size_t i = 0; i < before.size(); i++) {
        if (want.cache[i] != before[i] || got.cache[i] != want.cache[i]) {
            new_want.push_back(Widened(want.cache[i])), new_got.push_back(Widened(got.cache[i]));
        }
    }
    stored.Add(new_got, new_want, what);
}

void Shapes(const Execution& execution) {
    Random random(81);
    const PagedShape shapes[] = {
        {4, 2, 64, 64, false, false, 0}, {8, 1, 128, 64, true, true, 0},  {3, 3, 40, 16, false, true, 0},       {16, 2, 128, 128, false, false, 70},
        {32, 1, 64, 0, false, false, 0}, {6, 2, 200, 100, true, false, 0}, {4, 1, 72, 72, false, true, 0, {32, 1, 2}}, {2, 2, 64, 32, false, false, 0, {5, 0, 9}},
    };
    for (const PagedShape& shape : shapes) {
        for (int64_t page : {16, 5, 64}) {
            if (!Swept()) {
                continue;
            }
            // Decoding; a prefill in one piece; company of all kinds; long contexts, so that keys are split.
            for (const std::vector<PagedSequence>& sequences :
                 {std::vector<PagedSequence>{{1, 1}}, {{130, 1}, {64, 1}, {65, 1}}, {{70, 70}}, {{90, 20}, {3, 3}, {200, 1}, {31, 7}}, {{700, 1}}, {{500, 66}}}) {
                PagedCase c(random, shape, sequences, page, CacheType::kBFloat16);
                Compare(execution, c, Text("%d heads, %d kv, dim %d, window %d, block %d, page %d, %d sequences, first %d of %d", shape.heads, shape.kv_heads, shape.dim, shape.window,
                                           shape.streaming.block_size, (int)page, (int)sequences.size(), (int)sequences[0].fresh, (int)sequences[0].context));
            }
        }
    }
}

// Slots that hold no token may hold anything, and so may entries of the block table that nobody sees.
void Unused(const Execution& execution) {
    Random random(82);
    for (int64_t page : {16, 7}) {
        for (StreamingPattern streaming : {StreamingPattern{}, StreamingPattern{16, 1, 2}}) {
            PagedCase c(random, {4, 2, 64, 64, false, false, 0, streaming}, {{150, 1}, {33, 20}, {100, 3}}, page, CacheType::kBFloat16);
            c.SpoilUnused();
            Result got = Got(execution, c);
            bool finite = true;
            for (float value : got.output) {
                finite = finite && std::isfinite(value);
            }
            EXPECT(finite && got.fault == 0, "unused slots were read: page %d, block %d", (int)page, streaming.block_size);
        }
    }
}

// Every query sees exactly the keys it should: with equal keys the output is the mean of the visible values, which are their own positions' bits.
void Visibility(const Execution& execution) {
    Random random(83);
    for (StreamingPattern streaming : {StreamingPattern{}, StreamingPattern{4, 1, 2}, StreamingPattern{64, 1, 1}, StreamingPattern{3, 0, 5}}) {
        for (int window : {0, 9, 65}) {
            if (window > 0 && streaming.block_size > 0) {
                continue;
            }
            for (auto [context, fresh] : {std::array<int64_t, 2>{150, 150}, {150, 1}, {140, 9}}) {
                PagedCase c(random, {2, 1, 64, 0, false, false, window, streaming}, {{context, fresh}}, 16, CacheType::kBFloat16);
                std::fill(c.query.begin(), c.query.end(), 0.0f);
                Result want = Want(c), got = Got(execution, c);
                static Comparison means("means of the visible values", 1e-5, "weights are 1: exact products, float32 sums");
                means.Add(got.output, want.output, Text("block %d, window %d, %d of %d new", streaming.block_size, window, (int)fresh, (int)context));
            }
        }
    }
}

void OrdersAndFaults(const Execution& execution) {
    Random random(84);
    PagedCase c(random, {8, 2, 128, 128, false, true, 0}, {{300, 1}, {20, 2}}, 16, CacheType::kBFloat16);
    Result first = Got(execution, c);
    cuda::test::InEveryOrder([&](int order) {
        Result again = Got(execution, c);
        EXPECT(SameBits(first.output, again.output) && first.cache == again.cache, "order %d", order);
    });
    c.table[2] = static_cast<int32_t>(c.p.pages);
    EXPECT(Got(execution, c).fault == 1, "a page behind the last one was not noticed");
    c.table[2] = -5;
    EXPECT(Got(execution, c).fault == 1, "page -5 was not noticed");
}

void Errors(const Execution& execution) {
    Random random(85);
    auto expect = [&](auto&& change, const char* part) {
        PagedCase c(random, {4, 2, 64, 64, false, false, 0}, {{20, 2}}, 16, CacheType::kBFloat16);
        alignas(16) static uint16_t cache[8] = {};
        static float output[1] = {};
        c.p.cache = cache, c.p.output = output;
        change(c.p);
        EXPECT_ERROR(PagedAttention(execution, c.p, nullptr, nullptr), part);
    };
    expect([](PagedAttentionArguments& p) { p.cache_type = CacheType::kInt8; }, "the cache is int8, expected bfloat16");
    expect([](PagedAttentionArguments& p) { p.head_dim = 264; }, "head_dim is 264");
    expect([](PagedAttentionArguments& p) { p.head_dim = 60; }, "head_dim is 60");
    expect([](PagedAttentionArguments& p) { p.num_kv_heads = 3; }, "num_heads is 4");
    expect([](PagedAttentionArguments& p) { p.rotary_dim = 66; }, "rotary_dim is 66");
    expect([](PagedAttentionArguments& p) { p.page_size = 0; }, "pages of 0");
    expect([](PagedAttentionArguments& p) { p.window = 3, p.streaming = {4, 1, 1}; }, "window is 3");
    expect([](PagedAttentionArguments& p) { p.streaming = {4, 1, 0}; }, "local_blocks 0");
    expect([](PagedAttentionArguments& p) { p.sparse.means = p.output; }, "sparse rows: not on a GPU");
    expect([](PagedAttentionArguments& p) { p.block_table = nullptr; }, "must not be null");
    expect([](PagedAttentionArguments& p) { p.cache = static_cast<uint16_t*>(p.cache) + 1; }, "a multiple of 16");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Shapes(execution);
    Unused(execution);
    Visibility(execution);
    OrdersAndFaults(execution);
    return Report();
}
