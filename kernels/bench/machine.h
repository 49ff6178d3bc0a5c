// What this machine can do at most, and how long something takes: the yardsticks of the benchmarks.
#pragma once

#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace longcat::bench {

inline double Seconds(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// The best of what fits `seconds` of this thread's processor time (of the wall with `wall`: work of several threads), at least `least`
// runs.
template <class Run>
double Best(double seconds, Run&& run, bool wall = false, int least = 3) {
    clockid_t clock = wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    double best = 1e9, until = Seconds(clock) + seconds;
    for (int i = 0; i < least || Seconds(clock) < until; i++) {
        double start = Seconds(clock);
        run();
        best = std::min(best, Seconds(clock) - start);
    }
    return best;
}

// Memory in pages of 2 MB where the system has them.
class Buffer {
  public:
    explicit Buffer(int64_t bytes) : bytes_(static_cast<size_t>(bytes) + kPage) {
        memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory_ == MAP_FAILED) {
            std::abort();
        }
        data_ = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(memory_) + kPage - 1) / kPage * kPage);
        madvise(data_, bytes_ - kPage, MADV_HUGEPAGE);
    }
    ~Buffer() { munmap(memory_, bytes_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    uint8_t* data() const { return data_; }

  private:
    static constexpr size_t kPage = 2 << 20;
    size_t bytes_;
    void* memory_;
    uint8_t* data_;
};

__attribute__((target("avx512f,avx512vnni"))) inline void Dots(int64_t steps) {
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

// P: operations per second of one core's vpdpbusd, twelve independent sums.
inline double PeakVnni(double seconds) {
    constexpr int64_t kSteps = 1'000'000;
    return 128.0 * 12 * kSteps / Best(seconds, [] { Dots(kSteps); });
}

__attribute__((target("avx512f,avx512bf16"))) inline void PairDots(int64_t steps) {
    __m512 s[12];
    __m512i a = _mm512_set1_epi32(0x3f803f80);
    for (__m512& sum : s) {
        sum = _mm512_setzero_ps();
    }
    for (int64_t i = 0; i < steps; i++) {
#pragma GCC unroll 12
        for (__m512& sum : s) {
            asm volatile("vdpbf16ps %1, %1, %0" : "+v"(sum) : "v"(a));
        }
    }
    asm volatile("" ::"v"(s[0]), "v"(s[5]), "v"(s[11]));
}

// Operations per second of one core's dot products of bfloat16, two for a multiplication and its addition; 0 where there are none.
inline double PeakPairs(double seconds) {
    constexpr int64_t kSteps = 1'000'000;
    return __builtin_cpu_supports("avx512bf16") ? 64.0 * 12 * kSteps / Best(seconds, [] { PairDots(kSteps); }) : 0;
}

template <int Streams>
__attribute__((target("avx512f"))) inline void Read(const uint8_t* from, int64_t bytes) {
    __m512i sum[4] = {};
    int64_t part = bytes / Streams / 256 * 256;
    for (int64_t i = 0; i < part; i += 256) {
        for (int64_t s = 0; s < Streams; s++) {
            for (int64_t j = 0; j < 4; j++) {
                sum[j] = _mm512_xor_si512(sum[j], _mm512_loadu_si512(from + s * part + i + 64 * j));
            }
        }
    }
    asm volatile("" ::"v"(sum[0]), "v"(sum[1]), "v"(sum[2]), "v"(sum[3]));
}

// B: bytes per second that one core reads from memory, the best of one, four and eight streams. bytes: far more than the caches hold.
inline double ReadBandwidth(const uint8_t* from, int64_t bytes, double seconds) {
    double best = std::min({Best(seconds / 3, [&] { Read<1>(from, bytes); }), Best(seconds / 3, [&] { Read<4>(from, bytes); }),
                            Best(seconds / 3, [&] { Read<8>(from, bytes); })});
    return static_cast<double>(bytes / 2048 * 2048) / best;
}

}  // namespace longcat::bench
