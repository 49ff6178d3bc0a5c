// Speed of every kernel, shape and path against what the machine can do: bytes of weights and caches per second beside the measured read
// bandwidth, and multiply-adds beside the measured peak.
//   bench [--threads N] [--only TEXT] [--seconds S]
// Best of as many runs as fit S seconds per line (0.3): wall time, or with one thread its processor time. Weights come from a pool larger
// than the last-level cache and each run takes the next part of it, as decoding does; otherwise the caches would be measured.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <ctime>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../tests/harness.h"
#include "longcat/expert_mixture.h"
#include "longcat/latent_attention.h"
#include "longcat/lora_matmul.h"
#include "longcat/matmul.h"
#include "longcat/ngram_embedding.h"
#include "longcat/paged_attention.h"
#include "longcat/quantize_rows.h"

using namespace longcat;
using longcat::test::Random;

namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

bool one_thread = true;

// With one thread its own processor time counts: what other processes take of a busy machine does not.
double Clock() {
    if (!one_thread) {
        return Now();
    }
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Threads that wait for work, so that their start is not measured; tasks are taken from one counter.
class Pool {
  public:
    explicit Pool(int threads) {
        for (int i = 1; i < threads; i++) {
            workers_.emplace_back([this] { Work(); });
        }
    }
    ~Pool() {
        {
            std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) {
            worker.join();
        }
    }
    ParallelFor parallel() { return workers_.empty() ? ParallelFor{} : ParallelFor{Run, this}; }

  private:
    static void Run(void* self, size_t count, void (*task)(void*, size_t), void* argument) {
        Pool& pool = *static_cast<Pool*>(self);
        {
            std::lock_guard lock(pool.mutex_);
            pool.task_ = task, pool.argument_ = argument, pool.count_ = count, pool.next_ = 0;
            pool.busy_ = pool.workers_.size();
            pool.generation_++;
        }
        pool.wake_.notify_all();
        pool.Drain();
        std::unique_lock lock(pool.mutex_);
        pool.done_.wait(lock, [&] { return pool.busy_ == 0; });
    }
    void Drain() {
        for (size_t i = next_++; i < count_; i = next_++) {
            task_(argument_, i);
        }
    }
    void Work() {
        size_t seen = 0;
        for (;;) {
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
                if (stop_) {
                    return;
                }
                seen = generation_;
            }
            Drain();
            std::lock_guard lock(mutex_);
            if (--busy_ == 0) {
                done_.notify_one();
            }
        }
    }
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    void (*task_)(void*, size_t) = nullptr;
    void* argument_ = nullptr;
    size_t count_ = 0, generation_ = 0, busy_ = 0;
    std::atomic<size_t> next_{0};
    bool stop_ = false;
};

constexpr size_t kPoolBytes = 512u << 20;
double seconds_per_line = 0.3;
std::string only;
double bandwidth = 0, peak = 0;
std::vector<uint16_t> weights_pool;
size_t weights_at = 0;

// The next `count` elements of the pool, as weights of that type.
Weights Take(WeightType type, int64_t count) {
    size_t bytes = (static_cast<size_t>(count) * SizeOf(type) + 63) / 64 * 64;
    if (bytes > kPoolBytes) {
        std::printf("a weight of %zu bytes does not fit the pool\n", bytes);
        std::exit(1);
    }
    if (weights_at + bytes > kPoolBytes) {
        weights_at = 0;
    }
    Weights weights{reinterpret_cast<const char*>(weights_pool.data()) + weights_at, type};
    weights_at += bytes;
    return weights;
}

double Best(const std::function<void()>& run) {
    double best = 1e9, until = Now() + seconds_per_line;
    run();
    do {
        double start = Clock();
        run();
        best = std::min(best, Clock() - start);
    } while (Now() < until);
    return best;
}

void Line(const std::string& name, CpuPath path, double bytes, double multiply_adds, const std::function<void()>& run) {
    if (!only.empty() && name.find(only) == std::string::npos) {
        return;
    }
    double time = Best(run), rate = bytes / time / 1e9, operations = 2 * multiply_adds / time / 1e9;
    std::printf("%-84s %-9s %9.1f us %7.1f GB/s (%3.0f %%) %7.1f GFLOP/s (%3.0f %%)\n", name.c_str(), Name(path), time * 1e6, rate,
                100 * rate / bandwidth, operations, 100 * operations / peak);
    std::fflush(stdout);
}

