#include "longcat/ngram_embedding.h"

#include <algorithm>

#include "harness.h"

using namespace longcat;
using namespace longcat::test;

namespace {

// ---- the hash: vectors of the published model's dimensions (moduli just above ratio · V)

std::vector<NGramTable> Moduli(int64_t m, int count) {
    std::vector<NGramTable> tables(static_cast<size_t>(count));
    for (int i = 0; i < count; i++) {
        tables[static_cast<size_t>(i)].modulus = tables[static_cast<size_t>(i)].row_count = m + 2 * i + 1;
    }
    return tables;
}

struct Hash {
    int64_t vocabulary;
    int neighbors, splits;
    std::vector<NGramTable> tables;
    Hash(int64_t v, int64_t m, int n, int k) : vocabulary(v), neighbors(n), splits(k), tables(Moduli(m, k * (n - 1))) {}

    // ids[t][i]; the first `old` tokens are given as context and hashed no more.
    // The same on every path.
    std::vector<std::vector<int64_t>> Ids(const std::vector<int64_t>& tokens, int64_t old = 0) const {
        auto reference = IdsOf(CpuPath::kReference, tokens, old);
        for (CpuPath path : FastPaths()) {
            EXPECT(IdsOf(path, tokens, old) == reference, "%s: other ids than the reference", Name(path));
        }
        return reference;
    }

