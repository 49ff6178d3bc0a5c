// ExpertMixture with W4A8 experts against its floor: the bytes of the chosen experts at the read bandwidth B, or their products at the peak P
// of vpdpbusd, whichever takes longer, expert by expert, and the router's matrix at B. Both limits are measured here, on as many threads.
//   longcat_w4a8_mixture_bench [--tokens T] [--experts E] [--zero Z] [--top K] [--hidden H] [--intermediate I] [--group G] [--skip M] [--threads N]
//                              [--seconds S]
// Every run has tokens of its own, so the experts it reads lie in memory. One thread: processor time; more: the clock. Median of the runs.
#include <algorithm>
#include <string>
#include <vector>

#include "../tests/harness.h"
#include "longcat/expert_mixture.h"
#include "machine.h"
#include "pool.h"

using namespace longcat;

namespace {

double seconds = 1;
clockid_t clock_id = CLOCK_THREAD_CPUTIME_ID;

double Clock() { return bench::Seconds(clock_id); }

template <class Body>
void OnAll(const ParallelFor& parallel, int threads, Body&& body) {
    if (threads == 1) {
        return body(0);
    }
    using Type = std::remove_reference_t<Body>;
    parallel.run(
        parallel.state, static_cast<size_t>(threads), [](void* argument, size_t i) { (*static_cast<Type*>(argument))(i); }, &body);
}

template <class Run>
std::vector<double> Times(const Run& run) {
    std::vector<double> times;
    run();
    double until = Clock() + seconds;
    do {
        double start = Clock();
        run();
        times.push_back(Clock() - start);
    } while (Clock() < until);
    std::sort(times.begin(), times.end());
    return times;
}

}  // namespace

