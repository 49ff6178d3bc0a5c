// The dot products of bfloat16 and what surrounds them (cpu/simd/pairs_avx512.h) against the same in plain numbers. Compiled for the path
// whose header it is; run where the processor has it.
#include "../cpu/simd/avx512.h"
#include "../cpu/simd/pairs_avx512.h"
#include "../cpu/common/numbers.h"
#include "harness.h"

using namespace longcat;
using namespace longcat::test;

namespace {

constexpr int kLanes = Pairs::kLanes;

float First(uint32_t word) { return WidenBFloat16(static_cast<uint16_t>(word)); }
float Second(uint32_t word) { return WidenBFloat16(static_cast<uint16_t>(word >> 16)); }
uint32_t Word(float first, float second) { return NarrowToBFloat16(first) | static_cast<uint32_t>(NarrowToBFloat16(second)) << 16; }

std::vector<uint32_t> Of(Pairs::Words words) {
    std::vector<uint32_t> result(kLanes);
    Pairs::Store(result.data(), words);
    return result;
}
std::vector<float> Of(Simd::Vector vector) {
    std::vector<float> result(kLanes);
    Simd::Store(result.data(), vector);
    return result;
}
std::vector<uint16_t> Numbers(Random& random, int64_t count) {
    std::vector<uint16_t> result;
    for (float x : random.Floats(count)) {
        result.push_back(NarrowToBFloat16(x));
    }
    return result;
}

void Products() {
    Random random(91);
    for (int round = 0; round < 200; round++) {
        std::vector<uint32_t> a(kLanes), b(kLanes);
        std::vector<float> c = random.Floats(kLanes);
        for (int i = 0; i < kLanes; i++) {
            a[i] = Word(random.Unit(), random.Unit()), b[i] = Word(random.Unit(), random.Unit());
        }
        std::vector<float> got = Of(Pairs::MultiplyAdd(Pairs::Load(a.data()), Pairs::Load(b.data()), Simd::Load(c.data())));
        for (int i = 0; i < kLanes; i++) {
            double want = static_cast<double>(First(a[i])) * First(b[i]) + static_cast<double>(Second(a[i])) * Second(b[i]) + c[i];
            EXPECT(std::fabs(got[i] - want) <= 3 * 0x1p-24, "lane %d: %.9g, expected %.9g", i, static_cast<double>(got[i]), want);
        }
        // A number whose partner is masked does not count, whatever the partner is.
        for (uint32_t& word : a) {
            word = (word & 0x0000ffffu) | 0x7fc00000u;
        }
        got = Of(Pairs::MultiplyAdd(Pairs::OnlyFirst(Pairs::Load(a.data())), Pairs::Load(b.data()), Simd::Zero()));
        for (int i = 0; i < kLanes; i++) {
            EXPECT(got[i] == First(a[i]) * First(b[i]), "lane %d: the first alone", i);
            a[i] = a[i] << 16 | 0x7fc0u;
        }
        got = Of(Pairs::MultiplyAdd(Pairs::OnlySecond(Pairs::Load(a.data())), Pairs::Load(b.data()), Simd::Zero()));
        for (int i = 0; i < kLanes; i++) {
            EXPECT(got[i] == Second(a[i]) * Second(b[i]), "lane %d: the second alone", i);
        }
    }
}

void Moves() {
    Random random(92);
    std::vector<float> x = random.Floats(64);
    x[3] = NAN, x[5] = INFINITY, x[7] = -0.0f, x[9] = 1 + 0x1p-8f, x[11] = 1 + 3 * 0x1p-8f, x[13] = 3e38f * 1.13f;
    std::vector<uint32_t> row = Of(Pairs::Round(x.data())), packed = Of(Pairs::Pack(Simd::Load(x.data()), Simd::Load(x.data() + 16)));
    for (int i = 0; i < kLanes; i++) {
        EXPECT(row[i] == Word(x[2 * i], x[2 * i + 1]), "Round, lane %d: %08x", i, row[i]);
        EXPECT(packed[i] == Word(x[i], x[i + 16]), "Pack, lane %d: %08x", i, packed[i]);
    }
    std::vector<uint32_t> fours = Of(Pairs::PackFours(Simd::Load(x.data() + 16), Simd::Load(x.data() + 32)));
    for (int i = 0; i < kLanes; i++) {  // pair i / 4 of row i % 4
        const float* pair = x.data() + 16 + i / 4 * 8 + i % 4;
        EXPECT(fours[i] == Word(pair[0], pair[4]), "PackFours, lane %d: %08x", i, fours[i]);
    }
    std::vector<uint16_t> a = Numbers(random, 32), b = Numbers(random, 32);
    for (int64_t count = 0; count <= 32; count++) {
        std::vector<uint16_t> few(a.begin(), a.begin() + count);  // not a byte more: a sanitizer sees what goes beyond
        std::vector<float> rounded(x.begin() + 16, x.begin() + 16 + count);
        std::vector<uint32_t> got = Of(Pairs::LoadNumbers(few.data(), count)), round = Of(Pairs::Round(rounded.data(), count));
        for (int64_t i = 0; i < 32; i++) {
            EXPECT(static_cast<uint16_t>(got[i / 2] >> i % 2 * 16) == (i < count ? a[i] : 0), "%d numbers, number %d", (int)count, (int)i);
            EXPECT(static_cast<uint16_t>(round[i / 2] >> i % 2 * 16) == (i < count ? NarrowToBFloat16(x[16 + i]) : 0),
                   "%d rounded numbers, number %d", (int)count, (int)i);
        }
    }
    Pairs::Words first = Pairs::LoadNumbers(a.data()), second = Pairs::LoadNumbers(b.data());
    std::vector<uint32_t> low = Of(Pairs::InterleaveLow(first, second)), high = Of(Pairs::InterleaveHigh(first, second));
    for (int i = 0; i < 32; i++) {
        uint32_t word = i < 16 ? low[i] : high[i - 16];
        EXPECT(word == (a[i] | static_cast<uint32_t>(b[i]) << 16), "Interleave, column %d: %08x", i, word);
    }
    std::vector<uint16_t> rows = Numbers(random, 3 * 11 + 8);  // four rows of four words, 11 numbers apart
    std::vector<uint32_t> loaded = Of(Pairs::LoadFours(rows.data(), 22)), spread = Of(Pairs::Spread<2>(Pairs::LoadFours(rows.data(), 22)));
    for (int i = 0; i < kLanes; i++) {
        auto word = [&](int at) { return rows[i / 4 * 11 + 2 * at] | static_cast<uint32_t>(rows[i / 4 * 11 + 2 * at + 1]) << 16; };
        EXPECT(loaded[i] == word(i % 4) && spread[i] == word(2), "LoadFours, lane %d", i);
    }
    EXPECT(Of(Pairs::AllAt(rows.data() + 1))[kLanes - 1] == (rows[1] | static_cast<uint32_t>(rows[2]) << 16), "AllAt");
}

void Exponentials() {
    double most = 0;
    auto at = [](float x) { return static_cast<double>(Of(Pairs::Exp2(Simd::All(x)))[0]); };
    for (float x = 0; x > -125; x -= 0.001953f) {
        double want = std::exp2(static_cast<double>(x));
        most = std::max(most, std::fabs(at(x) - want) / want);
    }
    EXPECT(most < 3.1e-6, "2^x is off by %.3g", most);
    EXPECT(at(0) == 1 && at(-1) == 0.5 && at(-40) == 0x1p-40, "powers of two are exact");
    EXPECT(at(-INFINITY) == 0 && at(-3e38f) == 0 && at(-1000) == 0, "what is far below is 0");
    EXPECT(std::isnan(at(NAN)), "NaN stays NaN");
    std::printf("2^x within %.3g\n", most);
}

// Not in main, which runs on every processor.
__attribute__((noinline)) int Run() {
    Products();
    Moves();
    Exponentials();
    return Report();
}

}  // namespace

int main() {
    if (!IsSupported(CpuPath::kAvx512Bf16)) {
        std::printf("skipped: this processor lacks %s\n", Name(CpuPath::kAvx512Bf16));
        return 0;
    }
    return Run();
}
