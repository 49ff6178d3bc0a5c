// Sparse rows of both attentions (longcat/sparse_blocks.h): sequences grow by prefill and by rounds that write speculated tokens, of which
// some are rejected and overwritten. In every round the sets are held against scores in float64 over the keys themselves (no means kept),
// the outputs against a plain softmax over the sets, and exact rows, full budgets, threads and other batches against bits.
#include <algorithm>
#include <numeric>

#include "longcat/sparse_blocks.h"
#include "paged_case.h"
#include "plain_attention.h"

using namespace longcat;
using namespace longcat::test;

namespace {

int64_t CeilOf(int64_t value, int64_t by) { return (value + by - 1) / by; }

struct Memory {
    std::vector<uint8_t> cache;
    std::vector<float> means;
};

struct Result {
    std::vector<float> output;
    std::vector<int32_t> blocks;
    Memory memory;
};

// A step: of each sequence how many tokens come, and whether they are sparse.
struct Step {
    Batch batch;
    std::vector<uint8_t> rows;
    std::vector<int64_t> fresh;

    Step(const std::vector<int64_t>& done, const std::vector<int64_t>& of_fresh, const std::vector<bool>& sparse,
         const std::vector<std::vector<int32_t>>& pages, int64_t page_size)
        : fresh(of_fresh) {
        for (size_t s = 0; s < done.size(); s++) {
            batch.width = std::max(batch.width, CeilOf(done[s] + fresh[s], page_size));
        }
        for (size_t s = 0; s < done.size(); s++) {
            for (int64_t i = 0; i < fresh[s]; i++) {
                batch.positions.push_back(done[s] + i), batch.sequence.push_back(static_cast<int64_t>(s));
                rows.push_back(sparse[s] ? 1 : 0);
            }
            batch.start.push_back(static_cast<int32_t>(batch.positions.size()));
            batch.lengths.push_back(static_cast<int32_t>(done[s] + fresh[s]));
            for (int64_t b = 0; b < batch.width; b++) {
                batch.table.push_back(b * page_size < done[s] + fresh[s] ? pages[s][static_cast<size_t>(b)] : -1);
            }
        }
        rows.shrink_to_fit(), batch.table.shrink_to_fit(), batch.positions.shrink_to_fit();
    }
    int64_t First(size_t s) const { return batch.lengths[s] - fresh[s]; }
};

// The operator over a copy of the memory. A null budget: the feature is not there at all.
template <class Op>
Result Run(const Op& of, CpuPath path, const Step& step, const Memory& memory, const SparseBlocks* budget, const ParallelFor& parallel,
           const std::vector<uint8_t>* rows = nullptr, const std::vector<int32_t>* given = nullptr) {
    Op op = of;
    Result result{std::vector<float>(step.batch.positions.size() * static_cast<size_t>(op.Outputs())), {}, memory};
    op.p.cache = result.memory.cache.data();
    SparseBlocks sparse;
    if (budget != nullptr) {
        sparse = *budget;
        sparse.means = result.memory.means.data(), sparse.rows = (rows == nullptr ? step.rows : *rows).data();
        sparse.words = SparseWords(step.batch.width, op.p.page_size, sparse.block_size);
        result.blocks.assign(static_cast<size_t>(static_cast<int64_t>(step.fresh.size()) * op.SparseHeads() * sparse.words), -1);
        sparse.blocks = result.blocks.data();
        sparse.choose = given == nullptr, sparse.given = given == nullptr ? nullptr : given->data();
    }
    Status status = op.Run(path, step.batch, result.output.data(), parallel, sparse);
    EXPECT(status.ok(), "%s %s: %s", Op::kName, Name(path), status.message);
    return result;
}

bool Bit(const std::vector<int32_t>& sets, int64_t set, int64_t words, int64_t block) {
    return (static_cast<uint32_t>(sets[static_cast<size_t>(set * words + block / 32)]) >> (block % 32) & 1u) != 0;
}

// The sets by the rule of longcat/sparse_blocks.h, scored in float64 over the keys. Where two scores are close the choice is either's.
template <class Op>
void CheckSets(const Op& op, const Step& step, const SparseBlocks& budget, const std::vector<int32_t>& sets, const std::string& what,
               int64_t* left_out) {
    int64_t words = SparseWords(step.batch.width, op.p.page_size, budget.block_size), heads = op.SparseHeads(), block = budget.block_size;
    for (size_t s = 0; s < step.fresh.size(); s++) {
        int64_t first = step.First(s), context = step.batch.lengths[s], seen = first + 1, set = static_cast<int64_t>(s) * heads;
        bool any = step.fresh[s] > 0 && step.rows[static_cast<size_t>(step.batch.start[s])] == 1, all = any && seen <= budget.dense_tokens;
        int64_t local = std::max<int64_t>(0, first / block - budget.local_blocks + 1), sinks = std::min<int64_t>(budget.sink_blocks, local);
        std::vector<std::pair<double, bool>> scored;
        for (int64_t g = 0; g < heads; g++) {
            for (int64_t b = 0; b < words * 32; b++) {
                bool bit = Bit(sets, set + g, words, b), exists = b * block < context;
                if (!any || !exists || all || b < sinks || b >= local) {
                    EXPECT(bit == (any && exists), "%s: sequence %d head %d block %d is %d", what.c_str(), static_cast<int>(s),
                           static_cast<int>(g), static_cast<int>(b), bit);
                } else {
                    scored.emplace_back(op.Importance(s, first, g, b * block, (b + 1) * block), bit);
                    *left_out += bit ? 0 : 1;
                }
            }
        }
        if (!any || all) {
            continue;
        }
        int64_t tokens = (seen - budget.dense_tokens) * budget.rho / 1000 + budget.dense_tokens;
        int64_t want = heads * (CeilOf(tokens, block) - sinks - (CeilOf(seen, block) - local));
        want = std::max<int64_t>(0, std::min<int64_t>(want, static_cast<int64_t>(scored.size())));
        double lowest = INFINITY, highest = -INFINITY, most = 1e-3;
        int64_t chosen = 0;
        for (auto& [score, bit] : scored) {
            chosen += bit ? 1 : 0;
            (bit ? lowest : highest) = bit ? std::min(lowest, score) : std::max(highest, score);
            most = std::max(most, std::fabs(score));
        }
        EXPECT(chosen == want, "%s: sequence %d of %d tokens has %d pairs, expected %d", what.c_str(), static_cast<int>(s),
               static_cast<int>(seen), static_cast<int>(chosen), static_cast<int>(want));
        EXPECT(lowest >= highest - 1e-4 * most, "%s: sequence %d leaves out a block of score %g and takes one of %g", what.c_str(),
               static_cast<int>(s), highest, lowest);
    }
}

// The outputs against the softmax over the sets.
template <class Op>
void CheckOutputs(Op& op, const Step& step, const SparseBlocks& budget, const Result& result, Comparison* comparison,
                  const std::string& what) {
    int64_t words = SparseWords(step.batch.width, op.p.page_size, budget.block_size), heads = op.SparseHeads();
    for (size_t s = 0; s < step.fresh.size(); s++) {
        for (int64_t i = 0; i < step.fresh[s]; i++) {
            int64_t row = step.batch.start[s] + i;
            bool sparse = step.rows[static_cast<size_t>(row)] == 1;
            std::vector<float> want = op.Expected(s, step.First(s) + i, [&](int64_t g, int64_t j) {
                return !sparse || Bit(result.blocks, static_cast<int64_t>(s) * heads + g, words, j / budget.block_size);
            });
            comparison->Add({result.output.begin() + row * op.Outputs(), result.output.begin() + (row + 1) * op.Outputs()}, want, what);
        }
    }
}

// The means of all whole pages of a sequence's first `length` tokens.
template <class Op>
void CheckMeans(const Op& op, size_t s, int64_t length, const std::vector<int32_t>& pages, const std::vector<float>& means,
                Comparison* comparison) {
    for (int64_t b = 0; b < length / op.p.page_size; b++) {
        std::vector<float> want, got;
        for (int64_t i = 0; i < op.MeanWidth(); i++) {
            double sum = 0;
            for (int64_t j = b * op.p.page_size; j < (b + 1) * op.p.page_size; j++) {
                sum += op.KeyAt(s, j, i);
            }
            want.push_back(static_cast<float>(sum / static_cast<double>(op.p.page_size)));
            got.push_back(means[static_cast<size_t>(pages[static_cast<size_t>(b)] * op.MeanWidth() + i)]);
        }
        comparison->Add(got, want, "means");
    }
}

template <class Op>
bool SameRows(const Op& op, const Step& step, const std::vector<float>& a, const std::vector<float>& b, bool sparse) {
    bool same = true;
    for (size_t t = 0; t < step.rows.size(); t++) {
        size_t width = static_cast<size_t>(op.Outputs());
        same = same && ((step.rows[t] == 1) != sparse || std::memcmp(&a[t * width], &b[t * width], width * sizeof(float)) == 0);
    }
    return same;
}

template <class Op>
void Rounds(const std::vector<CpuPath>& paths) {
    Comparison outputs(Text("%s, sparse rows, against float64", Op::kName).c_str(), 3e-5, "float32 sums and exp");
    Comparison rounded(Text("%s, sparse rows, pairs of bfloat16", Op::kName).c_str(), kPairTolerance, kPairWhy);
    Comparison means(Text("%s, means of pages", Op::kName).c_str(), 2e-6, "float32 sums");
    Random random(81);
    int64_t left_out = 0, rejected = 0;
    for (int round = 0; round < 24; round++) {
        if (!Swept()) {
            continue;
        }
        constexpr int64_t kPages[] = {1, 3, 4, 16, 24};
        constexpr int kRho[] = {0, 100, 250, 500, 800, 1000};
        int64_t page = kPages[random.Below(5)];
        size_t count = static_cast<size_t>(random.Between(1, 3));
        std::vector<int64_t> done, room;
        for (size_t s = 0; s < count; s++) {
            done.push_back(round % 8 == 7 ? random.Between(1100, 1400) : random.Between(1, 330)), room.push_back(done[s] + 60);
        }
        Op op(random, room);
        op.p.page_size = page, op.p.cache_type = Cached(random);
        op.Prepare();
        SparseBlocks budget;
        budget.block_size = static_cast<int>(page * random.Between(1, page < 4 ? 20 : 3));
        budget.dense_tokens = static_cast<int>(random.Below(2) * random.Below(200)), budget.rho = kRho[random.Below(6)];
        budget.sink_blocks = static_cast<int>(random.Below(3)), budget.local_blocks = static_cast<int>(random.Between(1, 3));

        // Pages in any order, not all of them used.
        op.p.pages = 3;
        for (int64_t length : room) {
            op.p.pages += CeilOf(length, page);
        }
        std::vector<int32_t> free(static_cast<size_t>(op.p.pages));
        std::iota(free.begin(), free.end(), 0);
        for (size_t i = free.size(); i > 1; i--) {
            std::swap(free[i - 1], free[static_cast<size_t>(random.Below(static_cast<int64_t>(i)))]);
        }
        std::vector<std::vector<int32_t>> pages(count);
        for (size_t s = 0; s < count; s++) {
            for (int64_t b = 0; b < CeilOf(room[s], page); b++) {
                pages[s].push_back(free.back()), free.pop_back();
            }
        }
        // NaN everywhere: what is read before it is written shows.
        Memory memory{std::vector<uint8_t>(static_cast<size_t>(op.p.pages * page * op.LineBytes()), 0xff),
                      std::vector<float>(static_cast<size_t>(op.p.pages * op.MeanWidth()), NAN)};
        std::string what = Text("%s round %d: pages of %d, blocks of %d, dense %d, rho %d, %d sinks, %d local, %s", Op::kName, round,
                                static_cast<int>(page), budget.block_size, budget.dense_tokens, budget.rho, budget.sink_blocks,
                                budget.local_blocks, test::Name(op.p.cache_type));

        // The prompts, by steps; nothing of them is sparse.
        std::vector<int64_t> prompt = done;
        std::fill(done.begin(), done.end(), 0);
        while (done != prompt) {
            std::vector<int64_t> fresh;
            for (size_t s = 0; s < count; s++) {
                fresh.push_back(std::min(prompt[s] - done[s], random.Between(1, 500)));
            }
            Step step(done, fresh, std::vector<bool>(count), pages, page);
            Result exact = Run(op, paths[0], step, memory, nullptr, {}), with = Run(op, paths[0], step, memory, &budget, {});
            EXPECT(SameBits(exact.output, with.output) && exact.memory.cache == with.memory.cache, "%s: a prompt is computed as ever",
                   what.c_str());
            memory = with.memory;
            for (size_t s = 0; s < count; s++) {
                done[s] += fresh[s];
            }
        }
        for (int verify = 0; verify < 4; verify++) {
            std::vector<int64_t> fresh;
            std::vector<bool> sparse;
            for (size_t s = 0; s < count; s++) {
                fresh.push_back(
                    random.Below(6) == 0 ? 0 : std::min<int64_t>(room[s] - done[s], random.Between(1, random.Below(4) == 0 ? 20 : 6)));
                sparse.push_back(random.Below(4) != 0);
                for (int64_t i = 0; i < fresh[s]; i++) {  // the tokens that were rejected before are others now
                    op.Redraw(random, s, done[s] + i);
                }
            }
            op.Prepare();
            Step step(done, fresh, sparse, pages, page);
            Result exact;
            for (CpuPath path : paths) {
                Threads threads(3);
                exact = Run(op, path, step, memory, nullptr, {});
                Result result = Run(op, path, step, memory, &budget, {});
                CheckSets(op, step, budget, result.blocks, what + " " + Name(path), &left_out);
                Comparison* near = Op::kPairs && RoundsToPairs(path, op.p.cache_type) ? &rounded : &outputs;
                CheckOutputs(op, step, budget, result, near, what + " " + Name(path));
                EXPECT(exact.memory.cache == result.memory.cache, "%s %s: the cache is that of exact rows", what.c_str(), Name(path));
                EXPECT(SameRows(op, step, exact.output, result.output, false), "%s %s: exact rows beside sparse ones", what.c_str(),
                       Name(path));
                if (path != CpuPath::kReference) {
                    Result spread = Run(op, path, step, memory, &budget, threads.parallel());
                    EXPECT(SameBits(result.output, spread.output) && result.blocks == spread.blocks, "%s %s: with threads", what.c_str(),
                           Name(path));
                }
                // Everything is chosen, by the way of sparse rows.
                SparseBlocks all = budget;
                all.dense_tokens = 0, all.rho = 1000;
                Result full = Run(op, path, step, memory, &all, {});
                EXPECT(SameBits(exact.output, full.output), "%s %s: a budget for everything", what.c_str(), Name(path));
                all.dense_tokens = 1 << 20, all.rho = 0;
                EXPECT(SameBits(exact.output, Run(op, path, step, memory, &all, {}).output), "%s %s: everything is dense", what.c_str(),
                       Name(path));
                // Another attention takes the sets as they are, and any other set with what is always seen.
                Result same = Run(op, path, step, memory, &budget, {}, nullptr, &result.blocks);
                EXPECT(SameBits(result.output, same.output) && result.blocks == same.blocks, "%s %s: reused sets", what.c_str(),
                       Name(path));
                std::vector<int32_t> any(result.blocks.size());
                for (int32_t& word : any) {
                    word = static_cast<int32_t>(random.Next());
                }
                Result other = Run(op, path, step, memory, &budget, {}, nullptr, &any);
                CheckOutputs(op, step, budget, other, near, what + " any set " + Name(path));
                // A sequence alone.
                size_t alone = static_cast<size_t>(random.Below(static_cast<int64_t>(count)));
                std::vector<int64_t> one(count);
                one[alone] = fresh[alone];
                Step single(done, one, sparse, pages, page);
                Result lonely = Run(op, path, single, memory, &budget, {});
                EXPECT(fresh[alone] == 0 || std::memcmp(lonely.output.data(), result.output.data() + step.batch.start[alone] * op.Outputs(),
                                                        static_cast<size_t>(fresh[alone] * op.Outputs()) * sizeof(float)) == 0,
                       "%s %s: sequence %d alone", what.c_str(), Name(path), static_cast<int>(alone));
            }
            memory = Run(op, paths[0], step, memory, &budget, {}).memory;
            for (size_t s = 0; s < count; s++) {
                CheckMeans(op, s, done[s] + fresh[s], pages[s], memory.means, &means);
                int64_t accepted = fresh[s] == 0 ? 0 : random.Between(1, fresh[s]);
                rejected += fresh[s] - accepted;
                done[s] += accepted;
            }
        }
    }
    EXPECT(left_out > 20 && rejected > 3, "%d blocks were left out, %d tokens rejected", static_cast<int>(left_out),
           static_cast<int>(rejected));
}

// With norms and rotation, grouped queries and many splits: a budget for everything gives the bits of exact rows, also in a batch of both.
void EverythingWithRotation(CpuPath path) {
    Random random(82);
    for (CacheType type : {CacheType::kFloat32, CacheType::kBFloat16, CacheType::kInt8}) {
        PagedCase c(random, {12, 3, 32, 20, true, true, 0}, {{1500, 5}, {40, 3}, {700, 30}, {1030, 1}}, 16, type);
        std::vector<uint8_t> rows, pool = c.Pool();
        for (int64_t t = 0; t < c.p.tokens; t++) {
            rows.push_back(t < 5 || t >= 38);
        }
        std::vector<float> exact(static_cast<size_t>(c.p.tokens * 12 * 32)), sparse = exact, means = random.Floats(c.p.pages * 3 * 32);
        auto run = [&](std::vector<float>* output) {
            std::vector<uint8_t> cache = pool;
            c.p.cache = cache.data(), c.p.output = output->data();
            Workspace workspace(PagedAttentionWorkspace(c.p));
            Status status = PagedAttention(path, c.p, workspace.get(), {});
            EXPECT(status.ok(), "%s", status.message);
        };
        run(&exact);
        std::vector<int32_t> blocks(static_cast<size_t>(4 * 3 * SparseWords(c.p.block_table_width, 16, 64)));
        c.p.sparse.means = means.data(), c.p.sparse.rows = rows.data(), c.p.sparse.block_size = 64, c.p.sparse.rho = 1000;
        c.p.sparse.sink_blocks = 1, c.p.sparse.local_blocks = 4, c.p.sparse.blocks = blocks.data();
        c.p.sparse.words = SparseWords(c.p.block_table_width, 16, 64);
        run(&sparse);
        EXPECT(SameBits(exact, sparse), "%s %s: a budget for everything", Name(path), test::Name(type));
        c.p.sparse.rho = 100;
        run(&sparse);
        EXPECT(!SameBits(exact, sparse), "%s %s: a small budget shows", Name(path), test::Name(type));
    }
}

template <class Op>
void Errors(CpuPath path) {
    Random random(83);
    Op op(random, {40});
    op.p.page_size = 4, op.p.pages = 10;
    std::vector<std::vector<int32_t>> pages = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}};
    std::vector<uint8_t> cache(static_cast<size_t>(40 * op.LineBytes()), 1), before = cache;
    std::vector<float> means(static_cast<size_t>(10 * op.MeanWidth()));
    Step step({38}, {2}, {true}, pages, 4);
    std::vector<int32_t> blocks(static_cast<size_t>(op.SparseHeads()));
    std::vector<float> output(static_cast<size_t>(2 * op.Outputs()));
    auto expect = [&](auto&& change, const char* part) {
        SparseBlocks sparse;
        std::vector<uint8_t> rows = {1, 1};
        sparse.means = means.data(), sparse.block_size = 8, sparse.local_blocks = 1, sparse.blocks = blocks.data(), sparse.words = 1;
        Op other = op;
        other.p.cache = cache.data();
        sparse.rows = rows.data();
        change(other, sparse, rows);
        Status status = other.Run(path, step.batch, output.data(), {}, sparse);
        if (part == nullptr) {
            EXPECT(status.ok(), "%s: %s", Op::kName, status.message);
            cache = before;
        } else {
            EXPECT_ERROR(status, part);
            EXPECT(before == cache, "%s: an error must leave the cache alone", part);
        }
    };
    using Rows = std::vector<uint8_t>;
    expect([](Op&, SparseBlocks&, Rows&) {}, nullptr);
    expect([](Op&, SparseBlocks& b, Rows& rows) { rows = {0, 0}, b.rows = rows.data(), b.block_size = b.local_blocks = 0; }, nullptr);
    expect([](Op&, SparseBlocks& b, Rows& rows) { rows = {0, 0}, b.rows = rows.data(), b.block_size = -7, b.rho = -1; }, nullptr);
    expect([](Op&, SparseBlocks&, Rows& rows) { rows[1] = 0; },
           "sparse_rows[1] is 0 and sparse_rows[0], the first of sequence 0, is 1: expected 0 or 1, the same for all rows of a sequence");
    expect([](Op&, SparseBlocks&, Rows& rows) { rows[0] = rows[1] = 2; }, "sparse_rows[0] is 2");
    expect([](Op&, SparseBlocks& b, Rows&) { b.block_size = 6; }, "sparse_attention is block size 6,");
    expect([](Op&, SparseBlocks& b, Rows&) { b.block_size = 6; }, "expected a multiple of the page size (4)");
    expect([](Op&, SparseBlocks& b, Rows&) { b.block_size = 0; }, "block size 0");
    expect([](Op&, SparseBlocks& b, Rows&) { b.dense_tokens = -1; }, "dense length -1");
    expect([](Op&, SparseBlocks& b, Rows&) { b.rho = 1001; }, "rho 1001");
    expect([](Op&, SparseBlocks& b, Rows&) { b.rho = -1; }, "rho -1");
    expect([](Op&, SparseBlocks& b, Rows&) { b.sink_blocks = -1; }, "sink blocks -1");
    expect([](Op&, SparseBlocks& b, Rows&) { b.local_blocks = 0; }, "local blocks 0");
    expect([](Op&, SparseBlocks& b, Rows&) { b.words = 2; },
           "blocks has 2 words a set, expected 1 (10 columns of pages of 4 in blocks of 8)");
    expect([](Op&, SparseBlocks& b, Rows&) { b.choose = false; }, "a set to take where none is chosen");
    expect([](Op&, SparseBlocks& b, Rows&) { b.rows = nullptr; }, "expected an attention that sees the whole context, sparse_rows");
    expect([](Op& o, SparseBlocks&, Rows&) { o.p.streaming = {8, 1, 9}; }, "expected an attention that sees the whole context");
    expect([](Op&, SparseBlocks& b,
              Rows&) { b.block_size = INT32_MAX / 4 * 4, b.sink_blocks = b.local_blocks = INT32_MAX, b.dense_tokens = INT32_MAX; },
           nullptr);
    expect([](Op&, SparseBlocks& b, Rows&) { b.block_size = 4, b.sink_blocks = b.local_blocks = INT32_MAX; }, nullptr);
}

}  // namespace

int main() {
    std::vector<CpuPath> paths = FastPaths();
    paths.push_back(CpuPath::kReference);
    Rounds<Paged>(paths);
    Rounds<Latent>(paths);
    for (CpuPath path : paths) {
        EverythingWithRotation(path);
        Errors<Paged>(path);
        Errors<Latent>(path);
    }
    return Report();
}
