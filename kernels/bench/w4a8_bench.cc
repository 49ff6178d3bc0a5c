// W4A8MatMul against what one core can do: the peak P of vpdpbusd and the read bandwidth B, both measured here, beside each figure.
//   longcat_w4a8_bench [--seconds S] [--only square|groups|shapes|threads] [--m M] [--core C] [--small-pages]
// One thread, pinned to core C (default 1, where there is one). Weights come in turn from at least 300 MB of distinct matrices in pages of
// 2 MB (--small-pages: 4 KiB). Processor time of runs of about 10 ms, the best of those that fit S seconds; two threads: wall time of
// single products. About two minutes.
#include <cstdio>
#include <string>
#include <vector>

#include "../tests/harness.h"
#include "longcat/w4a8_matmul.h"
#include "machine.h"
#include "pool.h"

using namespace longcat;
using bench::Best;

namespace {

constexpr int64_t kDistinct = 300'000'000;

double seconds = 0.4;
bool small_pages = false;
int64_t only_m = 0;

struct Weights4 {
    W4A8Layout layout;
    int64_t one, count;
    bench::Buffer buffer;
    std::vector<float> scale;

    explicit Weights4(W4A8Layout of)
        : layout(of),
          one((W4A8PackedBytes(of) + 63) / 64 * 64),
          count((kDistinct + one - 1) / one),
          buffer(one * count),
          scale(static_cast<size_t>(of.n), 0.01f) {
        if (small_pages) {
            madvise(buffer.data(), static_cast<size_t>(one * count), MADV_NOHUGEPAGE);
        }
        test::Random random(1);
        for (int64_t i = 0; i + 8 <= one * count; i += 8) {
            uint64_t value = random.Next();
            std::memcpy(buffer.data() + i, &value, 8);
        }
    }
};

struct Run {
    const Weights4& weights;
    std::vector<float> x, y;
    W4A8MatMulArguments p;
    bench::Buffer workspace;
    ParallelFor parallel;
    int64_t at = 0, batch = 1;

    static W4A8MatMulArguments Sizes(const Weights4& w, int64_t m) {
        W4A8MatMulArguments p;
        p.m = m, p.layout = w.layout;
        return p;
    }
    Run(const Weights4& w, int64_t m, const ParallelFor& threads)
        : weights(w),
          x(test::Random(2).Floats(m * w.layout.k)),
          y(static_cast<size_t>(m * w.layout.n)),
          p(Sizes(w, m)),
          workspace(static_cast<int64_t>(W4A8MatMulWorkspace(p)) + 64),
          parallel(threads) {
        p.x = x.data(), p.scale = w.scale.data(), p.y = y.data();
    }
    // As many times as take 10 ms, but at most once through all matrices: as B is measured. By the wall once: on a busy machine all threads
    // run at the same time only now and then.
    void operator()() {
        for (int64_t i = 0; i < batch; i++) {
            Once();
        }
    }
    double Time(double of, bool wall = false) {
        batch = 1;
        if (!wall) {
            batch = std::clamp<int64_t>(static_cast<int64_t>(0.01 / Best(0, *this)), 1, weights.count);
        }
        return Best(of, *this, wall) / static_cast<double>(batch);
    }
    void Once() {
        p.weights = weights.buffer.data() + at * weights.one;
        at = (at + 1) % weights.count;
        (void)W4A8MatMul(CpuPath::kAvx512, p, workspace.data(), parallel);
    }
};

// One line: the time and its share of what bounds it. P and B are measured beside it.
double Line(const Weights4& weights, int64_t m, const char* label) {
    double peak = bench::PeakVnni(seconds / 8), bandwidth = bench::ReadBandwidth(weights.buffer.data(), weights.one * weights.count, 0);
    Run run(weights, m, {});
    double time = run.Time(seconds / 2);
    peak = std::max(peak, bench::PeakVnni(seconds / 8));
    time = std::min(time, run.Time(seconds / 2));
    bandwidth = std::max(bandwidth, bench::ReadBandwidth(weights.buffer.data(), weights.one * weights.count, 0));
    double bytes = static_cast<double>(weights.one) / time,
           operations = 2.0 * static_cast<double>(m) * static_cast<double>(weights.layout.n) * static_cast<double>(weights.layout.k) / time;
    std::printf("%-28s M %4lld %10.1f us %6.1f GB/s %6.1f GOP/s   %.3f B  %.3f P   (B %.1f, P %.1f)\n", label, (long long)m, time * 1e6,
                bytes / 1e9, operations / 1e9, bytes / bandwidth, operations / peak, bandwidth / 1e9, peak / 1e9);
    std::fflush(stdout);
    return time;
}

bool Wanted(int64_t m) { return only_m == 0 || m == only_m; }

void Square() {
    Weights4 weights({4096, 4096, 128, 1});
    for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 64, 128, 256, 512}) {
        if (Wanted(m)) {
            Line(weights, m, "4096 x 4096, group 128");
        }
    }
}

