// AttentionIndexer: a decoding step, and a part of a prefill, with the two floors of each: the keys' bytes, and the operations of the scores.
#pragma once

#include "attention_cases.h"
#include "longcat/cuda/attention_indexer.h"

namespace longcat::cuda::bench {

inline bool IndexerCases(const Execution& execution, const Ceilings& ceilings, bool quick) {
    constexpr int kHeads = 64, kDim = 128;
    constexpr int64_t kPage = 64;
    std::printf("\nAttentionIndexer, %d heads of %d, top 2048, pages of %d. fresh: new tokens of each sequence\n%4s %8s %6s %10s %8s %8s %7s %7s\n", kHeads, kDim, (int)kPage, "S",
                "context", "fresh", "us", "GB/s", "TFLOP/s", "bytes", "ops");
    struct Size {
        int64_t sequences, context, fresh;
    };
    std::vector<Size> sizes = {{1, 16384, 1}, {1, 131072, 1}, {8, 131072, 1}, {64, 16384, 1}, {1, 32768, 512}};
    if (quick) {
        sizes.resize(2);
    }
    bool right = true;
    for (const Size& size : sizes) {
        const DecodeStep step(size.sequences, size.context, kPage);
        const int64_t tokens = size.sequences * size.fresh;
        std::vector<int64_t> positions;
        std::vector<int32_t> start;
        for (int64_t s = 0; s < size.sequences; s++) {
            start.push_back(static_cast<int32_t>(s * size.fresh));
            for (int64_t i = 0; i < size.fresh; i++) {
                positions.push_back(size.context - size.fresh + i);
            }
        }
        start.push_back(static_cast<int32_t>(tokens));
        Array<int64_t> device_positions(positions);
        Array<int32_t> device_start(start), tables(step.tables), selected(static_cast<size_t>(tokens * 2048));
        Array<float> query(std::vector<float>(static_cast<size_t>(tokens * kHeads * kDim), 0.1f)), key(std::vector<float>(static_cast<size_t>(tokens * kDim), 0.1f)),
            weights(std::vector<float>(static_cast<size_t>(tokens * kHeads), 0.1f)), norm(std::vector<float>(kDim, 1.0f)), frequencies(std::vector<float>(32, 0.01f));
        Array<uint16_t> cache(Numbers(static_cast<size_t>(step.pages * kPage * kDim)));
        AttentionIndexerArguments a;
        a.tokens = tokens, a.sequences = size.sequences, a.pages = step.pages, a.page_size = kPage, a.block_table_width = step.width;
        a.num_heads = kHeads, a.head_dim = kDim, a.rope_dim = 64, a.top_k = 2048, a.init_tokens = 16, a.local_tokens = 1024, a.epsilon = 1e-6f;
        a.cache_type = WeightType::kBFloat16;
        a.query = query.get(), a.key = key.get(), a.weights = weights.get(), a.key_norm = norm.get(), a.inv_freq = frequencies.get();
        a.position_ids = device_positions.get(), a.query_start = device_start.get(), a.cache = cache.get(), a.selected = selected.get();
        Array<uint8_t> workspace(AttentionIndexerWorkspace(execution.device, a));
        const double time = Microseconds(execution, DecodeStep::kOrders, [&](int i) {
            a.block_table = tables.get() + i * step.pages;
            if (Status status = AttentionIndexer(execution, a, workspace.get(), nullptr); !status.ok()) {
                std::printf("%s\n", status.message);
                std::exit(1);
            }
        });
        for (int32_t position : selected.Values()) {
            right = right && position >= 0 && position < size.context;
        }
        const double bytes = static_cast<double>(size.sequences * size.context) * kDim * 2, operations = static_cast<double>(tokens * size.context) * 2 * kHeads * kDim;
        std::printf("%4d %8d %6d %10.2f %8.0f %8.1f %6.0f%% %6.0f%%\n", (int)size.sequences, (int)size.context, (int)size.fresh, time, bytes / time / 1e3, operations / time / 1e6,
                    100 * bytes / ceilings.bytes_per_second * 1e6 / time,
                    ceilings.operations_per_second > 0 ? 100 * operations / ceilings.operations_per_second * 1e6 / time : 0.0);
        std::fflush(stdout);
    }
    return right;
}

}  // namespace longcat::cuda::bench