// Reading the pool and multiplying in registers, on all threads at once.
__attribute__((target("avx2,fma"))) double Peak(int64_t steps) {
    using V = float __attribute__((vector_size(32)));
    V x = {1e-9f, 1e-9f, 1e-9f, 1e-9f, 1e-9f, 1e-9f, 1e-9f, 1e-9f};
    V a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
    for (int64_t step = 0; step < steps; step++) {
        asm volatile(
            "vfmadd213ps %12, %12, %0\n vfmadd213ps %12, %12, %1\n vfmadd213ps %12, %12, %2\n vfmadd213ps %12, %12, %3\n"
            "vfmadd213ps %12, %12, %4\n vfmadd213ps %12, %12, %5\n vfmadd213ps %12, %12, %6\n vfmadd213ps %12, %12, %7\n"
            "vfmadd213ps %12, %12, %8\n vfmadd213ps %12, %12, %9\n vfmadd213ps %12, %12, %10\n vfmadd213ps %12, %12, %11\n"
            : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h), "+x"(i), "+x"(j), "+x"(k), "+x"(l)
            : "x"(x));
    }
    return static_cast<double>(a[0] + b[0] + c[0] + d[0] + e[0] + f[0] + g[0] + h[0] + i[0] + j[0] + k[0] + l[0]);
}

void Measure(const ParallelFor& parallel, int threads) {
    [[maybe_unused]] static volatile double sink;
    auto on_all = [&](auto&& body) {
        using Body = std::remove_reference_t<decltype(body)>;
        if (parallel.run == nullptr) {
            body(0);
            return;
        }
        parallel.run(
            parallel.state, static_cast<size_t>(threads), [](void* argument, size_t i) { (*static_cast<Body*>(argument))(i); }, &body);
    };
    size_t words = kPoolBytes / 8, part = words / static_cast<size_t>(threads);
    double time = Best([&] {
        auto read = [&](size_t t) {
            const uint64_t* from = reinterpret_cast<const uint64_t*>(weights_pool.data()) + t * part;
            uint64_t sum[8] = {};
            for (size_t i = 0; i + 8 <= part; i += 8) {
                for (size_t j = 0; j < 8; j++) {
                    sum[j] += from[i + j];
                }
            }
            sink = static_cast<double>(sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7]);
        };
        on_all(read);
    });
    bandwidth = static_cast<double>(kPoolBytes) / time / 1e9;
    constexpr int64_t kSteps = 2'000'000;
    time = Best([&] {
        auto multiply = [&](size_t) { sink = Peak(kSteps); };
        on_all(multiply);
    });
    peak = 2.0 * 12 * 8 * kSteps * threads / time / 1e9;
    std::printf("%d threads: read bandwidth %.1f GB/s, float32 multiply-add peak %.1f GFLOP/s\n", threads, bandwidth, peak);
}

void MatMuls(CpuPath path, WeightType type, const ParallelFor& parallel) {
    Random random(1);
    for (WeightLayout layout : {WeightLayout::kRows, WeightLayout::kPanels}) {
        for (auto [n, k] : {std::pair<int64_t, int64_t>{256, 256}, {3072, 3072}, {4096, 4096}, {2048, 5632}, {5632, 2048}, {131072, 256}}) {
            for (int64_t m : {1, 2, 4, 8, 16, 128, 512}) {
                if (m * n * k > (int64_t{9} << 30)) {
                    continue;
                }
                std::vector<float> a = random.Floats(m * k), y(static_cast<size_t>(m * n));
                MatMulArguments p;
                p.m = m, p.n = n, p.k = k, p.a = a.data(), p.y = y.data();
                Line(test::Text("MatMul %s %s [%d, %d] x [%d, %d]", test::Name(type), test::Name(layout), (int)m, (int)k, (int)n, (int)k),
                     path, static_cast<double>(n * k) * static_cast<double>(SizeOf(type)), static_cast<double>(m * n * k), [&] {
                         p.b = Take(type, n * k);  // all n are whole panels, all k even
                         p.b.layout = layout;
                         (void)MatMul(path, p, parallel);
                     });
            }
        }
    }
}

