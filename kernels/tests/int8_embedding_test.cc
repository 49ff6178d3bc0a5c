#include "longcat/int8_embedding.h"

#include "harness.h"
#include "longcat/w8a8_matmul.h"

using namespace longcat;
using namespace longcat::test;

namespace {

struct Table {
    int64_t rows, hidden;
    std::vector<int8_t> q;
    std::vector<uint8_t> packed;
    std::vector<float> scale;

    Table(Random& random, int64_t v, int64_t h)
        : rows(v), hidden(h), packed(static_cast<size_t>(W8A8PackedBytes(v, h))), scale(random.Floats(v)) {
        for (int64_t i = 0; i < v * h; i++) {
            q.push_back(static_cast<int8_t>(random.Between(-127, 127)));
        }
        W8A8Pack(v, h, q.data(), packed.data());
    }
};

void Rows() {
    Random random(61);
    Threads pool(3);
    int cases = 0;
    for (int64_t v : {1, 5, 64, 65, 200}) {
        for (int64_t h : {1, 3, 4, 63, 256, 1030}) {
            Table table(random, v, h);
            std::vector<int64_t> ids;
            for (int64_t i = random.Below(90); i > 0; i--) {
                ids.push_back(random.Below(v));
            }
            ids.push_back(v - 1);
            std::vector<float> y(ids.size() * static_cast<size_t>(h)), want;
            for (int64_t id : ids) {
                for (int64_t k = 0; k < h; k++) {
                    want.push_back(static_cast<float>(table.q[static_cast<size_t>(id * h + k)]) * table.scale[static_cast<size_t>(id)]);
                }
            }
            Int8EmbeddingArguments p{static_cast<int64_t>(ids.size()), v, h, ids.data(), table.packed.data(), table.scale.data(), y.data()};
            Status status = Int8Embedding(p, pool.parallel());
            EXPECT(status.ok() && SameBits(y, want), "%d rows of %d: %s", (int)v, (int)h, status.message);
            cases++;
        }
    }
    std::printf("Int8Embedding: %d tables, the bits of integer · scale\n", cases);
}

void Errors() {
    Random random(62);
    Table table(random, 10, 8);
    std::vector<float> y(16, 7);
    auto expect = [&](std::vector<int64_t> ids, auto&& change, const char* part) {
        Int8EmbeddingArguments p{2, 10, 8, ids.data(), table.packed.data(), table.scale.data(), y.data()};
        change(p);
        EXPECT_ERROR(Int8Embedding(p, {}), part);
        EXPECT(SameBits(y, std::vector<float>(16, 7)), "%s: something was written", part);
    };
    auto nothing = [](Int8EmbeddingArguments&) {};
    expect({0, 10}, nothing, "ids[1] is token 10, expected 0..9 (the rows of the table)");
    expect({-1, 0}, nothing, "ids[0] is token -1");
    expect({0, INT64_MIN}, nothing, "ids[1] is token -9223372036854775808");
    expect(
        {0, 1}, [](Int8EmbeddingArguments& p) { p.hidden = -1; }, "2 tokens, 10 rows of -1");
    expect(
        {0, 1}, [](Int8EmbeddingArguments& p) { p.weights = nullptr; }, "must not be null");
    expect(
        {0, 1}, [](Int8EmbeddingArguments& p) { p.vocabulary = 0; }, "ids[0] is token 0, expected 0..-1");
}

}  // namespace

int main() {
    Rows();
    Errors();
    return Report();
}