int main(int count, char** arguments) {
    ExpertMixtureArguments p;
    W4A8Experts experts;
    p.hidden = 3072, p.intermediate = 1024, p.experts = 256, p.zero_experts = 128, p.top_k = 12, p.routed_scaling_factor = 6, p.w4a8 = &experts;
    experts.group = 128, experts.group_scale_bytes = 1;
    int64_t only = 0;
    ExpertSkipping skipping;
    int threads = 1;
    for (int i = 1; i + 1 < count; i += 2) {
        std::string name = arguments[i];
        double value = std::atof(arguments[i + 1]);
        if (name == "--tokens") {
            only = static_cast<int64_t>(value);
        } else if (name == "--experts") {
            p.experts = static_cast<int>(value);
        } else if (name == "--zero") {
            p.zero_experts = static_cast<int>(value);
        } else if (name == "--top") {
            p.top_k = static_cast<int>(value);
        } else if (name == "--hidden") {
            p.hidden = static_cast<int64_t>(value);
        } else if (name == "--intermediate") {
            p.intermediate = static_cast<int64_t>(value);
        } else if (name == "--group") {
            experts.group = static_cast<int64_t>(value);
        } else if (name == "--skip") {  // M experts of every token (the static rule of sparse verification)
            skipping.most = static_cast<int>(value);
        } else if (name == "--threads") {
            threads = static_cast<int>(value);
        } else if (name == "--seconds") {
            seconds = value;
        } else {
            std::printf("unknown option %s\n", arguments[i]);
            return 2;
        }
    }
    clock_id = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    bench::Pool pool(threads);
    ParallelFor parallel = threads == 1 ? ParallelFor{} : pool.parallel();
    int64_t gate = W4A8PackedBytes(GateLayout(p)), down = W4A8PackedBytes(DownLayout(p)), expert = 2 * gate + down;
    bench::Buffer weights(p.experts * expert);
    uint64_t state = 1;
    for (int64_t i = 0; i + 8 <= p.experts * expert; i += 8) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::memcpy(weights.data() + i, &state, 8);
    }
    test::Random random(1);
    std::vector<float> scales(static_cast<size_t>(p.experts * std::max(p.hidden, p.intermediate)), 1e-6f);
    int64_t all = p.experts + p.zero_experts;
    std::vector<float> router = random.Floats(all * p.hidden, 0.02f), bias(static_cast<size_t>(all));
    experts.gate = weights.data(), experts.up = experts.gate + p.experts * gate, experts.down = experts.up + p.experts * gate;
    experts.gate_scale = experts.up_scale = experts.down_scale = scales.data();
    p.router = router.data(), p.correction_bias = bias.data();

    int64_t slice = p.experts * expert / threads / 4096 * 4096;
    double bandwidth = static_cast<double>(slice * threads) / Times([&] {
                           OnAll(parallel, threads, [&](size_t i) { bench::Read<4>(weights.data() + static_cast<int64_t>(i) * slice, slice); });
                       })[0] / 1e9;
    constexpr int64_t kSteps = 1'000'000;
    double peak = 128.0 * 12 * kSteps * threads / Times([&] { OnAll(parallel, threads, [](size_t) { bench::Dots(kSteps); }); })[0] / 1e9;
    std::printf("%d + %d experts, top %d, H %lld, I %lld, group %lld, %.2f MB an expert, %d threads: B = %.1f GB/s, P = %.1f GOP/s\n", p.experts,
                p.zero_experts, p.top_k, (long long)p.hidden, (long long)p.intermediate, (long long)experts.group,
                static_cast<double>(expert) / 1e6, threads, bandwidth, peak);
    for (int64_t tokens : {1, 2, 4, 16, 64, 256, 1024}) {
        if (only != 0 && tokens != only) {
            continue;
        }
        p.tokens = tokens;
        constexpr int64_t kSets = 64;
        std::vector<float> x = random.Floats((tokens + kSets) * p.hidden), y(static_cast<size_t>(tokens * p.hidden));
        std::vector<int32_t> selected(static_cast<size_t>(tokens * p.top_k)), rows(static_cast<size_t>(all));
        std::vector<float> shares(selected.size()), betas(static_cast<size_t>(p.top_k), 1.0f);
        std::vector<double> workspace(ExpertMixtureWorkspace(p) / 8 + 16);
        void* scratch = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
        p.y = y.data(), p.selected = selected.data(), p.shares = shares.data();
        std::vector<uint8_t> marks(static_cast<size_t>(tokens), 1);
        skipping.rows = marks.data(), skipping.betas = betas.data();
        p.skipping = skipping.most > 0 ? &skipping : nullptr;
        int64_t set = 0, runs = 0;
        double floor = 0, bytes = 0, products = 0, chosen = 0;
        std::vector<double> times = Times([&] {
            p.x = x.data() + set++ % kSets * p.hidden;
            (void)ExpertMixture(CpuPath::kAvx512, p, scratch, parallel);
            std::fill(rows.begin(), rows.end(), 0);
            for (size_t i = 0; i < selected.size(); i++) {
                rows[static_cast<size_t>(selected[i])] += shares[i] > 0;
            }
            double router_bytes = static_cast<double>(all * p.hidden) * 4;
            floor += router_bytes / bandwidth / 1e9, bytes += router_bytes, runs++;
            for (int e = 0; e < p.experts; e++) {
                double operations = 6.0 * rows[static_cast<size_t>(e)] * static_cast<double>(p.hidden * p.intermediate);
                double read = rows[static_cast<size_t>(e)] == 0 ? 0 : static_cast<double>(expert);
                floor += std::max(read / bandwidth, operations / peak) / 1e9;
                bytes += read, products += operations, chosen += read > 0;
            }
        });
        double time = times[times.size() / 2], n = static_cast<double>(runs);
        std::printf("T %4lld  %9.3f ms (best %9.3f)  %5.1f experts, %6.1f MB, %6.2f GOP  %6.1f GB/s (%.2f B)  %6.1f GOP/s (%.2f P)  floor %8.3f ms (%.2f)\n",
                    (long long)tokens, time * 1e3, times[0] * 1e3, chosen / n, bytes / n / 1e6, products / n / 1e9, bytes / n / time / 1e9,
                    bytes / n / time / 1e9 / bandwidth, products / n / time / 1e9, products / n / time / 1e9 / peak, floor / n * 1e3,
                    floor / n / time);
        std::fflush(stdout);
    }
    return 0;
}