// The projections of the 1.1B Llama shape with adapters of rank 16: the floor is reading A and B of each adapter in the batch once, and base
// and the result once for every row.
void Adapters(CpuPath path, const ParallelFor& parallel) {
    constexpr int64_t kRank = 16;
    struct {
        int64_t k, n;
    } shapes[] = {{2048, 2048}, {2048, 256}, {2048, 5632}, {5632, 2048}};
    struct {
        int64_t m, adapters;
    } batches[] = {{1, 1}, {4, 1}, {4, 4}, {16, 4}, {256, 1}};
    Random random(1);
    for (auto& s : shapes) {
        for (auto& batch : batches) {
            std::vector<float> x = random.Floats(batch.m * s.k), base = random.Floats(batch.m * s.n), y(base.size());
            std::vector<int32_t> rows, start{0};
            for (int64_t i = 0; i < batch.m; i++) {
                rows.push_back(static_cast<int32_t>(i % batch.adapters));
            }
            for (int64_t i = 0; i < batch.adapters; i++) {
                start.push_back(static_cast<int32_t>((i + 1) * kRank));
            }
            LoraMatMulArguments p;
            p.m = batch.m, p.n = s.n, p.k = s.k, p.adapters = batch.adapters, p.ranks = batch.adapters * kRank, p.x = x.data(),
            p.base = base.data(), p.row_adapter = rows.data(), p.adapter_start = start.data(), p.y = y.data();
            test::Workspace workspace(LoraMatMulWorkspace(p));
            int64_t matrices = (s.k + s.n) * p.ranks;
            Line(test::Text("LoraMatMul [%d, %d] to %d, %d adapters of rank 16", (int)batch.m, (int)s.k, (int)s.n, (int)batch.adapters), path,
                 4.0 * static_cast<double>(matrices + batch.m * (s.k + 2 * s.n)), static_cast<double>(batch.m * (s.k + s.n) * kRank), [&] {
                     p.a = static_cast<const float*>(Take(WeightType::kFloat32, s.k * p.ranks).data);
                     p.b = static_cast<const float*>(Take(WeightType::kFloat32, s.n * p.ranks).data);
                     (void)LoraMatMul(path, p, workspace.get(), parallel);
                 });
        }
    }
}

void Embeddings(CpuPath path, WeightType type, const ParallelFor& parallel) {
    Random random(2);
    constexpr int64_t kHidden = 3072, kWidth = 256, kRows = 20011;
    for (int64_t tokens : {1, 16, 512}) {
        std::vector<int64_t> ids, context(3, -1);
        for (int64_t i = 0; i < tokens; i++) {
            ids.push_back(random.Below(1000));
        }
        std::vector<float> y(static_cast<size_t>(tokens * kHidden));
        int32_t start[] = {0, static_cast<int32_t>(tokens)};
        std::vector<NGramTable> tables(12);
        for (NGramTable& table : tables) {
            table = {Take(type, kRows * kWidth), {}, kRows, kRows};
        }
        NGramEmbeddingArguments p;
        p.tokens = tokens, p.sequences = 1, p.vocabulary = 1000, p.hidden = kHidden, p.table_width = kWidth, p.hash_vocab_size = 1000,
        p.eos_token_id = 2;
        p.neighbor_num = 4, p.split_num = 4, p.input_ids = ids.data(), p.query_start = start, p.ngram_context = context.data(),
        p.tables = tables.data();
        p.word = Take(type, 1000 * kHidden), p.embedding = y.data();
        std::vector<double> workspace(NGramEmbeddingWorkspace(p) / 8 + 9);
        Line(test::Text("NGramIds, %d tokens, 12 tables", (int)tokens), path, 12.0 * static_cast<double>(tokens) * 8, 0,
             [&] { NGramIds(path, p, reinterpret_cast<int64_t*>(workspace.data()), parallel); });
        p.hidden = 1;
        Line(test::Text("NGram rows %s, %d tokens, 12 tables of width 256", test::Name(type), (int)tokens), path,
             12.0 * kWidth * static_cast<double>(SizeOf(type)) * static_cast<double>(tokens), 0, [&] {
                 for (int64_t& id : ids) {
                     id = random.Below(1000);
                 }
                 for (NGramTable& table : tables) {
                     table.projection = Take(type, kWidth);
                 }
                 (void)NGramEmbedding(path, p, workspace.data(), parallel);
             });
        p.hidden = kHidden;
        Line(test::Text("NGramEmbedding %s, %d tokens, 12 tables of width 256, H 3072", test::Name(type), (int)tokens), path,
             12.0 * kHidden * kWidth * static_cast<double>(SizeOf(type)), 12.0 * kHidden * kWidth * static_cast<double>(tokens), [&] {
                 for (NGramTable& table : tables) {
                     table.projection = Take(type, kHidden * kWidth);
                     table.projection.layout = WeightLayout::kPanels;
                 }
                 (void)NGramEmbedding(path, p, workspace.data(), parallel);
             });
    }
}

