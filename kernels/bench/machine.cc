// liblongcat_machine: the yardsticks and the bare kernel for benchmarks in other languages, so that all figures come from one process.
// Built beside the benchmarks, never shipped.
//
//   double longcat_peak_vnni(double seconds)         P in GOP/s of the calling thread: pin it, and measure beside what it is compared with
//   double longcat_peak_pairs(double seconds)        the same of dot products of bfloat16 in GFLOP/s; 0 where the processor has none
//   double longcat_read_bandwidth(double seconds)    B in GB/s of the calling thread, over 300 MB in pages of 2 MB
//   int64_t longcat_w4a8_packed_bytes(n, k, group, group_scale_bytes)
//   int64_t longcat_w4a8_workspace_bytes(m, n, k, group, group_scale_bytes)
//   int32_t longcat_w4a8_matmul(m, n, k, group, group_scale_bytes, x, weights, scale, y, workspace, threads)
//       W4A8MatMul of float rows by the best path of this processor; workspace aligned to 64 bytes; threads beyond the first are made at
//       the first call with that number and then wait without sleeping. 0, or the status code of an error.
//   void longcat_w4a8_release_threads()              ends them
#include "machine.h"

#include <memory>

#include "longcat/w4a8_matmul.h"
#include "pool.h"

using namespace longcat;

namespace {

constexpr int64_t kDistinct = 300'000'000;

std::unique_ptr<bench::Pool> pool;
int pool_threads = 0;

W4A8MatMulArguments Arguments(int64_t m, int64_t n, int64_t k, int64_t group, int32_t group_scale_bytes) {
    W4A8MatMulArguments arguments;
    arguments.m = m, arguments.layout = {n, k, group, group_scale_bytes};
    return arguments;
}

}  // namespace

extern "C" {

#define LONGCAT_EXPORT __attribute__((visibility("default")))

LONGCAT_EXPORT double longcat_peak_vnni(double seconds) {
    return __builtin_cpu_supports("avx512vnni") ? bench::PeakVnni(seconds) / 1e9 : 0;
}

LONGCAT_EXPORT double longcat_peak_pairs(double seconds) { return bench::PeakPairs(seconds) / 1e9; }

LONGCAT_EXPORT double longcat_read_bandwidth(double seconds) {
    bench::Buffer buffer(kDistinct);
    std::memset(buffer.data(), 1, kDistinct);
    return __builtin_cpu_supports("avx512f") ? bench::ReadBandwidth(buffer.data(), kDistinct, seconds) / 1e9 : 0;
}

LONGCAT_EXPORT int64_t longcat_w4a8_packed_bytes(int64_t n, int64_t k, int64_t group, int32_t group_scale_bytes) {
    return W4A8PackedBytes({n, k, group, group_scale_bytes});
}

LONGCAT_EXPORT int64_t longcat_w4a8_workspace_bytes(int64_t m, int64_t n, int64_t k, int64_t group, int32_t group_scale_bytes) {
    return static_cast<int64_t>(W4A8MatMulWorkspace(Arguments(m, n, k, group, group_scale_bytes)));
}

LONGCAT_EXPORT int32_t longcat_w4a8_matmul(int64_t m, int64_t n, int64_t k, int64_t group, int32_t group_scale_bytes, const float* x,
                                           const uint8_t* weights, const float* scale, float* y, void* workspace, int32_t threads) {
    if (threads > 1 && threads != pool_threads) {
        pool = std::make_unique<bench::Pool>(threads);
        pool_threads = threads;
    }
    W4A8MatMulArguments arguments = Arguments(m, n, k, group, group_scale_bytes);
    arguments.x = x, arguments.weights = weights, arguments.scale = scale, arguments.y = y;
    return static_cast<int32_t>(W4A8MatMul(BestCpuPath(), arguments, workspace, threads > 1 ? pool->parallel() : ParallelFor{}).code);
}

LONGCAT_EXPORT void longcat_w4a8_release_threads() {
    pool.reset();
    pool_threads = 0;
}

}  // extern "C"
