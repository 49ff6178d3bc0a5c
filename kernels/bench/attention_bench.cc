// The two attentions over their paged caches against what one core can do: the read bandwidth B over the cache for grouped queries in decoding,
// the peak P of float32 multiply-adds (P2: of dot products of bfloat16, where a path has them) for latent attention and prefill, all measured here.
//   longcat_attention_bench [--only streaming|sparse|decode|prefill] [--seconds S] [--core C] [--threads N]
// streaming: one new token behind 2K to 1M tokens of context with the pattern 128 / 1 / 7, beside full attention behind 128K: what long
// contexts cost. Asserted: the slowest context takes at most 1.2 times what the fastest takes, full attention at least 50 times as much.
// sparse: five rows that verify speculated tokens behind 4K to 64K tokens of context, in blocks of 64 with one sink and four local ones: exact, and with
// a dense length of 1K or 4K tokens and a quarter or a tenth of the rest, by an attention that chooses its blocks and by one that takes another's.
// Asserted: behind 64K tokens a budget of a quarter takes at most half of the time of exact rows, one of a tenth at most a quarter.
// prefill: new tokens behind 4K to 64K, of the shapes of a large model and of longcat-nano.
// One thread, pinned to core C (default 1, where there is one), its processor time, the best of S seconds (0.5) a line. With N threads (prefill,
// or decode where it is named) the wall, which needs a quiet machine, N times one thread's P, and as B what they read together. Beside each line its floor: the larger of
// its bytes at B and its multiply-adds at P. A cache is larger than
// the processor's caches; streaming steps take other pages of it in turn, as the layers of a model do.
#include <cstdio>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "../tests/cache_bytes.h"
#include "longcat/latent_attention.h"
#include "longcat/paged_attention.h"
#include "machine.h"
#include "pool.h"

using namespace longcat;
using bench::Best;

namespace {

constexpr int64_t kPage = 16;
const StreamingPattern kPattern = {128, 1, 7};

double seconds = 0.5, peak = 0, peak_of_pairs = 0, bandwidth = 0;
int threads = 1;
bench::Pool* pool = nullptr;

ParallelFor Parallel() { return pool == nullptr ? ParallelFor{} : pool->parallel(); }

// Twelve independent sums of eight lanes: two of them a cycle is what the processors at hand do at most, with 512 bits one of sixteen.
__attribute__((target("avx2,fma"))) void Multiply(int64_t steps) {
    __m256 one = _mm256_set1_ps(1e-9f), s[12];
    for (__m256& sum : s) {
        sum = one;
    }
    for (int64_t i = 0; i < steps; i++) {
#pragma GCC unroll 12
        for (__m256& sum : s) {
            asm volatile("vfmadd213ps %1, %1, %0" : "+x"(sum) : "x"(one));
        }
    }
    asm volatile("" ::"x"(s[0]), "x"(s[11]));
}

double Peak() {
    constexpr int64_t kSteps = 1'000'000;
    return 2.0 * 8 * 12 * kSteps / Best(seconds, [] { Multiply(kSteps); });
}

// One cache for all lines: enough for 128K tokens of the widest line in bfloat16.
struct Memory {
    int64_t bytes;
    bench::Buffer buffer;
    explicit Memory(int64_t of) : bytes(of), buffer(of) {
        // Halves of small floats: finite in every type, scales of int8 rows as well.
        test::Random random(5);
        uint16_t* halves = reinterpret_cast<uint16_t*>(buffer.data());
        for (int64_t i = 0; i < bytes / 2; i++) {
            halves[i] = static_cast<uint16_t>(0x3c00 + (random.Next() & 0x80ff));
        }
    }
};

// Bytes per second that all threads read of it together: each a part, in eight streams.
double ReadTogether(const Memory& memory) {
    struct Part {
        const uint8_t* from;
        int64_t bytes;
    } part = {memory.buffer.data(), memory.bytes / threads / 4096 * 4096};
    auto read = [](void* argument, size_t i) {
        const Part& of = *static_cast<const Part*>(argument);
        bench::Read<8>(of.from + static_cast<int64_t>(i) * of.bytes, of.bytes);
    };
    ParallelFor parallel = Parallel();
    double best = Best(seconds, [&] { parallel.run(parallel.state, static_cast<size_t>(threads), read, &part); }, true);
    return static_cast<double>(part.bytes * threads) / best;
}

// One sequence whose last `fresh` tokens are new.
struct Tokens {
    int64_t context, fresh, pages;
    std::vector<int64_t> positions;
    std::vector<int32_t> start, length, table;
    std::vector<int64_t> seen;  // the columns that need a page