void Attentions(CpuPath path, WeightType type, const ParallelFor& parallel) {
    Random random(3);
    constexpr int kHeads = 32, kNope = 128, kRope = 64, kValue = 128, kRank = 512;
    constexpr int64_t kPage = 16, kWidth = kRank + kRope;
    struct {
        int64_t sequences, fresh, context;
    } shapes[] = {{1, 1, 128}, {1, 1, 4096}, {1, 1, 32768}, {8, 1, 2048}, {1, 512, 512}, {1, 512, 4096}};
    for (auto& s : shapes) {
        LatentAttentionArguments p;
        p.num_heads = kHeads, p.nope = kNope, p.rope = kRope, p.v = kValue, p.rank = kRank, p.epsilon = 1e-6f, p.softmax_scale = 0.07f;
        p.tokens = s.sequences * s.fresh, p.sequences = s.sequences, p.page_size = kPage, p.block_table_width = s.context / kPage;
        p.pages = s.sequences * p.block_table_width;
        std::vector<int64_t> positions;
        std::vector<int32_t> start{0}, length, table;
        for (int64_t q = 0; q < s.sequences; q++) {
            for (int64_t i = 0; i < s.fresh; i++) {
                positions.push_back(s.context - s.fresh + i);
            }
            start.push_back(static_cast<int32_t>(positions.size()));
            length.push_back(static_cast<int32_t>(s.context));
            for (int64_t b = 0; b < p.block_table_width; b++) {
                table.push_back(static_cast<int32_t>(q * p.block_table_width + (b * 7919) % p.block_table_width));
            }
        }
        std::vector<float> query = random.Floats(p.tokens * kHeads * (kNope + kRope)), latent = random.Floats(p.tokens * kWidth),
                           norm = random.Floats(kRank), frequencies = random.Floats(kRope / 2),
                           cache = random.Floats(p.pages * kPage * kWidth), output(static_cast<size_t>(p.tokens * kHeads * kValue));
        p.query = query.data(), p.latent = latent.data(), p.latent_norm = norm.data(), p.inv_freq = frequencies.data(),
        p.position_ids = positions.data();
        p.query_start = start.data(), p.context_length = length.data(), p.block_table = table.data(), p.cache = cache.data(),
        p.output = output.data();
        std::vector<double> workspace(LatentAttentionWorkspace(p) / 8 + 9);
        double keys = 0;
        for (int64_t position : positions) {
            keys += static_cast<double>(position + 1);
        }
        double fold = static_cast<double>(p.tokens) * kHeads * kRank * (kNope + kValue), attend = keys * kHeads * (kWidth + kRank);
        double bytes = kHeads * (kNope + kValue) * kRank * static_cast<double>(SizeOf(type)) +
                       static_cast<double>(s.sequences * s.context * kWidth) * 4;
        Line(test::Text("LatentAttention %s, 32 heads, %d x %d tokens, context %d", test::Name(type), (int)s.sequences, (int)s.fresh,
                        (int)s.context),
             path, bytes, fold + attend, [&] {
                 p.kv_b = Take(type, kHeads * (kNope + kValue) * kRank);
                 (void)LatentAttention(path, p, workspace.data(), parallel);
             });
    }
}

