// One decoding step of both attentions, full and streaming, with the two floors of each: the bytes of the visible keys and values at the measured
// bandwidth, and the operations of scores and sums at the measured bfloat16 rate.
#pragma once

#include <cmath>

#include "longcat/cuda/latent_attention.h"
#include "longcat/cuda/paged_attention.h"
#include "timing.h"

namespace longcat::cuda::bench {

// A step of S sequences of `context` tokens with one new token each. The calls go round through as many orders of the pages: what streaming attention reads,
// a few of them, would otherwise stay in the second-level cache, as it does not between the layers of a model.
struct DecodeStep {
    static constexpr int kOrders = 16;
    std::vector<int64_t> positions;
    std::vector<int32_t> start, lengths, tables;  // tables: one order behind another
    int64_t pages, width;

    DecodeStep(int64_t sequences, int64_t context, int64_t page) : pages(sequences * ((context + page - 1) / page)), width((context + page - 1) / page) {
        for (int64_t s = 0; s < sequences; s++) {
            positions.push_back(context - 1), start.push_back(static_cast<int32_t>(s)), lengths.push_back(static_cast<int32_t>(context));
        }
        start.push_back(static_cast<int32_t>(sequences));
        std::vector<int32_t> order;
        for (int64_t i = 0; i < pages; i++) {
            order.push_back(static_cast<int32_t>(i));
        }
        uint64_t state = 88172645463325252u;
        for (int copy = 0; copy < kOrders; copy++) {
            for (int64_t i = pages; i > 1; i--) {
                std::swap(order[static_cast<size_t>(i - 1)], order[NextWord(state) % static_cast<uint64_t>(i)]);
            }
            tables.insert(tables.end(), order.begin(), order.end());
        }
    }
};

// bfloat16 numbers of about 2^-1 that differ.
inline std::vector<uint16_t> Numbers(size_t count) {
    std::vector<uint16_t> numbers((count + 3) / 4 * 4);
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < numbers.size(); i += 4) {
        uint64_t word = (NextWord(state) & 0x807f807f807f807fu) | 0x3f003f003f003f00u;
        std::memcpy(&numbers[i], &word, 8);
    }
    numbers.resize(count);
    return numbers;
}

inline bool AllNumbers(Array<float>& output, const char* what) {
    for (float value : output.Values()) {
        if (!std::isfinite(value)) {
            std::printf("WRONG: %s: an output is not a number\n", what);
            return false;
        }
    }
    return true;
}

inline void PrintAttention(const char* what, int64_t sequences, int64_t context, double time, double bytes, double operations, const Ceilings& ceilings, double full) {
    double byte_floor = bytes / ceilings.bytes_per_second * 1e6, operation_floor = ceilings.operations_per_second > 0 ? operations / ceilings.operations_per_second * 1e6 : 0;
    std::printf("%-34s %4d %8d %10.2f %8.0f %8.1f %6.0f%% %6.0f%% %9.1f\n", what, (int)sequences, (int)context, time, bytes / time / 1e3, operations / time / 1e6,
                100 * byte_floor / time, 100 * operation_floor / time, full > 0 ? full / time : 0.0);
    std::fflush(stdout);
}

