// LoraMatMul of the device against the CPU's reference.
#include "longcat/cuda/lora_matmul.h"

#include "../../tests/harness.h"
#include "device_memory.h"
#include "relative_error.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;

namespace {

struct Case {
    LoraMatMulArguments p;
    std::vector<float> x, base, a, b, gain, bias, residual;
    std::vector<int32_t> row_adapter, start{0};

    // ranks: of each adapter.
    Case(Random& random, int64_t m, int64_t n, int64_t k, const std::vector<int64_t>& ranks, bool mixed) {
        for (int64_t rank : ranks) {
            start.push_back(start.back() + static_cast<int32_t>(rank));
        }
        p.m = m, p.n = n, p.k = k, p.ranks = start.back(), p.adapters = static_cast<int64_t>(ranks.size());
        x = random.Floats(m * k), base = random.Floats(m * n), a = random.Floats(k * p.ranks), b = random.Floats(p.ranks * n);
        gain = random.Floats(p.adapters * n), bias = random.Floats(n), residual = random.Floats(m * n);
        for (int64_t i = 0; i < m; i++) {  // runs and changes
            row_adapter.push_back(i > 0 && random.Below(2) == 0 ? row_adapter.back() : static_cast<int32_t>(random.Below(p.adapters + 1) - 1));
        }
        if (mixed) {
            p.row_adapter = row_adapter.data(), p.adapter_start = start.data();
        }
    }
    Case(const Case&) = delete;
};

std::vector<float> Want(Case& c, bool all) {
    std::vector<float> y(c.base.size());
    LoraMatMulArguments p = c.p;
    p.x = c.x.data(), p.base = c.base.data(), p.a = c.a.data(), p.b = c.b.data(), p.y = y.data();
    if (all) {
        p.gain = c.gain.data(), p.bias = c.bias.data(), p.residual = c.residual.data();
    }
    Workspace workspace(LoraMatMulWorkspace(p));
    Status status = LoraMatMul(CpuPath::kReference, p, workspace.get(), {});
    EXPECT(status.ok(), "%s", status.message);
    return y;
}

std::vector<float> Got(const Execution& execution, Case& c, bool all, int32_t* fault_too = nullptr) {
    Array<float> x(c.x), base(c.base), a(c.a), b(c.b), gain(c.gain), bias(c.bias), residual(c.residual);
    Array<int32_t> row_adapter(c.row_adapter), start(c.start), fault(std::vector<int32_t>{0});
    LoraMatMulArguments p = c.p;
    p.x = x.get(), p.base = base.get(), p.a = a.get(), p.b = b.get(), p.y = base.get();  // in place
    p.row_adapter = c.p.row_adapter == nullptr ? nullptr : row_adapter.get(), p.adapter_start = c.p.adapter_start == nullptr ? nullptr : start.get();
    if (all) {
        p.gain = gain.get(), p.bias = bias.get(), p.residual = residual.get();
    }
    Array<uint8_t> workspace(LoraMatMulWorkspace(execution.device, p));
    Status status = LoraMatMul(execution, p, workspace.get(), fault.get());
    EXPECT(status.ok(), "%s", status.message);
    int32_t value = fault.Values()[0];
    if (fault_too != nullptr) {
        *fault_too = value;
    } else {
        EXPECT(value == 0, "fault %d", value);
    }
    return base.Values();
}

cuda::test::RelativeError outputs("LoraMatMul", 2e-6, 2e-5, "float32 sums over k and the ranks");

void Shapes(const Execution& execution) {
    Random random(101);
    for (int64_t m : {1, 7, 8, 23}) {
        for (auto [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {300, 130}, {256, 1000}, {513, 64}, {20, 0}}) {
            for (const std::vector<int64_t>& ranks : {std::vector<int64_t>{8}, {0}, {16, 4}, {3, 0, 40, 64, 1}, {70}}) {
                for (bool all : {false, true}) {
                    if (!Swept()) {
                        continue;
                    }
                    Case c(random, m, n, k, ranks, ranks.size() > 1 || random.Below(2) == 0);
                    outputs.Add(Got(execution, c, all), Want(c, all), Text("m %d, n %d, k %d, %d adapters, %d ranks", (int)m, (int)n, (int)k, (int)ranks.size(), (int)c.p.ranks));
                }
            }
        }
    }
}

// A row gives the same bits alone; one without an adapter gives ((base + bias) + residual).
void Rows(const Execution& execution) {
    Random random(102);
    Case c(random, 19, 300, 200, {8, 20, 3}, true);
    c.row_adapter[3] = -1;
    std::vector<float> whole = Got(execution, c, true);
    cuda::test::InEveryOrder([&](int order) { EXPECT(SameBits(whole, Got(execution, c, true)), "order %d", order); });
    for (int64_t i : {0, 3, 11, 18}) {
        Case one(random, 1, 300, 200, {8, 20, 3}, true);
        auto row = [&](const std::vector<float>& from, int64_t width) { return std::vector<float>(from.begin() + i * width, from.begin() + (i + 1) * width); };
        one.x = row(c.x, 200), one.base = row(c.base, 300), one.residual = row(c.residual, 300), one.a = c.a, one.b = c.b, one.gain = c.gain, one.bias = c.bias;
        one.row_adapter = {c.row_adapter[static_cast<size_t>(i)]};
        EXPECT(SameBits(row(whole, 300), Got(execution, one, true)), "row %d alone", (int)i);
    }
    for (size_t j = 0; j < 300; j++) {
        float want = (c.base[900 + j] + c.bias[j]) + c.residual[900 + j];
        EXPECT(std::memcmp(&want, &whole[900 + j], 4) == 0, "a row without an adapter: %g, expected %g", whole[900 + j], want);
    }
    int32_t fault = 0;
    c.row_adapter[5] = 3;
    Got(execution, c, true, &fault);
    EXPECT(fault == 1, "adapter 3 of 3 was not noticed");
    c.row_adapter[5] = 2, c.start[3] = 1000;
    Got(execution, c, true, &fault);
    EXPECT(fault == 1, "a start behind the ranks was not noticed");
}

void Errors(const Execution& execution) {
    static float number[16] = {};
    auto expect = [&](auto&& change, const char* part) {
        LoraMatMulArguments p;
        p.m = p.n = p.k = p.ranks = 2, p.x = p.base = p.a = p.b = number, p.y = number;
        change(p);
        EXPECT_ERROR(LoraMatMul(execution, p, nullptr, nullptr), part);
    };
    expect([](LoraMatMulArguments& p) { p.m = -1; }, "sizes m -1");
    expect([](LoraMatMulArguments& p) { p.adapters = 0; }, "of 0 adapters");
    expect([](LoraMatMulArguments& p) { p.adapters = 2; }, "2 adapters without row_adapter");
    expect([](LoraMatMulArguments& p) { p.b = nullptr; }, "must not be null");
    expect([](LoraMatMulArguments& p) { p.base = nullptr; }, "must not be null");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Shapes(execution);
    Rows(execution);
    return Report();
}
