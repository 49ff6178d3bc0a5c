// Streaming attention of both operators against a plain masked softmax in float64 that knows only the rule of longcat/streaming.h: sequences
// grow in random steps over a pool of pages, and a page goes back to the pool, is overwritten with NaN and dealt out again as soon as the rule
// lets no later token see it.
#include "longcat/streaming.h"

#include <algorithm>

#include "plain_attention.h"

using namespace longcat;
using namespace longcat::test;

namespace {

bool Visible(const StreamingPattern& p, int64_t query, int64_t key) {
    return key <= query && (key / p.block_size < p.sink_blocks || key / p.block_size > query / p.block_size - p.local_blocks);
}

// A pool of pages and who holds them.
class Pool {
  public:
    Pool(Random& random, int64_t page_size, int64_t pages, size_t page_bytes, size_t sequences)
        : random_(random), page_size_(page_size), page_bytes_(page_bytes), cache(static_cast<size_t>(pages) * page_bytes, 0xff),
          held_(sequences) {
        for (int64_t i = 0; i < pages; i++) {
            free_.push_back(static_cast<int32_t>(i));
        }
    }

    // Pages for the tokens before `length`.
    void Grow(size_t s, int64_t length) {
        while (static_cast<int64_t>(held_[s].size()) * page_size_ < length) {
            EXPECT(!free_.empty(), "the pool is too small");
            size_t at = static_cast<size_t>(random_.Below(static_cast<int64_t>(free_.size())));
            held_[s].push_back(free_[at]);
            free_.erase(free_.begin() + static_cast<int64_t>(at));
        }
    }

    // What no token from `next` on sees goes back; its numbers become NaN (every byte 0xff, in either type).
    void GiveBack(size_t s, const StreamingPattern& pattern, int64_t next) {
        for (size_t b = 0; b < held_[s].size(); b++) {
            bool seen = false;
            for (int64_t j = static_cast<int64_t>(b) * page_size_; j < static_cast<int64_t>(b + 1) * page_size_; j++) {
                seen = seen || j >= next || Visible(pattern, next, j);
            }
            if (!seen && held_[s][b] >= 0) {
                std::memset(cache.data() + static_cast<size_t>(held_[s][b]) * page_bytes_, 0xff, page_bytes_);
                free_.push_back(held_[s][b]);
                held_[s][b] = -1;
                returned++;
            }
        }
    }

    // Entries without a page hold anything.
    int32_t Entry(size_t s, size_t b) const {
        constexpr int32_t kAnything[] = {-1, -1, INT32_MIN, INT32_MAX};
        return b < held_[s].size() && held_[s][b] >= 0 ? held_[s][b] : kAnything[random_.Below(4)];
    }
    int64_t Columns(size_t s) const { return static_cast<int64_t>(held_[s].size()); }

  private:
    Random& random_;
    int64_t page_size_;
    size_t page_bytes_;

  public:
    std::vector<uint8_t> cache;
    int64_t returned = 0;

