#include "longcat/sparse_gated_mlp.h"

#include <algorithm>

#include "harness.h"
#include "longcat/matmul.h"

using namespace longcat;
using namespace longcat::test;

namespace {

// A matrix [n, k] by rows with a stride, what lies behind each row being `padding`.
std::vector<float> Padded(const std::vector<float>& rows, int64_t n, int64_t k, float padding) {
    std::vector<float> result(static_cast<size_t>(n * ChannelStride(k)), padding);
    for (int64_t i = 0; i < n; i++) {
        std::copy(rows.begin() + i * k, rows.begin() + (i + 1) * k, result.begin() + i * ChannelStride(k));
    }
    return result;
}

std::vector<float> Transposed(const std::vector<float>& rows, int64_t n, int64_t k) {
    std::vector<float> result;
    for (int64_t i = 0; i < k; i++) {
        for (int64_t j = 0; j < n; j++) {
            result.push_back(rows[static_cast<size_t>(j * k + i)]);
        }
    }
    return result;
}

struct Case {
    SparseGatedMlpArguments p;
    WeightType type;
    std::vector<float> x, activation, up_rows, down_rows, up_bias, down_bias, residual;
    std::vector<uint8_t> sparse;
    Tensor up, down, up_channels, down_channels;

    // About `kept` of a row's channels have a magnitude of tau or more.
    Case(Random& random, int64_t m, int64_t hidden, int64_t inner, WeightType as, double kept, bool add = true)
        : type(as),
          x(random.Floats(m * hidden)),
          activation(random.Floats(m * inner, 0.1f)),
          up_rows(random.Floats(inner * hidden)),
          down_rows(random.Floats(hidden * inner)),
          up_bias(random.Floats(inner)),
          down_bias(random.Floats(hidden)),
          residual(random.Floats(m * hidden)),
          sparse(static_cast<size_t>(m), 1),
          up(as, InPanels(as, up_rows, inner, hidden)),
          down(as, InPanels(as, down_rows, hidden, inner)),
          up_channels(as, Padded(up_rows, inner, hidden, 7e20f)),
          down_channels(as, Padded(Transposed(down_rows, hidden, inner), inner, hidden, 7e20f)) {
        for (float& value : activation) {
            value =
                random.Unit() * 0.5f + 0.5f < static_cast<float>(kept) ? (value < 0 ? -1 : 1) * (0.1f + std::fabs(value)) : value * 0.99f;
        }
        p.m = m, p.hidden = hidden, p.inner = inner, p.x = x.data(), p.activation = activation.data(), p.tau = 0.1f;
        p.up = up.weights(WeightLayout::kPanels), p.down = down.weights(WeightLayout::kPanels);
        p.up_channels = up_channels.weights(), p.down_channels = down_channels.weights();
        p.up_bias = add ? up_bias.data() : nullptr, p.down_bias = add ? down_bias.data() : nullptr;
        p.residual = add ? residual.data() : nullptr, p.sparse_rows = sparse.data();
    }
    Case(const Case&) = delete;
    bool Keeps(int64_t row, int64_t i) const {
        return sparse[static_cast<size_t>(row)] == 0 || !(std::fabs(activation[static_cast<size_t>(row * p.inner + i)]) < p.tau);
    }
};

std::vector<float> Run(CpuPath path, SparseGatedMlpArguments p, const ParallelFor& parallel = {}) {
    std::vector<float> y(static_cast<size_t>(p.m * p.hidden) + 1, 12345.0f);
    p.y = y.data();
    Workspace workspace(SparseGatedMlpWorkspace(p));
    Status status = SparseGatedMlp(path, p, workspace.get(), parallel);
    EXPECT(status.ok(), "%s", status.message);
    EXPECT(y.back() == 12345.0f, "wrote past the end");
    y.pop_back();
    return y;
}

// The three ordinary operators, with zeros where a row does not keep.
std::vector<float> Ordinary(CpuPath path, const Case& c) {
    const SparseGatedMlpArguments& p = c.p;
    std::vector<float> h(static_cast<size_t>(p.m * p.inner)), y(static_cast<size_t>(p.m * p.hidden));
    MatMulArguments one;
    one.m = p.m, one.n = p.inner, one.k = p.hidden, one.a = p.x, one.b = p.up, one.bias = p.up_bias, one.y = h.data();
    EXPECT(MatMul(path, one, {}).ok(), "up");
    for (int64_t i = 0; i < p.m * p.inner; i++) {
        h[static_cast<size_t>(i)] =
            c.Keeps(i / p.inner, i % p.inner) ? c.activation[static_cast<size_t>(i)] * h[static_cast<size_t>(i)] : 0;
    }
    one.n = p.hidden, one.k = p.inner, one.a = h.data(), one.b = p.down, one.bias = p.down_bias, one.residual = p.residual,
    one.y = y.data();
    EXPECT(MatMul(path, one, {}).ok(), "down");
    return y;
}

// In double, straight from the definition.
std::vector<float> Plain(const Case& c) {
    const SparseGatedMlpArguments& p = c.p;
    std::vector<float> y;
    auto weight = [&](const std::vector<float>& rows, int64_t row, int64_t i, int64_t k) {
        float value = rows[static_cast<size_t>(row * k + i)];
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        bits &= c.type == WeightType::kBFloat16 ? 0xffff0000u : 0xffffffffu;
        std::memcpy(&value, &bits, 4);
        return static_cast<double>(value);
    };
    for (int64_t row = 0; row < p.m; row++) {
        std::vector<double> h(static_cast<size_t>(p.inner));
        for (int64_t i = 0; i < p.inner; i++) {
            double up = p.up_bias == nullptr ? 0 : p.up_bias[i];
            for (int64_t k = 0; k < p.hidden; k++) {
                up += weight(c.up_rows, i, k, p.hidden) * p.x[row * p.hidden + k];
            }
            h[static_cast<size_t>(i)] = c.Keeps(row, i) ? up * p.activation[row * p.inner + i] : 0;
        }
        for (int64_t j = 0; j < p.hidden; j++) {
            double sum = p.down_bias == nullptr ? 0 : p.down_bias[j];
            sum += p.residual == nullptr ? 0 : p.residual[row * p.hidden + j];
            for (int64_t i = 0; i < p.inner; i++) {
                sum += weight(c.down_rows, j, i, p.inner) * h[static_cast<size_t>(i)];
            }
            y.push_back(static_cast<float>(sum));
        }
    }
    return y;
}

constexpr int64_t kShapes[][3] = {{1, 1, 1},    {1, 64, 300},  {2, 33, 17},   {3, 100, 513}, {4, 257, 700}, {5, 16, 1030},
                                  {16, 70, 90}, {40, 48, 260}, {130, 20, 64}, {6, 515, 65},  {2, 7, 2},     {1, 300, 256}};

void Parity(CpuPath path, WeightType type) {
    Comparison comparison(Text("SparseGatedMlp %s %s", Name(path), Name(type)).c_str(), 1e-4,
                          "two float32 sums of up to 515 and 1030 products");
    Random random(71);
    for (auto& s : kShapes) {
        for (double kept : {0.0, 0.03, 0.4, 1.0}) {
            Case c(random, s[0], s[1], s[2], type, kept, kept != 0.4);
            comparison.Add(Run(path, c.p), Plain(c), Text("%d rows, hidden %d, inner %d, %g kept", (int)s[0], (int)s[1], (int)s[2], kept));
        }
    }
}

// Whatever way a step takes: a row's bits are those of the ordinary operators over what it keeps.
void Bits(CpuPath path, WeightType type) {
    Random random(72);
    for (auto& s : kShapes) {
        for (double kept : {0.0, 0.02, 0.1, 0.9}) {
            for (int rows : {0, 1, 2}) {  // all sparse, some, none
                if (!Swept()) {
                    continue;
                }
                Case c(random, s[0], s[1], s[2], type, kept, rows != 1);
                for (int64_t row = 0; row < s[0]; row++) {
                    c.sparse[static_cast<size_t>(row)] = rows == 0 ? 255 : rows == 1 ? static_cast<uint8_t>(random.Below(2)) : 0;
                }
                std::vector<float> want = Ordinary(path, c), got = Run(path, c.p);
                EXPECT(SameBits(want, got), "%s %s: %d rows, hidden %d, inner %d, %g kept, kind %d", Name(path), Name(type), (int)s[0],
                       (int)s[1], (int)s[2], kept, rows);
                for (int threads : {2, 3}) {
                    Threads pool(threads);
                    EXPECT(SameBits(got, Run(path, c.p, pool.parallel())), "%s: %d threads", Name(path), threads);
                }
                for (int64_t row = 0; row < s[0]; row += 7) {
                    SparseGatedMlpArguments one = c.p;
                    one.m = 1, one.x += row * s[1], one.activation += row * s[2], one.sparse_rows += row;
                    one.residual += one.residual == nullptr ? 0 : row * s[1];
                    std::vector<float> part(got.begin() + row * s[1], got.begin() + (row + 1) * s[1]);
                    EXPECT(SameBits(part, Run(path, one)), "%s %s: row %d alone", Name(path), Name(type), (int)row);
                }
            }
        }
    }
}

// A channel that nobody keeps is not read, and a step that picks channels reads no panel.
void NotRead(CpuPath path, WeightType type) {
    Random random(73);
    for (int64_t hidden : {40, 300}) {
        Case c(random, 5, hidden, 700, type, 0.05);
        std::vector<float> want = Run(path, c.p), up = Padded(c.up_rows, 700, hidden, NAN);
        std::vector<float> down = Padded(Transposed(c.down_rows, hidden, 700), 700, hidden, NAN);
        int dead = 0;
        for (int64_t i = 0; i < 700; i++) {
            bool live = false;
            for (int64_t row = 0; row < 5; row++) {
                live = live || c.Keeps(row, i);
            }
            if (!live) {
                dead++;
                std::fill_n(up.begin() + i * ChannelStride(hidden), ChannelStride(hidden), NAN);
                std::fill_n(down.begin() + i * ChannelStride(hidden), ChannelStride(hidden), NAN);
            }
        }
        Tensor broken_up(type, up), broken_down(type, down),
            nothing(type, std::vector<float>(static_cast<size_t>(700 * ChannelStride(hidden) + 16 * 700), NAN));
        c.p.up_channels = broken_up.weights(), c.p.down_channels = broken_down.weights();
        c.p.up = c.p.down = nothing.weights(WeightLayout::kPanels);
        EXPECT(dead > 400 && SameBits(want, Run(path, c.p)), "%s: reads what nobody keeps (%d channels)", Name(path), dead);
    }
}

void Special(CpuPath path) {
    Random random(74);
    // A NaN is kept, and touches no other row.
    Case c(random, 3, 32, 80, WeightType::kFloat32, 0.1);
    std::vector<float> before = Run(path, c.p);
    c.activation[80] = NAN;
    std::vector<float> after = Run(path, c.p);
    EXPECT(std::isnan(after[32]) && std::isnan(after[63]), "%s: a NaN is kept", Name(path));
    EXPECT(
        std::equal(before.begin(), before.begin() + 32, after.begin()) && std::equal(before.begin() + 64, before.end(), after.begin() + 64),
        "%s: a row's NaN is its own", Name(path));
    // tau 0: the ordinary operators, whatever the marks.
    c.activation[80] = 0;
    c.p.tau = 0;
    std::vector<float> marked = Run(path, c.p);
    std::fill(c.sparse.begin(), c.sparse.end(), uint8_t{0});
    EXPECT(SameBits(marked, Run(path, c.p)) && SameBits(marked, Ordinary(path, c)), "%s: tau 0", Name(path));
    // All channels closed: what is left is the bias and the residual.
    std::fill(c.sparse.begin(), c.sparse.end(), uint8_t{1});
    c.p.tau = INFINITY;
    std::vector<float> closed = Run(path, c.p);
    for (size_t i = 0; i < closed.size(); i++) {
        EXPECT(closed[i] == c.down_bias[i % 32] + c.residual[i], "%s: all closed", Name(path));
    }
    // The residual may be the result.
    c.p.tau = 0.1f;
    std::vector<float> want = Run(path, c.p), in_place = c.residual;
    c.p.residual = c.p.y = in_place.data();
    Workspace workspace(SparseGatedMlpWorkspace(c.p));
    EXPECT(SparseGatedMlp(path, c.p, workspace.get(), {}).ok() && SameBits(want, in_place), "%s: in place", Name(path));
}

void Errors() {
    Random random(75);
    Case c(random, 2, 16, 20, WeightType::kFloat32, 0.1);
    auto expect = [&](auto&& change, const char* part) {
        SparseGatedMlpArguments p = c.p;
        std::vector<float> y(64, 777);
        p.y = y.data();
        change(p);
        Workspace workspace(SparseGatedMlpWorkspace(p));
        EXPECT_ERROR(SparseGatedMlp(BestCpuPath(), p, workspace.get(), {}), part);
        EXPECT(std::all_of(y.begin(), y.end(), [](float v) { return v == 777; }), "%s: an error must leave y alone", part);
    };
    expect([](auto& p) { p.tau = NAN; }, "tau is nan, expected 0 (no channel is skipped) or more");
    expect([](auto& p) { p.tau = -1; }, "tau is -1");
    expect([](auto& p) { p.m = -1; }, "-1 rows, hidden 16, inner 20: expected sizes of 0..2^31");
    expect([](auto& p) { p.up.layout = WeightLayout::kRows; }, "up and down must lie in panels");
    expect([](auto& p) { p.down_channels.type = WeightType::kBFloat16; }, "must have one type");
    expect([](auto& p) { p.sparse_rows = nullptr; }, "must not be null");
    expect([](auto& p) { p.up_channels.data = nullptr; }, "must not be null");
    SparseGatedMlpArguments none = c.p;
    none.m = 0;
    EXPECT(SparseGatedMlp(BestCpuPath(), none, nullptr, {}).ok(), "no rows");
}

}  // namespace

int main() {
    Errors();
    Special(CpuPath::kReference);
    for (WeightType type : {WeightType::kFloat32, WeightType::kBFloat16}) {
        Parity(CpuPath::kReference, type);
        Bits(CpuPath::kReference, type);
    }
    for (CpuPath path : FastPaths()) {
        Special(path);
        for (WeightType type : {WeightType::kFloat32, WeightType::kBFloat16}) {
            Parity(path, type);
            Bits(path, type);
            NotRead(path, type);
        }
    }
    return Report();
}