    Tokens(int64_t of, int64_t of_fresh, int64_t of_pages, const StreamingPattern& pattern) : context(of), fresh(of_fresh), pages(of_pages) {
        for (int64_t i = context - fresh; i < context; i++) {
            positions.push_back(i);
        }
        start = {0, static_cast<int32_t>(fresh)}, length = {static_cast<int32_t>(context)};
        table.assign(static_cast<size_t>((context + kPage - 1) / kPage), -1);
        for (int64_t b = 0; b < static_cast<int64_t>(table.size()); b++) {
            int64_t block = pattern.block_size == 0 ? 0 : ((b + 1) * kPage - 1) / pattern.block_size;
            if (pattern.block_size == 0 || b * kPage / pattern.block_size < pattern.sink_blocks ||
                block > (context - fresh) / pattern.block_size - pattern.local_blocks) {
                seen.push_back(b);
            }
        }
        Deal(0);
    }
    // Pages from `first` on, in an order that no prefetcher guesses.
    void Deal(int64_t first) {
        int64_t count = static_cast<int64_t>(seen.size());
        if (count > pages) {
            std::printf("%d pages are too few\n", static_cast<int>(pages));
            std::exit(1);
        }
        int64_t step = 7919 % count == 0 ? 1 : 7919;
        while (std::gcd(step, count) != 1) {
            step++;
        }
        for (int64_t i = 0; i < count; i++) {
            table[static_cast<size_t>(seen[static_cast<size_t>(i)])] = static_cast<int32_t>((first + i * step % count) % pages);
        }
    }
    int64_t Keys(const StreamingPattern& pattern) const {
        int64_t keys = 0;
        for (int64_t p : positions) {
            int64_t sinks = int64_t{pattern.sink_blocks} * pattern.block_size,
                    local = pattern.block_size == 0 ? 0 : std::max(sinks, (p / pattern.block_size - pattern.local_blocks + 1) * pattern.block_size);
            keys += std::min(sinks, p + 1) + std::max<int64_t>(0, p + 1 - local);
        }
        return keys;
    }
    template <class Arguments>
    void Fill(Arguments* p) const {
        p->tokens = fresh, p->sequences = 1, p->pages = pages, p->page_size = kPage, p->block_table_width = static_cast<int64_t>(table.size());
        p->position_ids = positions.data(), p->query_start = start.data(), p->context_length = length.data(), p->block_table = table.data();
    }
};

struct Line {
    double time, bytes, multiply_adds;
    bool pairs = false;  // of bfloat16: its floor is P2
};

void Print(const std::string& name, const Line& line) {
    double reading = line.bytes / bandwidth, arithmetic = 2 * line.multiply_adds / (line.pairs ? peak_of_pairs : peak);
    std::printf("%-78s %11.1f us %7.1f GB/s (%3.0f %% of B) %7.1f GFLOP/s (%3.0f %% of %s), floor %.1f us (%.1f us reading, %.1f us arithmetic)\n",
                name.c_str(), line.time * 1e6, line.bytes / line.time / 1e9, 100 * reading / line.time, 2 * line.multiply_adds / line.time / 1e9,
                100 * arithmetic / line.time, line.pairs ? "P2" : "P", std::max(reading, arithmetic) * 1e6, reading * 1e6, arithmetic * 1e6);
    std::fflush(stdout);
}

bool MultipliesPairs(CpuPath path, CacheType type) { return path == CpuPath::kAvx512Bf16 && type == CacheType::kBFloat16; }

template <class Run>
double Time(Tokens* tokens, bool turns, Run&& run) {
    int64_t at = 0, count = static_cast<int64_t>(tokens->seen.size());
    double best = 1e9, until = bench::Seconds(CLOCK_MONOTONIC) + seconds;
    for (int i = 0; i < 2 || bench::Seconds(CLOCK_MONOTONIC) < until; i++) {
        if (turns) {
            tokens->Deal(at);
            at = (at + count) % tokens->pages;
        }
        clockid_t clock = pool == nullptr ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
        double begin = bench::Seconds(clock);
        run();
        best = std::min(best, bench::Seconds(clock) - begin);
    }
    return best;
}

// Memory for a workspace, on a cache line of its own.
void* Aligned(std::vector<char>* memory, size_t bytes) {
    if (memory->size() < bytes + 64) {
        memory->resize(bytes + 64);
    }
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory->data()) + 63) / 64 * 64);
}

void Succeeded(const Status& status) {
    if (!status.ok()) {
        std::printf("%s\n", status.message);
        std::exit(1);
    }
}