  private:
    std::vector<std::vector<int32_t>> held_;
    std::vector<int32_t> free_;
};

// Runs all sequences to their ends in steps of at most `most` tokens a sequence; the outputs by sequence.
template <class Op>
std::vector<std::vector<float>> Grown(Random& random, CpuPath path, Op& op, const std::vector<int64_t>& lengths, int64_t most,
                                      const ParallelFor& parallel, int64_t* returned) {
    size_t page_bytes = static_cast<size_t>(op.p.page_size * op.LineBytes()), count = lengths.size();
    op.p.pages = 1;
    for (int64_t length : lengths) {
        op.p.pages += (length + op.p.page_size - 1) / op.p.page_size;
    }
    Pool pool(random, op.p.page_size, op.p.pages, page_bytes, count);
    op.p.cache = pool.cache.data();
    std::vector<std::vector<float>> outputs(count);
    std::vector<int64_t> done(count);
    while (done != lengths) {
        Batch batch;
        std::vector<int64_t> fresh(count);
        for (size_t s = 0; s < count; s++) {
            fresh[s] = std::min(lengths[s] - done[s], random.Below(5) == 0 ? 0 : random.Between(1, most));
            pool.Grow(s, done[s] + fresh[s]);
            batch.width = std::max(batch.width, pool.Columns(s));
        }
        for (size_t s = 0; s < count; s++) {
            for (int64_t i = 0; i < fresh[s]; i++) {
                batch.positions.push_back(done[s] + i), batch.sequence.push_back(static_cast<int64_t>(s));
            }
            batch.start.push_back(static_cast<int32_t>(batch.positions.size()));
            batch.lengths.push_back(static_cast<int32_t>(done[s] + fresh[s]));
            for (int64_t b = 0; b < batch.width; b++) {
                batch.table.push_back(pool.Entry(s, static_cast<size_t>(b)));
            }
        }
        std::vector<float> output(batch.positions.size() * static_cast<size_t>(op.Outputs()));
        Status status = op.Run(path, batch, output.data(), parallel);
        EXPECT(status.ok(), "%s %s: %s", Op::kName, Name(path), status.message);
        for (size_t s = 0; s < count; s++) {
            int64_t width = op.Outputs();
            outputs[s].insert(outputs[s].end(), output.begin() + batch.start[s] * width, output.begin() + batch.start[s + 1] * width);
            done[s] += fresh[s];
            pool.GiveBack(s, op.p.streaming, done[s]);
        }
    }
    *returned += pool.returned;
    return outputs;
}

template <class Op>
void AgainstFormula(const std::vector<CpuPath>& paths) {
    Comparison comparison(Text("%s, streaming, against float64", Op::kName).c_str(), 2e-5, "float32 sums and exp");
    Comparison rounded(Text("%s, streaming, pairs of bfloat16", Op::kName).c_str(), kPairTolerance, kPairWhy);
    Random random(71);
    int64_t returned = 0;
    const bool brief = SweptEvery() > 1;  // an emulator: fewer tokens are held against the formula, and the reference runs each case once
    for (int round = 0; round < 36; round++) {
        if (!Swept()) {
            continue;
        }
        constexpr int kBlocks[] = {1, 3, 4, 16, 24, 64, 128};
        constexpr int64_t kPages[] = {1, 3, 4, 16, 24, 32, 64};
        std::vector<int64_t> lengths;
        for (int64_t s = 0, count = random.Between(1, 3); s < count; s++) {
            lengths.push_back(random.Below(3) == 0 ? random.Between(200, 700) : random.Between(0, 150));
        }
        Op op(random, lengths);
        op.p.streaming = {kBlocks[random.Below(7)], static_cast<int>(random.Below(3)), static_cast<int>(random.Between(1, 3))};
        if (round % 9 == 8) {  // as models have it: sinks of a whole split and more
            op.p.streaming = {128, 1 + static_cast<int>(random.Below(5)), 7};
            lengths = {brief ? random.Between(1000, 1100) : random.Between(1500, 1900)}, op.~Op(), new (&op) Op(random, lengths);
            op.p.streaming = {128, 1 + static_cast<int>(random.Below(5)), 7};
        }
        op.p.page_size = kPages[random.Below(7)];
        op.p.cache_type = Cached(random);
        op.Prepare();
        std::string what = Text("round %d: blocks of %d, %d sinks, %d local, pages of %d, %s", round, op.p.streaming.block_size,
                                op.p.streaming.sink_blocks, op.p.streaming.local_blocks, static_cast<int>(op.p.page_size), test::Name(op.p.cache_type));
        int64_t most = random.Below(2) == 0 ? random.Between(1, 9) : random.Between(20, 400);
        std::vector<std::vector<float>> want(lengths.size());
        std::vector<std::vector<int64_t>> chosen(lengths.size());
        for (size_t s = 0; s < lengths.size(); s++) {
            for (int64_t t = 0; t < lengths[s]; t += brief ? random.Between(7, 97) : lengths[s] < 80 ? 1 : random.Between(1, 23)) {
                chosen[s].push_back(t);
                std::vector<float> row = op.Expected(s, t, [&](int64_t, int64_t j) { return Visible(op.p.streaming, t, j); });
                want[s].insert(want[s].end(), row.begin(), row.end());
            }
        }
        for (CpuPath path : paths) {
            Threads threads(3);
            // The reference expands all keys that it sees in every step.
            bool reference = path == CpuPath::kReference;
            auto cut = Grown(random, path, op, lengths, reference ? std::max<int64_t>(most, brief ? 5000 : 90) : most, {}, &returned);
            auto whole = reference && brief ? cut : Grown(random, path, op, lengths, 5000, reference ? ParallelFor{} : threads.parallel(), &returned);
            for (size_t s = 0; s < lengths.size(); s++) {
                EXPECT(SameBits(cut[s], whole[s]), "%s %s, %s: sequence %d of %d tokens in steps of %d", Op::kName, Name(path), what.c_str(),
                       static_cast<int>(s), static_cast<int>(lengths[s]), static_cast<int>(most));
                std::vector<float> got;
                for (int64_t t : chosen[s]) {
                    got.insert(got.end(), cut[s].begin() + t * op.Outputs(), cut[s].begin() + (t + 1) * op.Outputs());
                }
                (Op::kPairs && RoundsToPairs(path, op.p.cache_type) ? rounded : comparison).Add(got, want[s], what + " " + Name(path));
            }
        }
    }
    // A part of the sweep, as under an emulator, gives back a part of them.
    EXPECT(returned > 20, "%d pages went back to the pool", static_cast<int>(returned));
}

// While all keys are within the pattern it is full attention; the sums are cut at the end of the sinks, so the bits may differ.
template <class Op>
void WithinTheSpan(CpuPath path) {
    Comparison comparison(Text("%s %s, streaming within the span", Op::kName, Name(path)).c_str(), 1e-5, "the order of float32 sums");
    Random random(72);
    std::vector<int64_t> lengths = {255, 31};
    Op op(random, lengths);
    op.p.page_size = 16;
    int64_t returned = 0;
    auto full = op;
    op.p.streaming = {64, 1, 3};
    Batch batch;
    int32_t page = 0;
    for (size_t s = 0; s < 2; s++) {
        for (int64_t t = 0; t < lengths[s]; t++) {
            batch.positions.push_back(t), batch.sequence.push_back(static_cast<int64_t>(s));
        }
        batch.start.push_back(static_cast<int32_t>(batch.positions.size())), batch.lengths.push_back(static_cast<int32_t>(lengths[s]));
        for (int b = 0; b < 16; b++) {
            batch.table.push_back(page++);
        }
    }
    batch.width = 16;
    op.p.pages = full.p.pages = page;
    std::vector<uint8_t> cache(static_cast<size_t>(page * 16 * op.Line()) * 4);
    op.p.cache = full.p.cache = cache.data();
    std::vector<float> a(batch.positions.size() * static_cast<size_t>(op.Outputs())), b = a;
    EXPECT(op.Run(path, batch, a.data(), {}).ok() && full.Run(path, batch, b.data(), {}).ok() && returned == 0, "both run");
    comparison.Add(a, b, "within the span");
}

// The memory asked for does not grow with the context, and of a million tokens only the entries that are seen need a page.
template <class Op, class Size>
void AMillionTokens(CpuPath path, Size&& size) {
    Random random(73);
    Op op(random, {1});
    op.p.streaming = {128, 1, 7}, op.p.page_size = 16, op.p.pages = 64;
    std::vector<uint8_t> cache(static_cast<size_t>(64 * 16 * op.Line()) * 4, 0);
    op.p.cache = cache.data();
    size_t bytes = 0;
    for (int64_t context : {2048, 131'072, 1'000'448}) {
        Batch batch;
        batch.start = {0, 1}, batch.lengths = {static_cast<int32_t>(context)}, batch.width = context / 16, batch.origin = context - 1;
        batch.positions = {context - 1}, batch.sequence = {0};
        batch.table.assign(static_cast<size_t>(batch.width), -1);
        int32_t page = 0;
        for (int64_t b = 0; b < batch.width; b++) {
            if (Visible(op.p.streaming, context - 1, b * 16)) {
                batch.table[static_cast<size_t>(b)] = page++;
            }
        }
        std::vector<float> output(static_cast<size_t>(op.Outputs()));
        Status status = op.Run(path, batch, output.data(), {});
        EXPECT(status.ok() && page <= 64, "%s %s: %s", Op::kName, Name(path), status.message);
        auto arguments = op.p;
        batch.Fill(&arguments);
        EXPECT(bytes == 0 || bytes == size(arguments), "%s %s: %zu bytes with a context of %d, %zu before", Op::kName, Name(path), size(arguments),
               static_cast<int>(context), bytes);
        bytes = size(arguments);
    }
}

template <class Op>
void Errors(CpuPath path) {
    Random random(74);
    std::vector<int64_t> lengths = {40};
    // Tokens 38 and 39 of pages of 4 and blocks of 8: they see block 0 (pages 0, 1) and block 4 (pages 8, 9).
    auto expect = [&](auto&& change, const char* part) {
        Op op(random, lengths);
        op.p.streaming = {8, 1, 1}, op.p.page_size = 4, op.p.pages = 5;
        Batch batch;
        batch.start = {0, 2}, batch.lengths = {40}, batch.width = 10, batch.positions = {38, 39}, batch.sequence = {0, 0};
        batch.table = {0, 1, -1, -1, -1, -1, -1, -1, 2, 3};
        change(op, batch);
        std::vector<uint8_t> cache(static_cast<size_t>(5 * 4 * op.Line()) * 4, 1), before = cache;
        op.p.cache = cache.data();
        std::vector<float> output(static_cast<size_t>(2 * op.Outputs()));
        Status status = op.Run(path, batch, output.data(), {});
        if (part == nullptr) {
            EXPECT(status.ok(), "%s: %s", Op::kName, status.message);
        } else {
            EXPECT_ERROR(status, part);
            EXPECT(before == cache, "%s: an error must leave the cache alone", part);
        }
    };
    expect([](Op&, Batch&) {}, nullptr);
    expect([](Op&, Batch& b) { b.table[2] = INT32_MAX, b.table[7] = 3; }, nullptr);  // never looked at
    expect([](Op&, Batch& b) { b.table[0] = -1; }, "block_table[0, 0] is page -1, expected 0..4 (the cache has 5 pages)");
    expect([](Op&, Batch& b) { b.table[1] = 5; }, "block_table[0, 1] is page 5");
    expect([](Op&, Batch& b) { b.table[8] = -1; }, "block_table[0, 8] is page -1");
    expect([](Op&, Batch& b) { b.table[1] = b.table[9]; }, "block_table[0, 1] is page 3, which this step writes for other tokens too");
    expect([](Op&, Batch& b) { b.table[8] = b.table[9]; }, "block_table[0, 8] is page 3, which this step writes");
    expect([](Op& op, Batch&) { op.p.streaming.block_size = -1; }, "block_size is -1, sink_blocks 1, local_blocks 1");
    expect([](Op& op, Batch&) { op.p.streaming.block_size = 0; }, "block_size is 0, sink_blocks 1, local_blocks 1");
    expect([](Op& op, Batch&) { op.p.streaming.sink_blocks = -1; }, "sink_blocks -1");
    expect([](Op& op, Batch&) { op.p.streaming.local_blocks = 0; }, "local_blocks 0");
    expect([](Op& op, Batch&) { op.p.streaming = {INT32_MAX, INT32_MAX, INT32_MAX}; }, "block_table[0, 2] is page -1");
}

void WithWindow() {
    Random random(75);
    Paged op(random, {1});
    op.p.streaming = {8, 1, 1}, op.p.window = 3, op.p.page_size = 4, op.p.pages = 1;
    Batch batch;
    batch.start = {0, 1}, batch.lengths = {1}, batch.width = 1, batch.positions = {0}, batch.sequence = {0}, batch.table = {0};
    std::vector<float> output(static_cast<size_t>(op.Outputs()));
    EXPECT_ERROR(op.Run(CpuPath::kReference, batch, output.data(), {}), "window is 3 with a streaming pattern of blocks of 8: expected one of the two");
}

}  // namespace

int main() {
    std::vector<CpuPath> paths = FastPaths();
    paths.push_back(CpuPath::kReference);
    AgainstFormula<Paged>(paths);
    AgainstFormula<Latent>(paths);
    WithWindow();
    for (CpuPath path : paths) {
        WithinTheSpan<Paged>(path);
        WithinTheSpan<Latent>(path);
        AMillionTokens<Paged>(path, PagedAttentionWorkspace);
        AMillionTokens<Latent>(path, LatentAttentionWorkspace);
        Errors<Paged>(path);
        Errors<Latent>(path);
    }
    return Report();
}
