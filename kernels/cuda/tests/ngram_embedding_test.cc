// NGramEmbedding of the device against the CPU's reference.
#include "longcat/cuda/ngram_embedding.h"

#include <memory>

#include "../../tests/harness.h"
#include "device_memory.h"
#include "relative_error.h"

using namespace longcat;
using namespace longcat::test;
using longcat::cuda::Execution;
using longcat::cuda::test::Array;

namespace {

std::vector<uint16_t> Narrow(const std::vector<float>& values) {
    std::vector<uint16_t> narrow;
    for (float value : values) {
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        narrow.push_back(static_cast<uint16_t>(bits >> 16));
    }
    return narrow;
}

struct Shape {
    int64_t vocabulary, hidden, width, hash;
    int neighbors, splits;
    bool scaled, float_word;
};

// A step over random numbers; every table has more rows than its modulus.
struct Case {
    NGramEmbeddingArguments p;
    std::vector<int64_t> ids, context;
    std::vector<int32_t> start{0};
    std::vector<float> word;
    std::vector<uint16_t> narrow_word;
    std::vector<std::vector<uint16_t>> rows, projections;
    std::vector<std::vector<int8_t>> scaled;
    std::vector<NGramTable> tables;
    Shape shape;

    Case(Random& random, const Shape& d, const std::vector<int64_t>& lengths) : shape(d) {
        p.vocabulary = d.vocabulary, p.hidden = d.hidden, p.table_width = d.width, p.hash_vocab_size = d.hash, p.eos_token_id = 2;
        p.neighbor_num = d.neighbors, p.split_num = d.splits;
        for (int64_t length : lengths) {
            for (int64_t i = 0; i < length; i++) {
                ids.push_back(random.Below(6) == 0 ? 2 : random.Below(d.vocabulary));
            }
            start.push_back(static_cast<int32_t>(ids.size()));
            int64_t known = random.Below(d.neighbors);
            for (int i = 0; i < d.neighbors - 1; i++) {
                context.push_back(i < known ? -1 : random.Below(d.vocabulary));
            }
        }
        p.tokens = static_cast<int64_t>(ids.size()), p.sequences = static_cast<int64_t>(lengths.size());
        word = random.Floats(d.vocabulary * d.hidden), narrow_word = Narrow(word);
        int count = d.splits * (d.neighbors - 1);
        for (int i = 0; i < count; i++) {
            NGramTable table;
            table.modulus = random.Between(1, 40) + 2 * i, table.row_count = table.modulus + random.Below(3);
            rows.push_back(Narrow(random.Floats(table.row_count * d.width)));
            projections.push_back(Narrow(random.Floats(d.hidden * d.width)));
            std::vector<int8_t> bytes;
            for (int64_t row = 0; row < table.row_count; row++) {
                for (int64_t k = 0; k < d.width; k++) {
                    bytes.push_back(static_cast<int8_t>(random.Between(-127, 127)));
                }
                float scale = 0.01f + 0.001f * static_cast<float>(random.Below(9));
                int8_t raw[4];
                std::memcpy(raw, &scale, 4);
                bytes.insert(bytes.end(), raw, raw + 4);
            }
            scaled.push_back(bytes);
            tables.push_back(table);
        }
        p.input_ids = ids.data(), p.query_start = start.data(), p.ngram_context = context.data();
    }
    Case(const Case&) = delete;

    std::vector<float> Want() {
        std::vector<float> embedding(static_cast<size_t>(p.tokens * p.hidden));
        for (size_t i = 0; i < tables.size(); i++) {
            tables[i].rows = {rows[i].data(), WeightType::kBFloat16, WeightLayout::kRows};
            tables[i].projection = {projections[i].data(), WeightType::kBFloat16, WeightLayout::kRows};
            tables[i].scaled_rows = shape.scaled ? scaled[i].data() : nullptr;
        }
        NGramEmbeddingArguments a = p;
        a.word = shape.float_word ? Weights{word.data(), WeightType::kFloat32} : Weights{narrow_word.data(), WeightType::kBFloat16};
        a.tables = tables.data(), a.embedding = embedding.data();
        Workspace workspace(NGramEmbeddingWorkspace(a));
        Status status = NGramEmbedding(CpuPath::kReference, a, workspace.get(), {});
        EXPECT(status.ok(), "%s", status.message);
        return embedding;
    }

