// The tiles of W4A8MatMul alone: rows that are interleaved already, one panel of 32 groups of 128 out of the second-level cache, nothing
// written. Shares of the peak, which is measured beside each run: the median.
//
//   g++ -std=c++20 -O3 -Ikernels/include -mavx512f kernels/lab/W4A8/tile.cc -o /tmp/tile && taskset -c 1 /tmp/tile
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "../../cpu/simd/ints_tile_vnni.h"
#include "../../cpu/simd/ints_wide_tile_vnni.h"

using namespace longcat;

namespace {

constexpr int64_t kGroups = 32, kSteps = 16, kBlocks = 4;

double Now() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Seconds of a 512-bit dot product.
double Dot() {
    constexpr long kCount = 50'000;
    long count = kCount;
    double start = Now();
    asm volatile("1:\n.irp i,0,1,2,3,4,5,6,7,8,9,10,11\n vpdpbusd %%zmm31, %%zmm30, %%zmm\\i\n.endr\ndec %0\njnz 1b"
                 : "+r"(count)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");
    return (Now() - start) / (kCount * 12);
}

template <class Run>
void Line(const char* name, int rows, Run&& run) {
    std::vector<double> shares;
    double before = Dot();
    for (int i = 0; i < 500; i++) {
        double start = Now();
        for (int block = 0; block < kBlocks; block++) {
            run(block);
        }
        double time = (Now() - start) / static_cast<double>(kBlocks * rows * kGroups * kSteps * 8), after = Dot();
        shares.push_back(std::min(before, after) / time);
        before = after;
    }
    std::sort(shares.begin(), shares.end());
    std::printf("%s, %d rows: %.3f P\n", name, rows, shares[shares.size() / 2]);
}

alignas(64) uint8_t weights[kGroups * (kSteps * 256 + 64)];
alignas(64) int32_t rows_of[kBlocks][8 * kGroups * (1 + 2 * kSteps)];
alignas(64) int32_t totals[8 * 64];

template <int R>
void Narrow() {
    Line("multiplying", R,
         [](int block) { TileVnni<R, 1, false>::Run(weights, nullptr, rows_of[block], kGroups, kSteps, kSteps, totals); });
}
template <int R>
void Wide() {
    Line("shifting", R, [](int block) { WideTileVnni<R, false>::Run(weights, weights, rows_of[block], kGroups, kSteps, kSteps, totals); });
}

}  // namespace

int main() {
    uint32_t state = 1;
    auto random = [&] { return state = state * 1664525 + 1013904223; };
    for (uint8_t& weight : weights) {
        weight = static_cast<uint8_t>(random() >> 24);
    }
    for (auto& block : rows_of) {
        for (int32_t& four : block) {
            four = static_cast<int32_t>(random());
        }
    }
    Narrow<4>(), Narrow<5>(), Narrow<6>(), Wide<5>(), Wide<6>(), Wide<7>(), Wide<8>();
    return 0;
}
