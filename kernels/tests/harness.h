// What the tests of the kernels share: a fixed random generator, tensors of both weight types, threads, comparison with figures.
#pragma once

#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/weights.h"

namespace longcat::test {

inline int failures = 0;

#define EXPECT(condition, ...)                                               \
    do {                                                                     \
        if (!(condition)) {                                                  \
            longcat::test::failures++;                                       \
            std::printf("%s:%d: %s: ", __FILE_NAME__, __LINE__, #condition); \
            std::printf(__VA_ARGS__);                                        \
            std::printf("\n");                                               \
        }                                                                    \
    } while (false)

#define EXPECT_ERROR(status, part) \
    EXPECT(!(status).ok() && std::strstr((status).message, part) != nullptr, "got '%s', expected '%s'", (status).message, part)

// xorshift64*, so that every run sees the same numbers.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
    uint64_t Next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1Dull;
    }
    int64_t Below(int64_t bound) { return static_cast<int64_t>(Next() % static_cast<uint64_t>(bound)); }
    int64_t Between(int64_t low, int64_t high) { return low + Below(high - low + 1); }
    float Unit() { return static_cast<float>(static_cast<double>(Next() >> 11) * 0x1p-52 - 1); }  // -1..1
    std::vector<float> Floats(int64_t count, float scale = 1) {
        std::vector<float> values(static_cast<size_t>(count));
        for (float& value : values) {
            value = Unit() * scale;
        }
        return values;
    }

  private:
    uint64_t state_;
};

// Scratch memory of a kernel: 64-byte aligned, exactly as long as asked for, so that a sanitizer sees what goes beyond.
class Workspace {
  public:
    explicit Workspace(size_t bytes) : memory_(bytes == 0 ? nullptr : ::operator new (bytes, std::align_val_t{64})) {
        if (bytes > 0) {
            std::memset(memory_, 0xff, bytes);  // NaN, -1: what is read before it is written shows
        }
    }
    Workspace(const Workspace&) = delete;
    ~Workspace() {
        if (memory_ != nullptr) {
            ::operator delete (memory_, std::align_val_t{64});
        }
    }
    void* get() const { return memory_; }

  private:
    void* memory_;
};

// Weights that own their memory.
class Tensor {
  public:
    Tensor(WeightType type, const std::vector<float>& values) : type_(type), floats_(values) {
        halves_.reserve(values.size());  // not a byte more: a sanitizer sees what goes beyond
        for (float value : values) {
            uint32_t bits;
            std::memcpy(&bits, &value, 4);
            halves_.push_back(static_cast<uint16_t>(bits >> 16));
        }
    }
    Weights weights(WeightLayout layout = WeightLayout::kRows) const {
        return {type_ == WeightType::kFloat32 ? static_cast<const void*>(floats_.data()) : static_cast<const void*>(halves_.data()), type_,
                layout};
    }

  private:
    WeightType type_;
    std::vector<float> floats_;
    std::vector<uint16_t> halves_;
};

// A row-major [n, k] in the order of WeightLayout::kPanels; what the layout leaves empty is `padding`.
inline std::vector<float> InPanels(WeightType type, const std::vector<float>& rows, int64_t n, int64_t k, float padding = 0) {
    int64_t panel = PanelElements(type, k), together = type == WeightType::kFloat32 ? 1 : 2;
    std::vector<float> panels(static_cast<size_t>((n + kPanelOutputs - 1) / kPanelOutputs * panel), padding);
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < k; i++) {
            int64_t at = j / kPanelOutputs * panel + i / together * kPanelOutputs * together + j % kPanelOutputs * together + i % together;
            panels[static_cast<size_t>(at)] = rows[static_cast<size_t>(j * k + i)];
        }
    }
    return panels;
}

// Rows of `width` 8-bit integers and the scale behind each, as an n-gram table has them; their floats are integer · scale.
inline std::vector<uint8_t> ScaledRows(Random& random, int64_t rows, int64_t width) {
    std::vector<uint8_t> bytes(static_cast<size_t>(rows * (width + 4)));
    for (int64_t row = 0; row < rows; row++) {
        uint8_t* to = bytes.data() + row * (width + 4);
        for (int64_t i = 0; i < width; i++) {
            to[i] = static_cast<uint8_t>(random.Between(-127, 127));
        }
        float scale = random.Unit() / 127;
        std::memcpy(to + width, &scale, sizeof(scale));
    }
    return bytes;
}