// What sparse rows see, and the memory for it: all rows of a step are sparse.
struct Budget {
    int dense_tokens = 0, rho = 1000;
    bool choose = true;
};

struct SparseMemory {
    SparseBlocks sparse;
    std::vector<uint8_t> rows;
    std::vector<float> means;
    std::vector<int32_t> blocks, given;

    // `run` is called once with a set that is chosen, which those that choose none take.
    template <class Arguments, class Run>
    SparseMemory(const Budget& budget, Arguments* p, int64_t heads, int64_t width, Run&& run) : rows(static_cast<size_t>(p->tokens), 1) {
        test::Random random(8);
        means = random.Floats(p->pages * width);
        sparse.block_size = 64, sparse.dense_tokens = budget.dense_tokens, sparse.rho = budget.rho, sparse.sink_blocks = 1, sparse.local_blocks = 4;
        sparse.words = SparseWords(p->block_table_width, p->page_size, sparse.block_size);
        blocks.resize(static_cast<size_t>(heads * sparse.words));
        sparse.means = means.data(), sparse.rows = rows.data(), sparse.blocks = blocks.data();
        p->sparse = sparse;
        run();
        given = blocks;
        p->sparse.choose = budget.choose, p->sparse.given = given.data();
    }
};

struct Grouped {
    int heads, kv_heads, dim;
};

Line Paged(CpuPath path, const Memory& memory, const Grouped& shape, CacheType type, int64_t context, int64_t fresh, const StreamingPattern& pattern,
           const Budget* budget = nullptr) {
    test::Random random(6);
    PagedAttentionArguments p;
    p.num_heads = shape.heads, p.num_kv_heads = shape.kv_heads, p.head_dim = p.rotary_dim = shape.dim, p.softmax_scale = 0.09f;
    p.streaming = pattern, p.cache_type = type, p.cache = memory.buffer.data();
    int64_t line = PagedLineBytes(type, shape.kv_heads, shape.dim);
    Tokens tokens(context, fresh, memory.bytes / (kPage * line), pattern);
    tokens.Fill(&p);
    int64_t width = int64_t{shape.heads} * shape.dim, kv_width = int64_t{shape.kv_heads} * shape.dim;
    std::vector<float> query = random.Floats(fresh * width), key = random.Floats(fresh * kv_width), value = random.Floats(fresh * kv_width),
                       frequencies = random.Floats(shape.dim / 2), output(static_cast<size_t>(fresh * width));
    p.query = query.data(), p.key = key.data(), p.value = value.data(), p.inv_freq = frequencies.data(), p.output = output.data();
    std::vector<char> workspace;
    auto run = [&] { Succeeded(PagedAttention(path, p, Aligned(&workspace, PagedAttentionWorkspace(p)), Parallel())); };
    std::unique_ptr<SparseMemory> sparse;
    if (budget != nullptr) {
        sparse = std::make_unique<SparseMemory>(*budget, &p, shape.kv_heads, kv_width, run);
    }
    int64_t keys = tokens.Keys(pattern);
    double time = Time(&tokens, pattern.block_size > 0, run);
    return {time, static_cast<double>(static_cast<int64_t>(tokens.seen.size()) * kPage * line), 2.0 * static_cast<double>(keys * width), MultipliesPairs(path, type)};
}

struct LatentShape {
    int heads, nope, rope, value, rank;
};

Line Latent(CpuPath path, const Memory& memory, const LatentShape& shape, CacheType type, int64_t context, int64_t fresh, const StreamingPattern& pattern,
            const Budget* budget = nullptr) {
    const int heads = shape.heads, nope = shape.nope, rope = shape.rope, value = shape.value, rank = shape.rank;
    test::Random random(7);
    LatentAttentionArguments p;
    p.num_heads = heads, p.nope = nope, p.rope = rope, p.v = value, p.rank = rank, p.epsilon = 1e-6f, p.softmax_scale = 0.07f;
    p.streaming = pattern, p.cache_type = type, p.cache = memory.buffer.data();
    int64_t line = LatentLineBytes(type, rank, rope), weights = int64_t{heads} * (nope + value) * rank;
    Tokens tokens(context, fresh, memory.bytes / (kPage * line), pattern);
    tokens.Fill(&p);
    std::vector<float> query = random.Floats(fresh * heads * (nope + rope)), latent = random.Floats(fresh * (rank + rope)),
                       norm = random.Floats(rank), frequencies = random.Floats(rope / 2), output(static_cast<size_t>(fresh * heads * value));
    std::vector<uint16_t> kv_b(static_cast<size_t>(weights), 0x3c00);
    p.query = query.data(), p.latent = latent.data(), p.latent_norm = norm.data(), p.inv_freq = frequencies.data(), p.output = output.data();
    p.kv_b = {kv_b.data(), WeightType::kBFloat16};
    std::vector<char> workspace;
    auto run = [&] { Succeeded(LatentAttention(path, p, Aligned(&workspace, LatentAttentionWorkspace(p)), Parallel())); };
    std::unique_ptr<SparseMemory> sparse;
    if (budget != nullptr) {
        sparse = std::make_unique<SparseMemory>(*budget, &p, 1, rank + rope, run);
    }
    int64_t keys = tokens.Keys(pattern);
    double time = Time(&tokens, pattern.block_size > 0, run);
    double fold = static_cast<double>(fresh * weights), attend = static_cast<double>(keys * heads * (rank + rope + rank));
    return {time, static_cast<double>(static_cast<int64_t>(tokens.seen.size()) * kPage * line) + static_cast<double>(weights * 2), fold + attend,
            MultipliesPairs(path, type)};
}