// The weight type is that of the cache.
void PagedAttentions(CpuPath path, WeightType type, const ParallelFor& parallel) {
    Random random(6);
    constexpr int64_t kPage = 16;
    struct {
        int heads, kv_heads, dim, window;
        int64_t sequences, fresh, context;
    } shapes[] = {{32, 8, 128, 0, 1, 1, 512},     {32, 8, 128, 0, 1, 1, 4096},       {32, 8, 128, 0, 1, 1, 32768},
                  {32, 8, 128, 0, 8, 1, 2048},    {32, 32, 128, 0, 1, 1, 4096},      {16, 8, 64, 0, 1, 1, 4096},
                  {32, 8, 128, 0, 1, 128, 128},   {32, 8, 128, 0, 1, 512, 512},      {32, 8, 128, 0, 1, 512, 4096},
                  {32, 8, 128, 0, 1, 4096, 4096}, {32, 8, 128, 1024, 1, 4096, 4096}, {32, 32, 128, 0, 1, 512, 512},
                  {16, 8, 64, 0, 1, 512, 512},    {32, 8, 80, 0, 1, 512, 512}};
    for (auto& s : shapes) {
        PagedAttentionArguments p;
        p.num_heads = s.heads, p.num_kv_heads = s.kv_heads, p.head_dim = p.rotary_dim = s.dim, p.window = s.window, p.softmax_scale = 0.09f;
        p.tokens = s.sequences * s.fresh, p.sequences = s.sequences, p.page_size = kPage, p.block_table_width = s.context / kPage;
        p.pages = s.sequences * p.block_table_width, p.cache_type = type == WeightType::kFloat32 ? CacheType::kFloat32 : CacheType::kBFloat16;
        std::vector<int64_t> positions;
        std::vector<int32_t> start{0}, length, table;
        double keys = 0;
        for (int64_t q = 0; q < s.sequences; q++) {
            for (int64_t i = s.context - s.fresh; i < s.context; i++) {
                positions.push_back(i);
                keys += static_cast<double>(s.window > 0 ? std::min<int64_t>(s.window, i + 1) : i + 1);
            }
            start.push_back(static_cast<int32_t>(positions.size()));
            length.push_back(static_cast<int32_t>(s.context));
            for (int64_t b = 0; b < p.block_table_width; b++) {
                table.push_back(static_cast<int32_t>(q * p.block_table_width + (b * 7919) % p.block_table_width));
            }
        }
        int64_t width = int64_t{s.heads} * s.dim, kv_width = int64_t{s.kv_heads} * s.dim, pool = p.pages * kPage * 2 * kv_width;
        std::vector<float> query = random.Floats(p.tokens * width), key = random.Floats(p.tokens * kv_width),
                           value = random.Floats(p.tokens * kv_width), frequencies = random.Floats(s.dim / 2),
                           output(static_cast<size_t>(p.tokens * width));
        p.query = query.data(), p.key = key.data(), p.value = value.data(), p.inv_freq = frequencies.data(),
        p.position_ids = positions.data();
        p.query_start = start.data(), p.context_length = length.data(), p.block_table = table.data(), p.output = output.data();
        std::vector<double> workspace(PagedAttentionWorkspace(p) / 8 + 9);
        Line(test::Text("PagedAttention %s, %d / %d heads of %d, window %d, %d x %d tokens, context %d", test::Name(type), s.heads,
                        s.kv_heads, s.dim, s.window, (int)s.sequences, (int)s.fresh, (int)s.context),
             path, static_cast<double>(pool) * static_cast<double>(SizeOf(type)), 2 * keys * static_cast<double>(width), [&] {
                 // A cache that lies in memory, not in a cache of the processor.
                 p.cache = const_cast<void*>(Take(type, pool).data);
                 (void)PagedAttention(path, p, workspace.data(), parallel);
             });
    }
}

void Mixtures(CpuPath path, WeightType type, const ParallelFor& parallel) {
    Random random(4);
    constexpr int64_t kHidden = 3072, kIntermediate = 1024;
    constexpr int kExperts = 16, kZero = 8, kTop = 6;
    for (int64_t tokens : {1, 8, 64, 512}) {
        std::vector<float> x = random.Floats(tokens * kHidden), router = random.Floats((kExperts + kZero) * kHidden, 0.02f),
                           bias(kExperts + kZero), y(static_cast<size_t>(tokens * kHidden));
        ExpertMixtureArguments p;
        p.tokens = tokens, p.hidden = kHidden, p.intermediate = kIntermediate, p.experts = kExperts, p.zero_experts = kZero, p.top_k = kTop;
        p.routed_scaling_factor = 6, p.x = x.data(), p.router = router.data(), p.correction_bias = bias.data(), p.y = y.data();
        std::vector<double> workspace(ExpertMixtureWorkspace(p) / 8 + 9);
        int64_t matrix = kExperts * kIntermediate * kHidden;
        if (matrix * static_cast<int64_t>(SizeOf(type)) * 2 > static_cast<int64_t>(kPoolBytes)) {
            continue;
        }
        // On average two thirds of the choices are real experts; with few tokens that share of the experts is read.
        double pairs = static_cast<double>(tokens) * kTop * kExperts / (kExperts + kZero),
               read = std::min(pairs, static_cast<double>(kExperts));
        double expert = 3.0 * kIntermediate * kHidden;
        for (WeightLayout layout : {WeightLayout::kRows, WeightLayout::kPanels}) {
            Line(test::Text("ExpertMixture %s %s, %d tokens, 16 + 8 experts, top 6, H 3072, I 1024", test::Name(type), test::Name(layout),
                            (int)tokens),
                 path, read * expert * static_cast<double>(SizeOf(type)), pairs * expert, [&] {
                     p.gate = Take(type, matrix), p.up = Take(type, matrix), p.down = Take(type, matrix);
                     p.gate.layout = p.up.layout = p.down.layout = layout;
                     (void)ExpertMixture(path, p, workspace.data(), parallel);
                 });
        }
    }
}

