// What the kernels take on the GPU at hand, beside what it could do at best and what others take: ./run gpu bench [--quick] [--only NAME].
#include <cstring>

#include "attention_cases.h"
#include "indexer_cases.h"
#include "mixture_cases.h"
#include "timing.h"
#include "w4a8_cases.h"

using namespace longcat::cuda;
using namespace longcat::cuda::bench;

namespace {

Ceilings Measure(const Execution& execution, const Cublas& cublas) {
    Ceilings ceilings;
    constexpr size_t kBytes = size_t{1} << 30;
    Array<uint8_t> from(kBytes), to(kBytes);
    double copy = Microseconds(execution, 2, [&](int) {
        Need(cudaMemcpyAsync(to.get(), from.get(), kBytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(execution.stream)), "a copy");
    });
    ceilings.bytes_per_second = 2.0 * kBytes / copy * 1e6;
    std::printf("bandwidth of a copy, read and written: %.0f GB/s\n", ceilings.bytes_per_second / 1e9);
    if (cublas.ready()) {
        // Numbers of about 2^-7 that differ: zeros take less power and are faster.
        constexpr int kSize = 8192;
        std::vector<uint8_t> numbers(size_t{kSize} * kSize * 2);
        uint64_t state = 88172645463325252u;
        for (size_t i = 0; i < numbers.size(); i += 8) {
            uint64_t word = (NextWord(state) & 0x807f807f807f807fu) | 0x3c003c003c003c00u;
            std::memcpy(&numbers[i], &word, 8);
        }
        Array<uint8_t> a(numbers), b(numbers), c(numbers.size());
        double product = Microseconds(execution, 2, [&](int) { cublas.BFloat16(kSize, kSize, kSize, a.get(), b.get(), c.get()); });
        ceilings.operations_per_second = 2.0 * kSize * kSize * kSize / product * 1e6;
        std::printf("cuBLAS bfloat16, %d^3: %.0f TFLOP/s\n", kSize, ceilings.operations_per_second / 1e12);
    }
    return ceilings;
}

}  // namespace

int main(int count, char** arguments) {
    bool quick = false;
    std::string only;
    for (int i = 1; i < count; i++) {
        if (std::strcmp(arguments[i], "--quick") == 0) {
            quick = true;
        } else if (std::strcmp(arguments[i], "--only") == 0 && i + 1 < count) {
            only = arguments[++i];
        } else {
            std::fprintf(stderr, "usage: cuda_bench [--quick] [--only w4a8|attention|indexer|mixture]\n");
            return 2;
        }
    }
    Execution execution = longcat::cuda::test::TestExecution();
    Cublas cublas(execution);
    Ceilings ceilings = Measure(execution, cublas);
    bool right = true;
    if (only.empty() || only == "w4a8") {
        right = W4A8Cases(execution, cublas, ceilings, quick) && right;
    }
    if (only.empty() || only == "attention") {
        right = AttentionCases(execution, ceilings, quick) && right;
    }
    if (only.empty() || only == "indexer") {
        right = IndexerCases(execution, ceilings, quick) && right;
    }
    if (only.empty() || only == "mixture") {
        right = MixtureCases(execution, cublas, ceilings, quick) && right;
    }
    std::printf(right ? "every sampled output is right\n" : "OUTPUTS ARE WRONG\n");
    return right ? 0 : 1;
}