    std::vector<std::vector<int64_t>> IdsOf(CpuPath path, const std::vector<int64_t>& tokens, int64_t old = 0) const {
        NGramEmbeddingArguments p;
        int64_t count = static_cast<int64_t>(tokens.size()) - old;
        std::vector<int64_t> context(static_cast<size_t>(neighbors - 1), -1);
        for (int64_t i = 0; i < neighbors - 1 && i < old; i++) {
            context[static_cast<size_t>(neighbors - 2 - i)] = tokens[static_cast<size_t>(old - 1 - i)];
        }
        int32_t start[] = {0, static_cast<int32_t>(count)};
        p.tokens = count, p.sequences = 1, p.vocabulary = p.hash_vocab_size = vocabulary, p.eos_token_id = 2, p.neighbor_num = neighbors,
        p.split_num = splits;
        p.input_ids = tokens.data() + old, p.query_start = start, p.ngram_context = context.data(), p.tables = tables.data();
        std::vector<int64_t> ids(static_cast<size_t>(count) * tables.size());
        NGramIds(path, p, ids.data(), {});
        std::vector<std::vector<int64_t>> result(static_cast<size_t>(count));
        for (size_t t = 0; t < result.size(); t++) {
            for (size_t i = 0; i < tables.size(); i++) {
                result[t].push_back(ids[i * result.size() + t]);
            }
        }
        return result;
    }
};

std::vector<int64_t> Fill(size_t count, int64_t value) { return std::vector<int64_t>(count, value); }

void ExpectIds(const char* what, const std::vector<int64_t>& got, const std::vector<int64_t>& want) {
    EXPECT(got == want, "%s: first id %lld, expected %lld", what, (long long)got[0], (long long)want[0]);
}

void Vectors() {
    Hash lite(131072, 10223616, 4, 4);
    auto one = lite.Ids({11, 523, 9001, 44, 130000, 7, 88, 4});
    ExpectIds("1 t0", one[0], Fill(12, 11));
    ExpectIds("1 t1", one[1], Fill(12, 1442315));
    ExpectIds("1 t2", one[2], {7217955, 7217943, 7217931, 7217919, 2070806, 2033824, 1996842, 1959860, 1922878, 1885896, 1848914, 1811932});
    ExpectIds("1 t3", one[3], {4063161, 4062931, 4062701, 4062471, 1919723, 161785, 8627476, 6869540, 2464544, 1113526, 9988041, 8640817});
    ExpectIds("1 t4", one[4], {5897168, 5897168, 5897168, 5897168, 10015977, 212513, 632686, 1052871, 2948099, 6915271, 748958, 4896432});
    ExpectIds("1 t7", one[7],
              {1310723, 1310721, 1310719, 1310717, 10117753, 10094227, 10070701, 10047175, 9045423, 867998, 4872324, 611117});

    auto two = lite.Ids({11, 523, 2, 44, 130000, 7, 88, 4});
    ExpectIds("2 t2", two[2], {7208956, 7208944, 7208932, 7208920, 2061807, 2024825, 1987843, 1950861, 1913879, 1876897, 1839915, 1802933});
    ExpectIds("2 t3", two[3], Fill(12, 44));
    ExpectIds("2 t4", two[4], Fill(12, 5897168));
    ExpectIds("2 t5", two[5], {6814085, 6810753, 6807421, 6804089, 6659603, 6508395, 6357187, 6205979, 6054771, 5903563, 5752355, 5601147});

    Hash toy(64, 192, 3, 2);
    auto three = toy.Ids({5, 9, 2, 31, 17, 0, 63, 8});
    std::vector<std::vector<int64_t>> want = {{5, 5, 5, 5},     {136, 134, 132, 130}, {192, 188, 176, 163}, {31, 31, 31, 31},
                                              {71, 51, 31, 11}, {123, 113, 14, 107},  {63, 63, 154, 45},    {180, 140, 100, 60}};
    for (size_t t = 0; t < want.size(); t++) {
        ExpectIds("3", three[t], want[t]);
    }

    std::vector<int64_t> window = {918738, 918738, 918738, 918738, 1533770, 1204410, 875050, 545690, 8884758, 8925606, 9037462, 9220326};
    ExpectIds("4", lite.Ids({412, 98, 7, 1234})[3], window);
    ExpectIds("4 as one new token", lite.Ids({412, 98, 7, 1234}, 3)[0], window);

    Hash large(163840, 16476897, 5, 4);
    ExpectIds("5", large.Ids({11, 523, 9001, 44, 130000})[4],
              {7338960, 7338960, 7338960, 7338960, 11163550, 14789196, 1937940, 5563600, 7111964, 11941988, 362882, 5328480, 2403476,
               3727732, 8009124, 15247568});

    auto six = lite.Ids({2, 5, 2, 2, 9, 13, 21, 2});
    ExpectIds("6 t0", six[0], Fill(12, 2));
    ExpectIds("6 t1", six[1], Fill(12, 5));
    ExpectIds("6 t2", six[2], Fill(12, 655362));
    ExpectIds("6 t3", six[3], Fill(12, 2));
    ExpectIds("6 t4", six[4], Fill(12, 9));
    ExpectIds("6 t5", six[5], Fill(12, 1179661));
    ExpectIds("6 t6", six[6], {1703957, 1703957, 1703957, 1703957, 8645738, 8615492, 8585246, 8555000, 8524754, 8494508, 8464262, 8434016});
    ExpectIds("6 t7", six[7], {2752514, 2752514, 2752514, 2752514, 5963781, 5920091, 5876401, 5832711, 5482087, 7630173, 9779811, 1707362});

    // However a sequence is cut into steps, its ids are the same.
    Random random(21);
    for (int round = 0; round < 50; round++) {
        std::vector<int64_t> tokens;
        for (int64_t i = random.Between(2, 20); i > 0; i--) {
            tokens.push_back(random.Below(4) == 0 ? 2 : random.Below(64));
        }
        auto whole = toy.Ids(tokens);
        int64_t cut = random.Between(1, static_cast<int64_t>(tokens.size()) - 1);
        auto rest = toy.Ids(tokens, cut);
        EXPECT(std::equal(rest.begin(), rest.end(), whole.begin() + cut), "cut at %d of %zu", (int)cut, tokens.size());
    }
}

// Every modulus and vocabulary up to their limits, blocks and sequences of every length: the fast hash and the plain one agree.
void RandomIds(CpuPath path) {
    Random random(25);
    Threads pool(3);
    for (int round = 0; round < 200; round++) {
        int n = static_cast<int>(random.Between(2, round % 10 == 0 ? 20 : 6)), k = static_cast<int>(random.Between(1, 4));
        int64_t vocabulary = random.Between(3, int64_t{1} << random.Between(2, 31));
        NGramEmbeddingArguments p;
        std::vector<NGramTable> tables(static_cast<size_t>(k * (n - 1)));
        for (NGramTable& table : tables) {
            table.modulus = table.row_count = random.Between(1, int64_t{1} << random.Between(1, 31));
        }
        std::vector<int32_t> start{0};
        std::vector<int64_t> tokens, context;
        for (int64_t s = random.Between(1, 5); s > 0; s--) {
            for (int64_t t = random.Below(round % 7 == 0 ? 1200 : 300); t > 0; t--) {
                tokens.push_back(random.Below(6) == 0 ? 2 : random.Below(4) == 0 ? vocabulary - 1 : random.Below(vocabulary));
            }
            start.push_back(static_cast<int32_t>(tokens.size()));
            for (int i = 0; i < n - 1; i++) {
                context.push_back(random.Below(3) == 0 ? -1 : random.Below(vocabulary));
            }
        }
        p.tokens = static_cast<int64_t>(tokens.size()), p.sequences = static_cast<int64_t>(start.size()) - 1;
        p.vocabulary = p.hash_vocab_size = vocabulary, p.eos_token_id = 2, p.neighbor_num = n, p.split_num = k;
        p.input_ids = tokens.data(), p.query_start = start.data(), p.ngram_context = context.data(), p.tables = tables.data();
        std::vector<int64_t> want(tokens.size() * tables.size() + 1, -7), got = want;
        NGramIds(CpuPath::kReference, p, want.data(), {});
        NGramIds(path, p, got.data(), pool.parallel());
        EXPECT(got == want, "%s: round %d, N %d, K %d, V %lld", Name(path), round, n, k, (long long)vocabulary);
    }
}

// ---- the embedding

struct Case {
    NGramEmbeddingArguments p;
    std::vector<int64_t> ids, context;
    std::vector<int32_t> start;
    std::vector<NGramTable> tables;
    std::vector<Tensor> storage;
    WeightLayout layout;