const Grouped kGrouped = {32, 8, 128};
const LatentShape kLatent = {32, 128, 64, 128, 512}, kNano = {4, 32, 16, 48, 64};
int missed = 0;

void Hold(bool kept, const std::string& what) {
    std::printf("%s: %s\n", what.c_str(), kept ? "kept" : "MISSED");
    missed += kept ? 0 : 1;
}

template <class Run>
void Streaming(const std::string& name, Run&& run) {
    constexpr int64_t kContexts[] = {2048, 8192, 32'768, 131'072, 524'288, 1'048'576};
    Line lines[std::size(kContexts)];
    for (int round = 0; round < 3; round++) {  // in turns: what disturbs the machine for a while disturbs all of them
        for (size_t i = 0; i < std::size(kContexts); i++) {
            Line line = run(kContexts[i], kPattern);
            lines[i] = round == 0 || line.time < lines[i].time ? line : lines[i];
        }
    }
    double least = 1e9, most = 0, at_128k = 0;
    for (size_t i = 0; i < std::size(kContexts); i++) {
        Print(test::Text("%s, streaming, 1 token, context %d", name.c_str(), static_cast<int>(kContexts[i])), lines[i]);
        least = std::min(least, lines[i].time), most = std::max(most, lines[i].time);
        at_128k = kContexts[i] == 131'072 ? lines[i].time : at_128k;
    }
    Line full = run(131'072, StreamingPattern{});
    Print(test::Text("%s, full, 1 token, context 131072", name.c_str()), full);
    Hold(most <= 1.2 * least, test::Text("%s: 2K to 1M within a factor of %.3f (1.2)", name.c_str(), most / least));
    Hold(full.time >= 50 * at_128k, test::Text("%s: full is %.0f times streaming at 128K (50)", name.c_str(), full.time / at_128k));
}

// run(context, budget): five rows.
template <class Run>
void Sparse(const std::string& name, Run&& run) {
    for (int64_t context : {4096, 8192, 16'384, 32'768, 65'536}) {
        double exact = run(context, nullptr).time;
        std::printf("%-58s context %6d: exact %9.1f us;", name.c_str(), static_cast<int>(context), exact * 1e6);
        double quarter = 0, tenth = 0;
        for (Budget budget : {Budget{4096, 250, true}, Budget{4096, 250, false}, Budget{1024, 100, true}, Budget{1024, 100, false}}) {
            double time = run(context, &budget).time;
            std::printf(" L0 %d rho %.2f %s %9.1f us (%.2f);", budget.dense_tokens, budget.rho / 1000.0, budget.choose ? "chooses" : "reuses", time * 1e6,
                        time / exact);
            (budget.rho == 250 ? quarter : tenth) = std::max(budget.rho == 250 ? quarter : tenth, time / exact);
        }
        std::printf("\n");
        std::fflush(stdout);
        if (context == 65'536) {
            Hold(quarter <= 0.5, test::Text("%s: at 64K with L0 4096 and rho 0.25 %.2f of exact (0.5)", name.c_str(), quarter));
            Hold(tenth <= 0.25, test::Text("%s: at 64K with L0 1024 and rho 0.10 %.2f of exact (0.25)", name.c_str(), tenth));
        }
    }
}

}  // namespace

int main(int count, char** arguments) {
    std::string only;
    int core = 1;
    for (int i = 1; i + 1 < count; i += 2) {
        std::string name = arguments[i];
        if (name == "--only") {
            only = arguments[i + 1];
        } else if (name == "--seconds") {
            seconds = std::atof(arguments[i + 1]);
        } else if (name == "--threads") {
            threads = std::atoi(arguments[i + 1]);
        } else if (name == "--core") {
            core = std::atoi(arguments[i + 1]);
        } else {
            std::printf("unknown option %s; known: --only streaming|sparse|decode|prefill, --seconds S, --core C, --threads N\n", arguments[i]);
            return 2;
        }
    }
    bench::Pin(core);
    Memory memory(int64_t{131'072} * PagedLineBytes(CacheType::kBFloat16, kGrouped.kv_heads, kGrouped.dim));
    peak = Peak(), peak_of_pairs = bench::PeakPairs(seconds), bandwidth = bench::ReadBandwidth(memory.buffer.data(), memory.bytes, seconds);
    if (threads > 1) {
        static bench::Pool others(threads);
        cpu_set_t all;
        std::memset(&all, 0xff, sizeof(all));
        pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
        pool = &others, only = only == "decode" ? only : "prefill", peak *= threads, peak_of_pairs *= threads;
        bandwidth = ReadTogether(memory);
    }
    std::printf("%d threads, P %.1f GFLOP/s, P2 %.1f GFLOP/s, B %.1f GB/s\n", threads, peak / 1e9, peak_of_pairs / 1e9, bandwidth / 1e9);
    const char* forced = std::getenv("LONGCAT_KERNEL");
    for (CpuPath path : test::FastPaths()) {
        if (forced != nullptr && std::strcmp(forced, Name(path)) != 0) {
            continue;
        }
        for (CacheType type : {CacheType::kBFloat16, CacheType::kInt8}) {
            std::string paged = test::Text("%s Paged %d/%d heads of %d, %s", Name(path), kGrouped.heads, kGrouped.kv_heads, kGrouped.dim, test::Name(type));
            std::string latent = test::Text("%s Latent 32 heads, %s", Name(path), test::Name(type));
            if (only.empty() || only == "streaming") {
                Streaming(paged, [&](int64_t context, const StreamingPattern& pattern) { return Paged(path, memory, kGrouped, type, context, 1, pattern); });
                Streaming(latent, [&](int64_t context, const StreamingPattern& pattern) { return Latent(path, memory, kLatent, type, context, 1, pattern); });
            }
            if (only.empty() || only == "sparse") {
                Sparse(paged + ", 5 rows", [&](int64_t context, const Budget* budget) { return Paged(path, memory, kGrouped, type, context, 5, {}, budget); });
                Sparse(latent + ", 5 rows", [&](int64_t context, const Budget* budget) { return Latent(path, memory, kLatent, type, context, 5, {}, budget); });
            }
            for (int64_t context : {4096, 32'768, 131'072}) {
                if (!only.empty() && only != "decode") {
                    break;
                }
                for (const Grouped& shape : {Grouped{8, 8, 128}, Grouped{16, 8, 128}, kGrouped}) {
                    Print(test::Text("%s Paged %d/%d heads of %d, %s, 1 token, context %d", Name(path), shape.heads, shape.kv_heads, shape.dim,
                                     test::Name(type), static_cast<int>(context)),
                          Paged(path, memory, shape, type, context, 1, {}));
                }
                Print(test::Text("%s, 1 token, context %d", latent.c_str(), static_cast<int>(context)), Latent(path, memory, kLatent, type, context, 1, {}));
                Print(test::Text("%s Latent 4 heads of longcat-nano, %s, 1 token, context %d", Name(path), test::Name(type), static_cast<int>(context)),
                      Latent(path, memory, kNano, type, context, 1, {}));
            }
            for (int64_t context : {4096, 16'384, 65'536}) {
                if (!only.empty() && only != "prefill") {
                    break;
                }
                for (const StreamingPattern& pattern : {StreamingPattern{}, kPattern}) {
                    const char* kind = pattern.block_size == 0 ? "full" : "streaming";
                    int64_t fresh = context > 16'384 ? 128 : 1024, few = fresh / 4;  // seconds each
                    Print(test::Text("%s, %s, %d tokens, context %d", paged.c_str(), kind, static_cast<int>(fresh), static_cast<int>(context)),
                          Paged(path, memory, kGrouped, type, context, fresh, pattern));
                    Print(test::Text("%s, %s, %d tokens, context %d", latent.c_str(), kind, static_cast<int>(few), static_cast<int>(context)),
                          Latent(path, memory, kLatent, type, context, few, pattern));
                    Print(test::Text("%s Latent 4 heads of longcat-nano, %s, %s, 512 tokens, context %d", Name(path), test::Name(type), kind, static_cast<int>(context)),
                          Latent(path, memory, kNano, type, context, 512, pattern));
                }
            }
        }
    }
    return missed;
}