// Rows of 8-bit activations out of floats that are near, as they are after the node that made them.
void Rows(CpuPath path, const ParallelFor& parallel) {
    Random random(6);
    constexpr int kRuns = 20;
    for (int64_t k : {1024, 4096, 12288}) {
        for (int64_t m : {1, 16}) {
            std::vector<float> x = random.Floats(m * k), y = random.Floats(m * k), weight = random.Floats(k), scale(static_cast<size_t>(m)),
                               normed(x.size()), sum(x.size());
            std::vector<int8_t> a(x.size());
            std::vector<int32_t> sums(x.size());
            QuantizedRows rows;
            rows.m = m, rows.k = k, rows.group = 128, rows.a = a.data(), rows.scale = scale.data(), rows.sums = sums.data();
            std::vector<char> memory(QuantizeWorkspace(rows) + 64);
            void* workspace = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
            auto line = [&](const char* name, auto&& run) {
                std::string what = test::Text("%s %d of %d", name, (int)m, (int)k);
                if (!only.empty() && what.find(only) == std::string::npos) {
                    return;
                }
                double time = Best([&] {
                    for (int i = 0; i < kRuns; i++) {
                        run();
                    }
                });
                std::printf("%-84s %-9s %9.3f us a row\n", what.c_str(), Name(path), time * 1e6 / static_cast<double>(kRuns * m));
                std::fflush(stdout);
            };
            line("QuantizeRows", [&] { (void)QuantizeRows(path, {rows, x.data()}, parallel); });
            RmsNormQuantizeArguments norm;
            norm.rows = rows, norm.epsilon = 1e-6f, norm.x = x.data(), norm.weight = weight.data();
            line("RmsNormQuantize", [&] { (void)RmsNormQuantize(path, norm, workspace, parallel); });
            norm.skip = y.data(), norm.sum = sum.data();
            line("RmsNormQuantize (skip, sum)", [&] { (void)RmsNormQuantize(path, norm, workspace, parallel); });
            norm.normed = normed.data();
            line("RmsNormQuantize (skip, sum, normed)", [&] { (void)RmsNormQuantize(path, norm, workspace, parallel); });
            line("SiluMulQuantize", [&] { (void)SiluMulQuantize(path, {rows, x.data(), y.data()}, workspace, parallel); });
        }
    }
}

}  // namespace

int main(int count, char** arguments) {
    int threads = 1;
    for (int i = 1; i + 1 < count; i += 2) {
        std::string name = arguments[i];
        if (name == "--threads") {
            threads = std::atoi(arguments[i + 1]);
        } else if (name == "--only") {
            only = arguments[i + 1];
        } else if (name == "--seconds") {
            seconds_per_line = std::atof(arguments[i + 1]);
        } else {
            std::printf("unknown option %s; known: --threads N, --only TEXT, --seconds S\n", arguments[i]);
            return 2;
        }
    }
    one_thread = threads == 1;
    // Halves of small floats: as bfloat16 and as float32 every value is finite.
    weights_pool.resize(kPoolBytes / 2);
    Random random(5);
    for (uint16_t& half : weights_pool) {
        half = static_cast<uint16_t>(0x3c00 + (random.Next() & 0x80ff));
    }
    Pool pool(threads);
    Measure(pool.parallel(), threads);
    const char* forced = std::getenv("LONGCAT_KERNEL");
    for (CpuPath path : test::FastPaths()) {
        if (forced != nullptr && std::strcmp(forced, Name(path)) != 0) {
            continue;
        }
        Rows(path, pool.parallel());
        Adapters(path, pool.parallel());
        for (WeightType type : {WeightType::kFloat32, WeightType::kBFloat16}) {
            MatMuls(path, type, pool.parallel());
            Embeddings(path, type, pool.parallel());
            Attentions(path, type, pool.parallel());
            PagedAttentions(path, type, pool.parallel());
            Mixtures(path, type, pool.parallel());
        }
    }
    return 0;
}