void Groups() {
    for (auto [group, bytes] : {std::pair<int64_t, int>{32, 1}, {64, 1}, {256, 1}, {128, 2}, {4096, 0}}) {
        Weights4 weights({4096, 4096, group, bytes});
        std::string label = group == 4096 ? "4096 x 4096, per channel"
                                          : test::Text("4096 x 4096, group %lld%s", (long long)group, bytes == 2 ? ", 16 bits" : "");
        for (int64_t m : {1, 4, 16, 64, 256}) {
            if (Wanted(m)) {
                Line(weights, m, label.c_str());
            }
        }
    }
}

void Shapes() {
    struct Shape {
        const char* label;
        int64_t n, k;
    };
    for (Shape s : {Shape{"Lite q_a 1536 x 3072", 1536, 3072},
                    {"Lite o 3072 x 4096", 3072, 4096},
                    {"Lite gate 6144 x 3072", 6144, 3072},
                    {"Lite down 3072 x 6144", 3072, 6144},
                    {"Lite expert 1024 x 3072", 1024, 3072},
                    {"Lite expert 3072 x 1024", 3072, 1024},
                    {"Llama 1.1B q 2048 x 2048", 2048, 2048},
                    {"Llama 1.1B k 256 x 2048", 256, 2048},
                    {"Llama 1.1B up 5632 x 2048", 5632, 2048},
                    {"Llama 1.1B down 2048 x 5632", 2048, 5632},
                    {"Qwen3 0.6B q 2048 x 1024", 2048, 1024},
                    {"Qwen3 0.6B o 1024 x 2048", 1024, 2048},
                    {"Qwen3 0.6B up 3072 x 1024", 3072, 1024},
                    {"Qwen3 0.6B down 1024 x 3072", 1024, 3072}}) {
        Weights4 weights({s.n, s.k, 128, 1});
        for (int64_t m : {1, 4, 8, 16, 64, 256}) {
            if (Wanted(m)) {
                Line(weights, m, s.label);
            }
        }
    }
}

// One thread and two, alternating, by the wall: on a busy machine the second thread has no core of its own.
void TwoThreads() {
    Weights4 weights({4096, 4096, 128, 1});
    bench::Pool pool(2, 0);
    for (int64_t m : {1, 2, 3, 4, 8, 16, 64, 256, 512}) {
        if (!Wanted(m)) {
            continue;
        }
        Run one(weights, m, {}), two(weights, m, pool.parallel());
        double first = 1e9, second = 1e9;
        for (int i = 0; i < 4; i++) {
            first = std::min(first, one.Time(seconds / 4, true));
            second = std::min(second, two.Time(seconds / 4, true));
        }
        std::printf("two threads                  M %4lld %10.1f us, one %10.1f us: %.2f x\n", (long long)m, second * 1e6, first * 1e6,
                    first / second);
        std::fflush(stdout);
    }
}

}  // namespace

int main(int count, char** arguments) {
    std::string only;
    int core = 1;
    for (int i = 1; i < count; i++) {
        std::string name = arguments[i];
        if (name == "--small-pages") {
            small_pages = true;
            continue;
        }
        if (i + 1 == count) {
            std::printf("%s needs a value\n", arguments[i]);
            return 2;
        }
        const char* value = arguments[++i];
        if (name == "--seconds") {
            seconds = std::atof(value);
        } else if (name == "--only") {
            only = value;
        } else if (name == "--m") {
            only_m = std::atoll(value);
        } else if (name == "--core") {
            core = std::atoi(value);
        } else {
            std::printf("unknown option %s\n", name.c_str());
            return 2;
        }
    }
    if (!__builtin_cpu_supports("avx512vnni")) {
        std::printf("this processor lacks AVX-512 VNNI, whose peak this program compares with\n");
        return 1;
    }
    bench::Pin(core);
    if (only.empty() || only == "square") {
        Square();
    }
    if (only.empty() || only == "groups") {
        Groups();
    }
    if (only.empty() || only == "shapes") {
        Shapes();
    }
    if (only.empty() || only == "threads") {
        TwoThreads();
    }
    return 0;
}