inline bool AttentionCases(const Execution& execution, const Ceilings& ceilings, bool quick) {
    std::printf("\nattention, decoding: one new token a sequence, pages of 64. x full: time of full attention over this one's\n"
                "%-34s %4s %8s %10s %8s %8s %7s %7s %9s\n", "heads", "S", "context", "us", "GB/s", "TFLOP/s", "bytes", "ops", "x full");
    struct Size {
        int64_t sequences, context;
    };
    std::vector<Size> sizes = {{1, 131072}, {8, 131072}, {64, 8192}, {16, 32768}};
    if (quick) {
        sizes.resize(2);
    }
    bool right = true;
    constexpr int64_t kPage = 64;
    const StreamingPattern kStreaming{128, 1, 7};
    for (const Size& size : sizes) {
        DecodeStep step(size.sequences, size.context, kPage);
        Array<int64_t> positions(step.positions);
        Array<int32_t> start(step.start), lengths(step.lengths), tables(step.tables);
        {
            PagedAttentionArguments a;
            a.tokens = a.sequences = size.sequences, a.pages = step.pages, a.page_size = kPage, a.block_table_width = step.width;
            a.num_heads = 32, a.num_kv_heads = 8, a.head_dim = a.rotary_dim = 128, a.softmax_scale = 0.088f, a.cache_type = CacheType::kBFloat16;
            Array<float> query(std::vector<float>(static_cast<size_t>(size.sequences) * 32 * 128, 0.1f)), key(std::vector<float>(static_cast<size_t>(size.sequences) * 8 * 128, 0.1f));
            Array<float> frequencies(std::vector<float>(64, 0.01f)), output(static_cast<size_t>(size.sequences) * 32 * 128);
            Array<uint16_t> cache(Numbers(static_cast<size_t>(step.pages * kPage) * 2 * 8 * 128));
            a.query = query.get(), a.key = a.value = key.get(), a.inv_freq = frequencies.get(), a.position_ids = positions.get(), a.query_start = start.get();
            a.context_length = lengths.get(), a.cache = cache.get(), a.output = output.get();
            double full = 0;
            for (bool streaming : {false, true}) {
                a.streaming = streaming ? kStreaming : StreamingPattern{};
                Array<uint8_t> workspace(PagedAttentionWorkspace(execution.device, a));
                output.Fill(0xff);
                double time = Microseconds(execution, DecodeStep::kOrders, [&](int i) {
                    a.block_table = tables.get() + i * step.pages;
                    if (Status status = PagedAttention(execution, a, workspace.get(), nullptr); !status.ok()) {
                        std::printf("%s\n", status.message);
                        std::exit(1);
                    }
                });
                right = AllNumbers(output, "PagedAttention") && right;
                double keys = static_cast<double>(size.sequences * (streaming ? std::min<int64_t>(1024, size.context) : size.context));
                PrintAttention(streaming ? "32 query, 8 kv of 128, streaming" : "32 query, 8 kv of 128", size.sequences, size.context, time, keys * 2 * 8 * 128 * 2,
                               keys * 4 * 32 * 128, ceilings, full);
                full = streaming ? full : time;
            }
        }
        {
            LatentAttentionArguments a;
            a.tokens = a.sequences = size.sequences, a.pages = step.pages, a.page_size = kPage, a.block_table_width = step.width;
            a.num_heads = 64, a.nope = a.v = 128, a.rope = 64, a.rank = 512, a.epsilon = 1e-6f, a.softmax_scale = 0.072f, a.cache_type = CacheType::kBFloat16;
            Array<float> query(std::vector<float>(static_cast<size_t>(size.sequences) * 64 * 192, 0.1f)), latent(std::vector<float>(static_cast<size_t>(size.sequences) * 576, 0.1f));
            Array<float> norm(std::vector<float>(512, 1.0f)), frequencies(std::vector<float>(32, 0.01f)), output(static_cast<size_t>(size.sequences) * 64 * 128);
            Array<uint16_t> cache(Numbers(static_cast<size_t>(step.pages * kPage) * 576)), kv_b(std::vector<uint16_t>(size_t{64} * 256 * 512, 0x3c80));
            a.query = query.get(), a.latent = latent.get(), a.latent_norm = norm.get(), a.kv_b = {kv_b.get(), WeightType::kBFloat16, WeightLayout::kRows};
            a.inv_freq = frequencies.get(), a.position_ids = positions.get(), a.query_start = start.get(), a.context_length = lengths.get();
            a.cache = cache.get(), a.output = output.get();
            double full = 0;
            for (bool streaming : {false, true}) {
                a.streaming = streaming ? kStreaming : StreamingPattern{};
                Array<uint8_t> workspace(LatentAttentionWorkspace(execution.device, a));
                output.Fill(0xff);
                double time = Microseconds(execution, DecodeStep::kOrders, [&](int i) {
                    a.block_table = tables.get() + i * step.pages;
                    if (Status status = LatentAttention(execution, a, workspace.get(), nullptr); !status.ok()) {
                        std::printf("%s\n", status.message);
                        std::exit(1);
                    }
                });
                right = AllNumbers(output, "LatentAttention") && right;
                double keys = static_cast<double>(size.sequences * (streaming ? std::min<int64_t>(1024, size.context) : size.context));
                PrintAttention(streaming ? "latent, 64 heads, 512 + 64, streaming" : "latent, 64 heads, 512 + 64", size.sequences, size.context, time,
                               keys * 576 * 2 + 64.0 * 256 * 512 * 2, keys * 2 * 64 * (576 + 512), ceilings, full);
                full = streaming ? full : time;
            }
        }
    }
    return right;
}

}  // namespace longcat::cuda::bench
