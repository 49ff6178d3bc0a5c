// ExpertMixture at LongCat-Flash-Lite's shape, 4-bit and bfloat16 experts, beside a loop of cuBLAS products over the experts that were chosen. The loop pays for
// nothing but its products: tokens lie side by side already, silu, weights and sums are left out, gate and up are one product.
#pragma once

#include "attention_cases.h"
#include "longcat/cuda/expert_mixture.h"

namespace longcat::cuda::bench {

inline constexpr int64_t kMixtureHidden = 3072, kMixtureInner = 1024;
inline constexpr int kMixtureExperts = 256, kMixtureZero = 128, kMixtureTopK = 12;

inline std::vector<float> MixtureFloats(size_t count, float scale, uint64_t& state) {
    std::vector<float> values(count);
    for (float& value : values) {
        value = (static_cast<float>(NextWord(state) >> 40) / static_cast<float>(1 << 23) - 1) * scale;
    }
    return values;
}

// Tokens of each expert.
inline std::vector<int> TokensOf(Array<int32_t>& selected) {
    std::vector<int> tokens(kMixtureExperts);
    for (int32_t expert : selected.Values()) {
        if (expert < kMixtureExperts) {
            tokens[static_cast<size_t>(expert)]++;
        }
    }
    return tokens;
}

inline bool MixtureCases(const Execution& execution, const Cublas& cublas, const Ceilings& ceilings, bool quick) {
    constexpr int kCopies = 8;  // inputs, which choose other experts each
    uint64_t state = 88172645463325252u;
    const size_t matrix = static_cast<size_t>(kMixtureHidden * kMixtureInner), router_rows = kMixtureExperts + kMixtureZero;
    W4A8Experts packed;
    packed.group = 128, packed.group_scale_bytes = 1;
    ExpertMixtureArguments a;
    a.hidden = kMixtureHidden, a.intermediate = kMixtureInner, a.experts = kMixtureExperts, a.zero_experts = kMixtureZero, a.top_k = kMixtureTopK;
    a.routed_scaling_factor = 6;
    a.w4a8 = &packed;
    const size_t gate_bytes = static_cast<size_t>(W4A8PackedBytes(GateLayout(a))), down_bytes = static_cast<size_t>(W4A8PackedBytes(DownLayout(a)));
    std::vector<uint8_t> bytes(kMixtureExperts * std::max(gate_bytes, down_bytes));
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
        const uint64_t word = NextWord(state);
        std::memcpy(&bytes[i], &word, 8);
    }
    Array<uint8_t> gate4(bytes), up4(bytes), down4(bytes);
    Array<float> gate_scale(std::vector<float>(kMixtureExperts * kMixtureInner, 1e-6f)), up_scale(std::vector<float>(kMixtureExperts * kMixtureInner, 1e-6f)),
        down_scale(std::vector<float>(kMixtureExperts * kMixtureHidden, 1e-6f));
    packed.gate = gate4.get(), packed.up = up4.get(), packed.down = down4.get();
    packed.gate_scale = gate_scale.get(), packed.up_scale = up_scale.get(), packed.down_scale = down_scale.get();
    // bfloat16: gate, up and down as the operator has them, and gate with up side by side for the loop.
    const std::vector<uint16_t> wide(Numbers(kMixtureExperts * matrix));
    Array<uint16_t> gate(wide), up(wide), down(wide), both(quick || !cublas.ready() ? std::vector<uint16_t>{} : Numbers(2 * kMixtureExperts * matrix));
    Array<float> router(MixtureFloats(router_rows * kMixtureHidden, 0.05f, state));