    Case(Random& random, std::vector<int64_t> lengths, WeightType type, int64_t hidden = 40, int64_t width = 5, int n = 3, int k = 2,
         WeightLayout projections = WeightLayout::kRows)
        : layout(projections) {
        p.vocabulary = p.hash_vocab_size = 64, p.hidden = hidden, p.table_width = width, p.eos_token_id = 2, p.neighbor_num = n,
        p.split_num = k;
        start.push_back(0);
        for (int64_t length : lengths) {
            for (int64_t i = 0; i < length; i++) {
                ids.push_back(random.Below(5) == 0 ? 2 : random.Below(64));
            }
            start.push_back(static_cast<int32_t>(ids.size()));
            for (int i = 0; i < n - 1; i++) {
                context.push_back(random.Below(3) == 0 ? -1 : random.Below(64));
            }
        }
        tables = Moduli(192, k * (n - 1));
        storage.emplace_back(type, random.Floats(64 * hidden));
        for (NGramTable& table : tables) {
            table.row_count += 3;
            storage.emplace_back(type, random.Floats(table.row_count * width));
            std::vector<float> projection = random.Floats(hidden * width);
            storage.emplace_back(type, layout == WeightLayout::kRows ? projection : InPanels(type, projection, hidden, width, 7e20f));
        }
        Bind();
    }
    Case(const Case&) = delete;

