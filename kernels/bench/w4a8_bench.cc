// W4A8MatMul against what one core can do: the read bandwidth B over its own buffer and the peak P of vpdpbusd, both measured here.
//   longcat_w4a8_bench [--n N] [--k K] [--group G] [--seconds S] [--m M]
// One thread (pin it: taskset -c 1). Weights come in turn from 300 MB of distinct matrices. Processor time, best of what fits S seconds.
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "../tests/harness.h"
#include "longcat/w4a8_matmul.h"

using namespace longcat;

namespace {

double Clock() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double seconds = 0.5;

template <class Run>
double Best(const Run& run) {
    double best = 1e9, until = Clock() + seconds;
    run();
    do {
        double start = Clock();
        run();
        best = std::min(best, Clock() - start);
    } while (Clock() < until);
    return best;
}

__attribute__((target("avx512f,avx512vnni"))) void Dots(int64_t steps) {
    __m512i a = _mm512_set1_epi8(1), s[12];
    for (__m512i& sum : s) {
        sum = a;
    }
    for (int64_t i = 0; i < steps; i++) {
        for (__m512i& sum : s) {
            asm volatile("vpdpbusd %1, %1, %0" : "+v"(sum) : "v"(a));
        }
    }
    asm volatile("" ::"v"(s[0]), "v"(s[5]), "v"(s[11]));
}

__attribute__((target("avx512f"))) void Read(const uint8_t* from, int64_t bytes) {
    __m512i sum[4] = {};
    for (int64_t i = 0; i < bytes; i += 256) {
        for (int j = 0; j < 4; j++) {
            sum[j] = _mm512_xor_si512(sum[j], _mm512_loadu_si512(from + i + 64 * j));
        }
    }
    asm volatile("" ::"v"(sum[0]), "v"(sum[1]), "v"(sum[2]), "v"(sum[3]));
}

}  // namespace

int main(int count, char** arguments) {
    int64_t n = 4096, k = 4096, group = 128, only = 0;
    for (int i = 1; i + 1 < count; i += 2) {
        std::string name = arguments[i];
        double value = std::atof(arguments[i + 1]);
        if (name == "--n") {
            n = static_cast<int64_t>(value);
        } else if (name == "--k") {
            k = static_cast<int64_t>(value);
        } else if (name == "--group") {
            group = static_cast<int64_t>(value);
        } else if (name == "--seconds") {
            seconds = value;
        } else if (name == "--m") {
            only = static_cast<int64_t>(value);
        } else {
            std::printf("unknown option %s\n", arguments[i]);
            return 2;
        }
    }
    W4A8Layout layout{n, k, group, 1};
    int64_t one = W4A8PackedBytes(layout), matrices = std::max<int64_t>(1, 300'000'000 / one), total = one * matrices / 256 * 256;
    std::vector<uint8_t> storage(static_cast<size_t>(one * matrices) + 64);
    uint8_t* weights = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) / 64 * 64);
    test::Random random(1);
    for (int64_t i = 0; i + 8 <= one * matrices; i += 8) {
        uint64_t value = random.Next();
        std::memcpy(weights + i, &value, 8);
    }
    double bandwidth = static_cast<double>(total) / Best([&] { Read(weights, total); }) / 1e9;
    constexpr int64_t kSteps = 1'000'000;
    double peak = 128.0 * 12 * kSteps / Best([] { Dots(kSteps); }) / 1e9;
    std::printf("N %lld, K %lld, group %lld, %lld matrices of %.2f MB: B = %.1f GB/s, P = %.1f GOP/s\n", (long long)n, (long long)k,
                (long long)group, (long long)matrices, static_cast<double>(one) / 1e6, bandwidth, peak);
    std::vector<float> scale(static_cast<size_t>(n), 0.01f);
    for (int64_t m : {1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64, 128, 256, 512}) {
        if (only != 0 && m != only) {
            continue;
        }
        std::vector<float> x = random.Floats(m * k), y(static_cast<size_t>(m * n));
        W4A8MatMulArguments p;
        p.m = m, p.layout = layout, p.x = x.data(), p.scale = scale.data(), p.y = y.data();
        std::vector<double> workspace(W4A8MatMulWorkspace(p) / 8 + 16);
        void* scratch = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
        int64_t at = 0;
        double time = Best([&] {
            p.weights = weights + at * one;
            at = (at + 1) % matrices;
            (void)W4A8MatMul(CpuPath::kAvx512, p, scratch, {});
        });
        double rate = static_cast<double>(one) / time / 1e9, operations = 2.0 * static_cast<double>(m * n * k) / time / 1e9;
        std::printf("M %4lld  %9.1f us  %6.1f GB/s (%.2f B)  %6.1f GOP/s (%.3f P)\n", (long long)m, time * 1e6, rate, rate / bandwidth,
                    operations, operations / peak);
    }
    return 0;
}
