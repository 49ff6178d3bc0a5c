// SparseGatedMlp against tau: a step's up and down projections without the channels that its rows' gates close, beside MatMul,
// multiplication and MatMul over all of them.
//   longcat_sparse_mlp_bench [--rows M] [--hidden H] [--inner I] [--layers L] [--bf16 0|1] [--shared S] [--threads N] [--tau T] [--seconds
//   S]
// The layers' weights lie in memory one after another (ordinary pages, as in a mapped file) and each run takes the next layer. Gates are
// normal with variance 1, of which the share S is common to the rows of a step. One thread:
// processor time; more: the clock. Best and median of the runs.
#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../tests/harness.h"
#include "longcat/matmul.h"
#include "longcat/sparse_gated_mlp.h"
#include "machine.h"
#include "pool.h"

using namespace longcat;

namespace {

double Normal(test::Random& random) {
    double sum = 0;  // of twelve, near enough
    for (int i = 0; i < 12; i++) {
        sum += static_cast<double>(random.Unit()) * 0.5;
    }
    return sum;
}

}  // namespace

int main(int count, char** arguments) {
    SparseGatedMlpArguments p;
    p.m = 5, p.hidden = 1024, p.inner = 3072;
    int64_t layers = 12;
    int threads = 2;
    double shared = 0, seconds = 1, only = -1;
    bool halves = false;
    for (int i = 1; i + 1 < count; i += 2) {
        std::string name = arguments[i];
        double value = std::atof(arguments[i + 1]);
        if (name == "--rows") {
            p.m = static_cast<int64_t>(value);
        } else if (name == "--hidden") {
            p.hidden = static_cast<int64_t>(value);
        } else if (name == "--inner") {
            p.inner = static_cast<int64_t>(value);
        } else if (name == "--layers") {
            layers = static_cast<int64_t>(value);
        } else if (name == "--bf16") {
            halves = value != 0;
        } else if (name == "--shared") {
            shared = value;
        } else if (name == "--threads") {
            threads = static_cast<int>(value);
        } else if (name == "--tau") {
            only = value;
        } else if (name == "--seconds") {
            seconds = value;
        } else {
            std::printf("unknown option %s\n", arguments[i]);
            return 2;
        }
    }
    clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    bench::Pool pool(threads);
    ParallelFor parallel = threads == 1 ? ParallelFor{} : pool.parallel();
    WeightType type = halves ? WeightType::kBFloat16 : WeightType::kFloat32;
    int64_t size = static_cast<int64_t>(SizeOf(type)), channels = p.inner * ChannelStride(p.hidden);
    int64_t up = (p.inner + 15) / 16 * PanelElements(type, p.hidden), down = (p.hidden + 15) / 16 * PanelElements(type, p.inner);
    int64_t layer = (up + down + 2 * channels) * size;
    void* memory = mmap(nullptr, static_cast<size_t>(layers * layer), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        std::printf("%.1f GB are not there\n", static_cast<double>(layers * layer) / 1e9);
        return 1;
    }
    madvise(memory, static_cast<size_t>(layers * layer), MADV_NOHUGEPAGE);
    // What the numbers are changes no time, as long as they are ordinary ones; the copies by channel are not those of the panels.
    test::Random random(1);
    uint8_t* bytes = static_cast<uint8_t*>(memory);
    for (int64_t i = 0; i < layers * layer / size; i++) {
        float value = static_cast<float>(static_cast<int>(i * 2654435761u % 255) - 127) / 1024;
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        uint16_t half = static_cast<uint16_t>(bits >> 16);
        halves ? std::memcpy(bytes + i * 2, &half, 2) : std::memcpy(bytes + i * 4, &value, 4);
    }
    std::vector<float> x = random.Floats(p.m * p.hidden), y(static_cast<size_t>(p.m * p.hidden)), h(static_cast<size_t>(p.m * p.inner));
    std::vector<float> activation(h.size()), common(static_cast<size_t>(p.inner));
    for (float& value : common) {
        value = static_cast<float>(Normal(random) * std::sqrt(shared));
    }
    for (size_t i = 0; i < activation.size(); i++) {
        double gate = static_cast<double>(common[i % static_cast<size_t>(p.inner)]) + Normal(random) * std::sqrt(1 - shared);
        activation[i] = static_cast<float>(gate / (1 + std::exp(-gate)));
    }
    std::vector<uint8_t> sparse(static_cast<size_t>(p.m), 1);
    p.x = x.data(), p.activation = activation.data(), p.sparse_rows = sparse.data(), p.y = y.data();
    p.up = p.down = {nullptr, type, WeightLayout::kPanels}, p.up_channels = p.down_channels = {nullptr, type, WeightLayout::kRows};
    int64_t next = 0;
    auto take = [&] {
        uint8_t* at = bytes + next++ % layers * layer;
        p.up.data = at, p.down.data = at + up * size, p.up_channels.data = at + (up + down) * size;
        p.down_channels.data = at + (up + down + channels) * size;
    };
    take();
    std::vector<double> scratch(SparseGatedMlpWorkspace(p) / 8 + 16);
    void* workspace = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
    auto time = [&](const auto& run) {
        std::vector<double> times;
        for (int64_t i = 0; i < layers; i++) {
            take();
            run();
        }
        double until = bench::Seconds(clock) + seconds;
        do {
            take();
            double start = bench::Seconds(clock);
            run();
            times.push_back((bench::Seconds(clock) - start) * 1e3);
        } while (bench::Seconds(clock) < until);
        std::sort(times.begin(), times.end());
        return std::pair(times[0], times[times.size() / 2]);
    };
    CpuPath path = BestCpuPath();
    auto [best, median] = time([&] {
        MatMulArguments one;
        one.m = p.m, one.n = p.inner, one.k = p.hidden, one.a = p.x, one.b = p.up, one.y = h.data();
        MatMul(path, one, parallel);
        for (size_t i = 0; i < h.size(); i++) {
            h[i] *= activation[i];
        }
        one.n = p.hidden, one.k = p.inner, one.a = h.data(), one.b = p.down, one.y = p.y;
        MatMul(path, one, parallel);
    });
    std::printf(
        "%lld rows, hidden %lld, inner %lld, %s, %lld layers of %.1f MB (by channel as much again), %d threads, %s; %.0f %% of a gate is "
        "common\n",
        (long long)p.m, (long long)p.hidden, (long long)p.inner, test::Name(type), (long long)layers,
        static_cast<double>((up + down) * size) / 1e6, threads, Name(path), 100 * shared);
    std::printf("%-10s %10s %10s %10s %10s %8s\n", "tau", "row keeps", "step reads", "best ms", "median ms", "median");
    std::printf("%-10s %9d%% %9d%% %10.3f %10.3f %7.2fx\n", "MatMul", 100, 100, best, median, 1.0);
    for (float tau : {0.0f, 0.01f, 0.02f, 0.05f, 0.1f, 0.2f, 0.3f, 0.5f, 0.8f, 1.2f, 2.0f}) {
        if (only >= 0 && std::fabs(only - static_cast<double>(tau)) > 1e-6) {
            continue;
        }
        p.tau = tau;
        int64_t kept = 0, live = 0;
        for (int64_t i = 0; i < p.inner; i++) {
            bool any = false;
            for (int64_t row = 0; row < p.m; row++) {
                bool keeps = !(std::fabs(activation[static_cast<size_t>(row * p.inner + i)]) < tau);
                kept += keeps, any = any || keeps;
            }
            live += any;
        }
        auto [quick, middle] = time([&] { SparseGatedMlp(path, p, workspace, parallel); });
        std::printf("%-10g %9.0f%% %9.0f%% %10.3f %10.3f %7.2fx\n", static_cast<double>(tau),
                    100.0 * static_cast<double>(kept) / static_cast<double>(p.m * p.inner),
                    100.0 * static_cast<double>(live) / static_cast<double>(p.inner), quick, middle, median / middle);
    }
    return 0;
}