    void Bind() {
        p.tokens = static_cast<int64_t>(ids.size()), p.sequences = static_cast<int64_t>(start.size()) - 1;
        p.input_ids = ids.data(), p.query_start = start.data(), p.ngram_context = context.data();
        p.word = storage[0].weights();
        for (size_t i = 0; i < tables.size(); i++) {
            tables[i].rows = storage[1 + 2 * i].weights();
            tables[i].projection = storage[2 + 2 * i].weights(layout);
        }
        p.tables = tables.data();
    }
};

Status Run(CpuPath path, NGramEmbeddingArguments p, std::vector<float>* embedding, const ParallelFor& parallel = {}) {
    embedding->assign(static_cast<size_t>(p.tokens * p.hidden), 0);
    p.embedding = embedding->data();
    Workspace workspace(NGramEmbeddingWorkspace(p));
    return NGramEmbedding(path, p, workspace.get(), parallel);
}

std::vector<float> Run(CpuPath path, const NGramEmbeddingArguments& p, const ParallelFor& parallel = {}) {
    std::vector<float> embedding;
    Status status = Run(path, p, &embedding, parallel);
    EXPECT(status.ok(), "%s", status.message);
    return embedding;
}

void Parity(CpuPath path, WeightType type, WeightLayout layout) {
    Comparison comparison(Text("NGramEmbedding %s %s %s", Name(path), Name(type), Name(layout)).c_str(), 3e-6,
                          "float32 sums of up to 500 products below 1");
    Random random(22);
    for (auto& lengths : {std::vector<int64_t>{}, {0}, {1}, {3}, {1, 1, 1}, {5, 0, 2, 70}, {130, 1, 9, 1, 4}}) {
        Case small(random, lengths, type, 40, 5, 3, 2, layout), wide(random, lengths, type, 130, 33, 5, 3, layout);
        comparison.Add(Run(path, small.p), Run(CpuPath::kReference, small.p), "hidden 40, width 5");
        comparison.Add(Run(path, wide.p), Run(CpuPath::kReference, wide.p), "hidden 130, width 33, N 5, K 3");
    }
}

void Invariance(CpuPath path, WeightType type, WeightLayout layout) {
    Random random(23);
    Case c(random, {5, 1, 80, 3, 170}, type, 150, 33, 4, 4, layout);
    std::vector<float> whole = Run(path, c.p);
    Threads pool(3);
    EXPECT(SameBits(whole, Run(path, c.p, pool.parallel())), "%s: threads", Name(path));
    for (int64_t s = 0; s < c.p.sequences; s++) {
        NGramEmbeddingArguments one = c.p;
        int32_t start[] = {0, c.start[s + 1] - c.start[s]};
        one.tokens = start[1], one.sequences = 1, one.input_ids += c.start[s], one.query_start = start, one.ngram_context += s * 3;
        std::vector<float> want(whole.begin() + c.start[s] * c.p.hidden, whole.begin() + c.start[s + 1] * c.p.hidden);
        EXPECT(SameBits(want, Run(path, one)), "%s %s: sequence %d alone", Name(path), Name(type), (int)s);
    }
}

// Integers with a scale give the bits of a float32 table that holds their products.
void ScaledTables(CpuPath path) {
    Random random(26);
    for (int64_t width : {1, 5, 33, 64}) {
        Case c(random, {5, 1, 80}, WeightType::kFloat32, 70, width, 3, 2, WeightLayout::kPanels);
        std::vector<std::vector<uint8_t>> bytes;
        std::vector<std::vector<float>> floats;
        for (size_t i = 0; i < c.tables.size(); i++) {
            bytes.push_back(ScaledRows(random, c.tables[i].row_count, width));
            floats.emplace_back();
            for (int64_t row = 0; row < c.tables[i].row_count; row++) {
                const uint8_t* from = bytes.back().data() + row * (width + 4);
                float scale;
                std::memcpy(&scale, from + width, 4);
                for (int64_t x = 0; x < width; x++) {
                    floats.back().push_back(static_cast<float>(static_cast<int8_t>(from[x])) * scale);
                }
            }
        }
        for (size_t i = 0; i < c.tables.size(); i++) {
            c.tables[i].rows = {floats[i].data(), WeightType::kFloat32, WeightLayout::kRows};
        }
        std::vector<float> want = Run(path, c.p);
        for (size_t i = 0; i < c.tables.size(); i++) {
            c.tables[i].rows = {};
            c.tables[i].scaled_rows = reinterpret_cast<const int8_t*>(bytes[i].data());
        }
        EXPECT(SameBits(want, Run(path, c.p)), "%s: tables of integers, width %d", Name(path), (int)width);
    }
}

void Errors() {
    Random random(24);
    std::vector<float> embedding;
    auto expect = [&](auto&& change, const char* part) {
        Case c(random, {3, 2}, WeightType::kFloat32);
        change(c);
        EXPECT_ERROR(Run(CpuPath::kReference, c.p, &embedding), part);
    };
    expect([](Case& c) { c.ids[3] = 64; }, "input_ids[3] is token 64, expected 0..63");
    expect([](Case& c) { c.ids[0] = -1; }, "input_ids[0] is token -1");
    expect([](Case& c) { c.context[3] = 64; }, "ngram_context[1, 1] is token 64, expected -1..63");
    expect([](Case& c) { c.context[0] = -2; }, "ngram_context[0, 0] is token -2");
    expect([](Case& c) { c.start[0] = 1; }, "query_start[0] is 1, expected 0");
    expect([](Case& c) { c.start[1] = 6; }, "query_start[2] is 5, below query_start[1] = 6");
    expect([](Case& c) { c.start[2] = 4; }, "query_start[2] is 4, expected the number of tokens, 5");
    expect([](Case& c) { c.tables[1].modulus = 1000; }, "table_rows[1] is 1000, expected 1..");
    expect([](Case& c) { c.p.neighbor_num = 1; }, "neighbor_num 1");
    expect([](Case& c) { c.tables[2].projection.layout = WeightLayout::kPanels; }, "projections 0 and 2 lie in different layouts");
}

}  // namespace

int main() {
    Vectors();
    Errors();
    ScaledTables(CpuPath::kReference);
    for (CpuPath path : FastPaths()) {
        RandomIds(path);
        ScaledTables(path);
        for (WeightType type : {WeightType::kFloat32, WeightType::kBFloat16}) {
            for (WeightLayout layout : {WeightLayout::kRows, WeightLayout::kPanels}) {
                Parity(path, type, layout);
                Invariance(path, type, layout);
            }
        }
    }
    return Report();
}
