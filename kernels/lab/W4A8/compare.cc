// Two or more versions of W4A8MatMul in one process, in turns, on a machine that others use too: the median share of the peak, which is
// measured right before and after each run, and the share that a tenth of the runs pass. A difference of a half percent shows.
//
//   g++ -std=c++20 -O3 -Ikernels/include kernels/lab/W4A8/compare.cc -o /tmp/compare -ldl -pthread
//   /tmp/compare CORE N K GROUP M,M,… SECONDS old/liblongcat_machine.so new/liblongcat_machine.so …
//
// The libraries are kernels/bench/machine.cc, each built from its version (target longcat_machine).
#include <dlfcn.h>

#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "../../bench/machine.h"
#include "../../bench/pool.h"

using namespace longcat;

namespace {

double Now() { return bench::Seconds(CLOCK_THREAD_CPUTIME_ID); }

// Seconds that one vpdpbusd takes now; reading the clock takes `clock`.
double Dot(double clock) {
    double best = 1;
    for (int i = 0; i < 2; i++) {
        double start = Now();
        bench::Dots(8000);
        best = std::min(best, (Now() - start - clock) / (8000 * 12));
    }
    return best;
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 8) {
        std::printf("expected: core n k group m,m,... seconds library...\n");
        return 2;
    }
    bench::Pin(std::atoi(arguments[1]));
    const int64_t n = std::atoll(arguments[2]), k = std::atoll(arguments[3]), group = std::atoll(arguments[4]);
    const double seconds = std::atof(arguments[6]);
    using Bytes = int64_t (*)(int64_t, int64_t, int64_t, int32_t);
    using Workspace = int64_t (*)(int64_t, int64_t, int64_t, int64_t, int32_t);
    using Product =
        int32_t (*)(int64_t, int64_t, int64_t, int64_t, int32_t, const float*, const uint8_t*, const float*, float*, void*, int32_t);
    Bytes bytes = nullptr;
    Workspace workspace = nullptr;
    std::vector<Product> products;
    for (int i = 7; i < count; i++) {
        void* library = dlmopen(LM_ID_NEWLM, arguments[i], RTLD_NOW | RTLD_LOCAL);  // the same names in each
        if (library == nullptr) {
            std::printf("%s\n", dlerror());
            return 1;
        }
        bytes = reinterpret_cast<Bytes>(dlsym(library, "longcat_w4a8_packed_bytes"));
        workspace = reinterpret_cast<Workspace>(dlsym(library, "longcat_w4a8_workspace_bytes"));
        products.push_back(reinterpret_cast<Product>(dlsym(library, "longcat_w4a8_matmul")));
    }
    double clock = 1;
    for (int i = 0; i < 10000; i++) {
        double start = Now();
        clock = std::min(clock, Now() - start);
    }
    const int64_t one = (bytes(n, k, group, 1) + 63) / 64 * 64, matrices = (300'000'000 + one - 1) / one;
    bench::Buffer weights(one * matrices);
    uint64_t state = 88172645463325252ull;
    auto random = [&] { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; };
    for (int64_t i = 0; i + 8 <= one * matrices; i += 8) {
        uint64_t value = random();
        std::memcpy(weights.data() + i, &value, 8);
    }
    std::vector<float> scale(static_cast<size_t>(n), 0.01f);
    int64_t at = 0;
    std::stringstream rows(arguments[5]);
    for (std::string text; std::getline(rows, text, ',');) {
        const int64_t m = std::atoll(text.c_str());
        bench::Buffer x(m * k * 4), y(m * n * 4), memory(workspace(m, n, k, group, 1) * 2 + 64);  // a version may want more than another
        for (int64_t i = 0; i < m * k; i++) {
            reinterpret_cast<float*>(x.data())[i] = static_cast<float>(static_cast<int32_t>(random())) * 1e-9f;
        }
        const double dots = static_cast<double>(m * n * k) / 64;
        const int64_t batch = std::clamp<int64_t>(static_cast<int64_t>(1e-3 / (dots * Dot(clock))), 1, matrices);
        std::vector<std::vector<double>> shares(products.size());
        double before = Dot(clock), until = Now() + seconds * static_cast<double>(products.size());
        while (Now() < until) {
            for (size_t i = 0; i < products.size(); i++) {
                double start = Now();
                for (int64_t b = 0; b < batch; b++, at = (at + 1) % matrices) {
                    products[i](m, n, k, group, 1, reinterpret_cast<float*>(x.data()), weights.data() + at * one, scale.data(),
                                reinterpret_cast<float*>(y.data()), memory.data(), 1);
                }
                double time = (Now() - start - clock) / (static_cast<double>(batch) * dots), after = Dot(clock);
                shares[i].push_back(std::min(before, after) / time);
                before = after;
            }
        }
        std::printf("%lld x %lld, M %4lld:", static_cast<long long>(n), static_cast<long long>(k), static_cast<long long>(m));
        for (std::vector<double>& share : shares) {
            std::sort(share.begin(), share.end());
            std::printf("  %.3f P (%.3f)", share[share.size() / 2], share[share.size() * 9 / 10]);
        }
        std::printf("  %zu runs\n", shares[0].size());
        std::fflush(stdout);
    }
    return 0;
}