inline const char* Name(WeightLayout layout) { return layout == WeightLayout::kRows ? "rows" : "panels"; }
inline const char* Name(WeightType type) { return type == WeightType::kFloat32 ? "float32" : "bfloat16"; }

// A fixed number of threads; tasks are dealt out in an order of their own, to show that none matters.
class Threads {
  public:
    explicit Threads(int count) : count_(count) {}
    ParallelFor parallel() { return {Run, this}; }

  private:
    static void Run(void* state, size_t count, void (*task)(void*, size_t), void* argument) {
        size_t threads = static_cast<size_t>(static_cast<Threads*>(state)->count_);
        std::vector<std::thread> pool;
        for (size_t t = 0; t < threads; t++) {
            pool.emplace_back([=] {
                for (size_t i = t; i < count; i += threads) {
                    task(argument, count - 1 - i);
                }
            });
        }
        for (std::thread& thread : pool) {
            thread.join();
        }
    }
    int count_;
};

// |got - want| <= tolerance · (1 + |want|) everywhere; prints the largest difference of the worst call so far per label.
class Comparison {
  public:
    Comparison(const char* label, double tolerance, const char* why) : label_(label), why_(why), tolerance_(tolerance) {}
    ~Comparison() {
        std::printf("%-44s %8zu values, max difference %.3g, %.0f %% of the tolerance %.1g (%s)\n", label_.c_str(), values_, most_,
                    100 * share_, tolerance_, why_);
    }
    void Add(const std::vector<float>& got, const std::vector<float>& want, const std::string& what) {
        EXPECT(got.size() == want.size(), "%s: %zu and %zu values", what.c_str(), got.size(), want.size());
        values_ += got.size();
        for (size_t i = 0; i < got.size(); i++) {
            double difference = std::fabs(static_cast<double>(got[i]) - want[i]),
                   limit = tolerance_ * (1 + std::fabs(static_cast<double>(want[i])));
            most_ = difference > most_ ? difference : most_;
            share_ = difference / limit > share_ ? difference / limit : share_;
            if (!(difference <= limit)) {
                EXPECT(false, "%s %s: [%zu] is %.9g, expected %.9g", label_.c_str(), what.c_str(), i, got[i], want[i]);
                return;
            }
        }
    }

  private:
    std::string label_;
    const char* why_;
    double tolerance_, most_ = 0, share_ = 0;
    size_t values_ = 0;
};

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// The vectorised paths this processor has; LONGCAT_TEST_ONLY: that one.
inline std::vector<CpuPath> FastPaths() {
    std::vector<CpuPath> paths;
#if defined(LONGCAT_TEST_ONLY)
    for (CpuPath path : {CpuPath::LONGCAT_TEST_ONLY}) {
#else
    for (CpuPath path : {CpuPath::kAvx2, CpuPath::kAvxVnni, CpuPath::kAvx512, CpuPath::kAvx512Bf16, CpuPath::kNeon}) {
#endif
        if (IsSupported(path)) {
            paths.push_back(path);
        } else {
            std::printf("skipped: this processor lacks %s\n", Name(path));
        }
    }
    return paths;
}

// Whether a case of a long sweep is run: every one, under an emulator one of LONGCAT_TEST_EVERY (a prime, so that no loop of a sweep
// loses one of its values altogether).
inline int SweptEvery() {
    static const char* text = std::getenv("LONGCAT_TEST_EVERY");
    static const int every = text == nullptr || std::atoi(text) < 1 ? 1 : std::atoi(text);
    return every;
}
inline bool Swept() {
    static int number = 0;
    return number++ % SweptEvery() == 0;
}

inline std::string Text(const char* format, ...) __attribute__((format(printf, 1, 2)));
inline std::string Text(const char* format, ...) {
    char buffer[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    return buffer;
}

inline int Report() {
    std::printf(failures == 0 ? "OK\n" : "%d FAILED\n", failures);
    return failures == 0 ? 0 : 1;
}

}  // namespace longcat::test