    std::vector<float> Got(const Execution& execution, int32_t* fault_too = nullptr) {
        Array<int64_t> device_ids(ids), device_context(context);
        Array<int32_t> device_start(start), fault(std::vector<int32_t>{0});
        Array<float> device_word(word), embedding(static_cast<size_t>(p.tokens * p.hidden));
        Array<uint16_t> device_narrow(narrow_word);
        std::vector<std::unique_ptr<Array<uint16_t>>> device_rows, device_projections;
        std::vector<std::unique_ptr<Array<int8_t>>> device_scaled;
        std::vector<NGramTable> own = tables;
        for (size_t i = 0; i < tables.size(); i++) {
            device_rows.push_back(std::make_unique<Array<uint16_t>>(rows[i]));
            device_projections.push_back(std::make_unique<Array<uint16_t>>(projections[i]));
            device_scaled.push_back(std::make_unique<Array<int8_t>>(scaled[i]));
            own[i].rows = {device_rows[i]->get(), WeightType::kBFloat16, WeightLayout::kRows};
            own[i].projection = {device_projections[i]->get(), WeightType::kBFloat16, WeightLayout::kRows};
            own[i].scaled_rows = shape.scaled ? device_scaled[i]->get() : nullptr;
        }
        NGramEmbeddingArguments a = p;
        a.input_ids = device_ids.get(), a.query_start = device_start.get(), a.ngram_context = device_context.get();
        a.word = shape.float_word ? Weights{device_word.get(), WeightType::kFloat32} : Weights{device_narrow.get(), WeightType::kBFloat16};
        a.tables = own.data(), a.embedding = embedding.get();
        Array<uint8_t> workspace(NGramEmbeddingWorkspace(execution.device, a));
        Status status = NGramEmbedding(execution, a, workspace.get(), fault.get());
        EXPECT(status.ok(), "%s", status.message);
        int32_t value = fault.Values()[0];
        if (fault_too != nullptr) {
            *fault_too = value;
        } else {
            EXPECT(value == 0, "fault %d", value);
        }
        return embedding.Values();
    }
};

cuda::test::RelativeError embeddings("NGramEmbedding", 1e-6, 1e-5, "float32 sums in another order");

void Shapes(const Execution& execution) {
    Random random(95);
    for (const Shape& d : {Shape{50, 64, 8, 50, 2, 1, false, true}, Shape{1000, 70, 40, 1000, 4, 4, false, false}, Shape{300, 130, 72, 7777, 3, 2, true, false},
                           Shape{2147483647, 24, 16, 2147483647, 3, 1, false, false}, Shape{97, 200, 256, 131072, 5, 3, true, true}}) {
        // The word table of the largest vocabulary would be as large: its ids stay small.
        Shape shape = d;
        if (d.vocabulary > 1000) {
            shape.vocabulary = 1000;
        }
        for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{1}, {0, 3, 0, 5, 1}, {70}, {1, 1, 1, 1}, {64, 66}}) {
            if (!Swept()) {
                continue;
            }
            Case c(random, shape, lengths);
            c.p.hash_vocab_size = d.hash;
            embeddings.Add(c.Got(execution), c.Want(), Text("%d tables of %d, hidden %d, %d tokens", (int)c.tables.size(), (int)d.width, (int)d.hidden, (int)c.p.tokens));
        }
    }
}

void OrdersAndFaults(const Execution& execution) {
    Random random(96);
    Case c(random, {100, 100, 64, 100, 3, 2, false, false}, {9, 1});
    std::vector<float> first = c.Got(execution);
    cuda::test::InEveryOrder([&](int order) { EXPECT(SameBits(first, c.Got(execution)), "order %d", order); });
    int32_t fault = 0;
    for (int64_t id : {int64_t{100}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
        c.ids[4] = id;
        c.Got(execution, &fault);
        EXPECT(fault == 1, "token %lld was not noticed", (long long)id);
    }
    c.ids[4] = 1, c.context[3] = -2;
    c.ids[9] = 5;
    c.Got(execution, &fault);
    EXPECT(fault == 1, "token -2 in the context was not noticed");
}

void Errors(const Execution& execution) {
    Random random(97);
    auto expect = [&](auto&& change, const char* part) {
        Case c(random, {100, 16, 8, 100, 3, 2, false, false}, {3});
        alignas(16) static uint16_t memory[8] = {};
        for (NGramTable& table : c.tables) {
            table.rows = table.projection = {memory, WeightType::kBFloat16, WeightLayout::kRows};
        }
        c.p.tables = c.tables.data(), c.p.word = {memory, WeightType::kBFloat16};
        change(c);
        EXPECT_ERROR(NGramEmbedding(execution, c.p, nullptr, nullptr), part);
    };
    expect([](Case& c) { c.p.embedding = nullptr; }, "must not be null");
    expect([](Case& c) { c.p.neighbor_num = 1; }, "neighbor_num 1");
    expect([](Case& c) { c.p.split_num = 40; }, "80 tables");
    expect([](Case& c) { c.p.table_width = 12; }, "table rows of 12");
    expect([](Case& c) { c.tables[1].modulus = 0; }, "table_rows[1] is 0");
    expect([](Case& c) { c.tables[2].projection.layout = WeightLayout::kPanels; }, "table 2 or its projection");
    expect([](Case& c) { c.tables[3].rows.data = static_cast<const uint16_t*>(c.tables[3].rows.data) + 1; }, "table 3 lies at");
    expect([](Case& c) { c.p.tokens = -1; }, "-1 tokens");
}

}  // namespace

int main() {
    Execution execution = cuda::test::TestExecution();
    Errors(execution);
    Shapes(execution);
    OrdersAndFaults(execution);
    return Report();
}