    std::printf("\nExpertMixture, %d experts and %d zero experts, top %d, hidden %d, inner %d. experts: with tokens; floors: bytes of their weights and of the router at\n"
                "the measured bandwidth, operations at the measured bfloat16 rate (4 bits: twice that); x loop: time of the loop of products over ours\n"
                "%-10s %5s %8s %10s %8s %8s %7s %7s %8s\n", kMixtureExperts, kMixtureZero, kMixtureTopK, (int)kMixtureHidden, (int)kMixtureInner, "experts of", "T", "experts", "us",
                "GB/s", "TOPS", "bytes", "ops", "x loop");
    bool right = true;
    for (int64_t tokens : quick ? std::vector<int64_t>{1, 64, 1024} : std::vector<int64_t>{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}) {
        Array<float> x(MixtureFloats(static_cast<size_t>(kCopies * tokens * kMixtureHidden), 1, state)), y(static_cast<size_t>(tokens * kMixtureHidden));
        Array<int32_t> selected(static_cast<size_t>(tokens * kMixtureTopK));
        a.tokens = tokens, a.router = router.get(), a.y = y.get();
        double loop = 0;
        std::vector<std::vector<int>> chosen;
        for (bool four_bits : {true, false}) {
            a.w4a8 = four_bits ? &packed : nullptr;
            const WeightType type = WeightType::kBFloat16;
            a.gate = {gate.get(), type, WeightLayout::kRows}, a.up = {up.get(), type, WeightLayout::kRows}, a.down = {down.get(), type, WeightLayout::kRows};
            a.selected = selected.get();
            Array<uint8_t> workspace(ExpertMixtureWorkspace(execution.device, a));
            auto call = [&](int i) {
                a.x = x.get() + i * tokens * kMixtureHidden;
                if (Status status = ExpertMixture(execution, a, workspace.get()); !status.ok()) {
                    std::printf("%s\n", status.message);
                    std::exit(1);
                }
            };
            for (int i = 0; four_bits && i < kCopies; i++) {
                call(i);
                test::Finish(execution);
                chosen.push_back(TokensOf(selected));
            }
            a.selected = nullptr;
            if (four_bits && both.size() > 0) {
                Array<uint16_t> rows(Numbers(static_cast<size_t>(tokens * kMixtureHidden))), inner(static_cast<size_t>(tokens * 2 * kMixtureInner)),
                    out(static_cast<size_t>(tokens * kMixtureHidden));
                loop = Microseconds(execution, kCopies, [&](int i) {
                    for (size_t e = 0; e < kMixtureExperts; e++) {
                        if (const int m = chosen[static_cast<size_t>(i)][e]; m > 0) {
                            cublas.BFloat16(m, 2 * kMixtureInner, kMixtureHidden, rows.get(), both.get() + 2 * e * matrix, inner.get());
                            cublas.BFloat16(m, kMixtureHidden, kMixtureInner, inner.get(), down.get() + e * matrix, out.get());
                        }
                    }
                });
            }
            y.Fill(0xff);
            const double time = Microseconds(execution, kCopies, call);
            right = AllNumbers(y, "ExpertMixture") && right;
            double experts = 0, pairs = 0;
            for (const std::vector<int>& one : chosen) {
                for (int m : one) {
                    experts += m > 0 ? 1.0 / kCopies : 0, pairs += static_cast<double>(m) / kCopies;
                }
            }
            const double weight_bytes = experts * static_cast<double>(four_bits ? 2 * gate_bytes + down_bytes : 6 * matrix) + static_cast<double>(router_rows * kMixtureHidden) * 4;
            const double operations = pairs * 6 * static_cast<double>(matrix), rate = ceilings.operations_per_second * (four_bits ? 2 : 1);
            std::printf("%-10s %5d %8.0f %10.2f %8.0f %8.1f %6.0f%% %6.0f%% %8.2f\n", four_bits ? "4 bits" : "bfloat16", (int)tokens, experts, time, weight_bytes / time / 1e3,
                        operations / time / 1e6, 100 * weight_bytes / ceilings.bytes_per_second * 1e6 / time, rate > 0 ? 100 * operations / rate * 1e6 / time : 0.0, loop / time);
            std::fflush(stdout);
        }
    }
    return right;
}

}  // namespace longcat::cuda::bench
