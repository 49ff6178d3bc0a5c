// Random steps of every kernel: valid ones against the reference, spoiled ones must be refused and leave everything alone. Sizes, types,
// layouts, lengths, block tables, paths and numbers of threads are drawn; buffers are as long as the contract says and not a byte longer,
// so that a sanitizer sees what goes beyond. `./run sanitize` builds it with them.
//
//   longcat_fuzz [cases] [first case]      a case is drawn from its number alone: `longcat_fuzz 1 371` repeats case 371
#include <algorithm>
#include <functional>
#include <memory>

#include "fuzz_adapters.h"
#include "fuzz_integers.h"
#include "fuzz_sparse.h"
#include "fuzz_sparse_blocks.h"
#include "indexer_case.h"
#include "longcat/expert_mixture.h"
#include "longcat/latent_attention.h"
#include "longcat/lora_matmul.h"
#include "longcat/matmul.h"
#include "longcat/ngram_embedding.h"
#include "paged_case.h"

using namespace longcat;
using namespace longcat::test;

namespace {

// ---- MatMul

struct MatMulCase {
    MatMulArguments p;
    std::vector<float> a, bias, residual, y;
    Tensor b{WeightType::kFloat32, {}};
};

void Make(Random& random, MatMulCase* c, Step* step) {
    MatMulArguments& p = c->p;
    p.m = Size(random, random.Below(6) == 0 ? 100 : 20), p.n = Size(random, 90), p.k = Size(random, random.Below(6) == 0 ? 1100 : 80);
    WeightType type = Type(random);
    bool panels = random.Below(2) == 0;
    c->a = random.Floats(p.m * p.k), c->bias = random.Floats(p.n), c->residual = random.Floats(p.m * p.n);
    std::vector<float> rows = random.Floats(p.n * p.k);
    c->b = Tensor(type, panels ? InPanels(type, rows, p.n, p.k) : rows);
    p.a = c->a.data(), p.b = c->b.weights(panels ? WeightLayout::kPanels : WeightLayout::kRows);
    p.bias = random.Below(2) == 0 ? c->bias.data() : nullptr, p.residual = random.Below(2) == 0 ? c->residual.data() : nullptr;
    step->what = Text("MatMul m %d, n %d, k %d, %s, %s", (int)p.m, (int)p.n, (int)p.k, Name(type), Name(p.b.layout));
    step->run = [=](CpuPath path, const ParallelFor& parallel) { return MatMul(path, c->p, parallel); };
    step->reset = [=] { c->y.assign(static_cast<size_t>(std::max<int64_t>(0, c->p.m * c->p.n)), 0), c->p.y = c->y.data(); };
    step->output = [=] { return c->y; };
    step->spoilings = {[=] { c->p.m = -1; }, [=] { c->p.n = -5; }, [=] { c->p.k = INT64_MIN; }};
}

// ---- LoraMatMul

struct LoraCase {
    LoraMatMulArguments p;
    std::vector<float> x, base, a, b, gain, bias, residual, y;
    std::vector<int32_t> rows, start{0};
};

void Make(Random& random, LoraCase* c, Step* step) {
    LoraMatMulArguments& p = c->p;
    p.m = Size(random, random.Below(6) == 0 ? 150 : 20), p.n = Size(random, random.Below(6) == 0 ? 1200 : 90);
    p.k = Size(random, random.Below(6) == 0 ? 700 : 80), p.adapters = random.Between(1, random.Below(4) == 0 ? 30 : 4);
    for (int64_t i = 0; i < p.adapters; i++) {
        c->start.push_back(c->start.back() + static_cast<int32_t>(Size(random, random.Below(6) == 0 ? 90 : 20)));
    }
    c->start.shrink_to_fit();
    p.ranks = c->start.back();
    for (int64_t i = 0; i < p.m; i++) {
        c->rows.push_back(static_cast<int32_t>(random.Between(-1, p.adapters - 1)));
    }
    c->rows.shrink_to_fit();
    c->x = random.Floats(p.m * p.k), c->base = random.Floats(p.m * p.n), c->residual = random.Floats(p.m * p.n);
    c->a = random.Floats(p.k * p.ranks, 0.3f), c->b = random.Floats(p.ranks * p.n, 0.3f), c->gain = random.Floats(p.adapters * p.n);
    c->bias = random.Floats(p.n);
    p.x = c->x.data(), p.base = c->base.data(), p.a = c->a.data(), p.b = c->b.data();
    p.row_adapter = c->rows.data(), p.adapter_start = c->start.data();
    if (p.adapters == 1 && random.Below(2) == 0) {
        p.row_adapter = random.Below(2) == 0 ? nullptr : p.row_adapter, p.adapter_start = nullptr;
    }
    p.gain = random.Below(2) == 0 ? c->gain.data() : nullptr, p.bias = random.Below(2) == 0 ? c->bias.data() : nullptr;
    p.residual = random.Below(2) == 0 ? c->residual.data() : nullptr;
    step->what = Text("LoraMatMul m %d, n %d, k %d, %d ranks of %d adapters", (int)p.m, (int)p.n, (int)p.k, (int)p.ranks, (int)p.adapters);
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(LoraMatMulWorkspace(c->p));
        return LoraMatMul(path, c->p, workspace.get(), parallel);
    };
    step->reset = [=] { c->y.assign(static_cast<size_t>(std::max<int64_t>(0, c->p.m * c->p.n)), 0), c->p.y = c->y.data(); };
    step->output = [=] { return c->y; };
    step->spoilings = {[=] { c->p.m = -1; }, [=] { c->p.n = INT64_MAX; }, [=] { c->p.k = INT64_MIN; }, [=] { c->p.ranks = 1 << 21; },
                       [=] { c->p.adapters = -1; }};
    if (p.adapter_start != nullptr) {
        step->spoilings.insert(step->spoilings.end(), {[=] { c->start[0] = -1; }, [=] { c->start.back() += 1; }, [=] { c->p.ranks += 1; }});
    }
    if (p.row_adapter != nullptr && p.m > 0) {
        size_t at = static_cast<size_t>(random.Below(p.m));
        for (int32_t adapter : {-2, INT32_MIN, INT32_MAX, static_cast<int32_t>(p.adapters)}) {
            step->spoilings.push_back([=] { c->rows[at] = adapter; });
        }
    }
}

// ---- NGramEmbedding

struct NGramCase {
    NGramEmbeddingArguments p;
    std::vector<int64_t> ids, context;
    std::vector<int32_t> start{0};
    std::vector<NGramTable> tables;
    std::vector<Tensor> owned;
    std::vector<std::vector<uint8_t>> scaled;
    std::vector<float> embedding;
};

void Make(Random& random, NGramCase* c, Step* step) {
    NGramEmbeddingArguments& p = c->p;
    p.vocabulary = random.Between(3, 50), p.hidden = random.Between(1, 70), p.table_width = random.Between(1, 40);
    p.neighbor_num = static_cast<int>(random.Between(2, 4)), p.split_num = static_cast<int>(random.Between(1, 3));
    p.hash_vocab_size = p.vocabulary, p.eos_token_id = random.Below(3), p.sequences = random.Below(5);
    for (int64_t s = 0; s < p.sequences; s++) {
        int64_t length = Size(random, random.Below(6) == 0 ? 80 : 8);
        for (int64_t t = 0; t < length; t++) {
            c->ids.push_back(random.Below(p.vocabulary));
        }
        for (int i = 1; i < p.neighbor_num; i++) {
            c->context.push_back(random.Between(-1, p.vocabulary - 1));
        }
        c->start.push_back(static_cast<int32_t>(c->ids.size()));
    }
    p.tokens = static_cast<int64_t>(c->ids.size());
    c->ids.shrink_to_fit(), c->context.shrink_to_fit(), c->start.shrink_to_fit();
    int count = p.split_num * (p.neighbor_num - 1);
    bool panels = random.Below(2) == 0;
    c->owned.reserve(static_cast<size_t>(2 * count + 1));
    auto own = [&](bool in_panels, int64_t n, int64_t k) {
        WeightType type = Type(random);
        std::vector<float> rows = random.Floats(n * k);
        c->owned.emplace_back(type, in_panels ? InPanels(type, rows, n, k) : rows);
        return c->owned.back().weights(in_panels ? WeightLayout::kPanels : WeightLayout::kRows);
    };
    p.word = own(false, p.vocabulary, p.hidden);
    for (int i = 0; i < count; i++) {
        NGramTable table;
        table.modulus = random.Between(1, 40), table.row_count = table.modulus + random.Below(3);
        table.rows = own(false, table.row_count, p.table_width), table.projection = own(panels, p.hidden, p.table_width);
        if (random.Below(3) == 0) {
            c->scaled.push_back(ScaledRows(random, table.row_count, p.table_width));
            table.rows = {}, table.scaled_rows = reinterpret_cast<const int8_t*>(c->scaled.back().data());
        }
        c->tables.push_back(table);
    }
    p.input_ids = c->ids.data(), p.query_start = c->start.data(), p.ngram_context = c->context.data(), p.tables = c->tables.data();
    step->what = Text("NGramEmbedding %d tokens of %d sequences, %d tables of %d, hidden %d", (int)p.tokens, (int)p.sequences, count,
                      (int)p.table_width, (int)p.hidden);
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(NGramEmbeddingWorkspace(c->p));
        return NGramEmbedding(path, c->p, workspace.get(), parallel);
    };
    step->reset = [=] { c->embedding.assign(c->ids.size() * static_cast<size_t>(c->p.hidden), 0), c->p.embedding = c->embedding.data(); };
    step->output = [=] { return c->embedding; };
    step->spoilings = {[=] { c->start[0] = 1; }, [=] { c->start.back() += 1; }, [=] { c->tables[0].modulus = 0; },
                       [=] { c->tables.back().modulus = c->tables.back().row_count + 1; }};
    if (!c->ids.empty()) {
        size_t at = static_cast<size_t>(random.Below(p.tokens));
        for (int64_t id : {int64_t{-1}, p.vocabulary, INT64_MAX, INT64_MIN}) {
            step->spoilings.push_back([=] { c->ids[at] = id; });
        }
    }
    if (!c->context.empty()) {
        step->spoilings.push_back([=] { c->context[0] = -2; });
        step->spoilings.push_back([=] { c->context.back() = c->p.vocabulary; });
    }
}

// ---- the attentions

std::vector<PagedSequence> Sequences(Random& random) {
    std::vector<PagedSequence> sequences(static_cast<size_t>(random.Below(5)));
    for (PagedSequence& s : sequences) {
        s.fresh = Size(random, random.Below(5) == 0 ? 150 : 6);
        s.context = s.fresh + (random.Below(6) == 0 ? random.Below(1300) : random.Below(90));
    }
    return sequences;
}

// Every second time full attention.
StreamingPattern Streaming(Random& random) {
    constexpr int kBlocks[] = {1, 3, 4, 8, 16, 64, 128};
    return random.Below(2) == 0 ? StreamingPattern{}
                                : StreamingPattern{kBlocks[random.Below(7)], static_cast<int>(random.Below(3)), static_cast<int>(random.Between(1, 4))};
}

// What every step over a paged cache can be spoiled with; `pages` made its block table.
template <class C>
void SpoilStep(Random& random, C* c, const PagedCase& pages, Step* step) {
    auto& p = c->p;
    step->spoilings.insert(step->spoilings.end(), {[=] { c->start[0] = -1; }, [=] { c->start.back() = INT32_MAX; },
                                                   [=] { c->p.page_size = 0; }, [=] { c->p.pages = INT64_MAX; }});
    if constexpr (requires { c->p.streaming; }) {
        step->spoilings.push_back([=] { c->p.streaming.local_blocks = -1; });
        if (p.streaming.block_size > 0) {
            step->spoilings.insert(step->spoilings.end(),
                                   {[=] { c->p.streaming.block_size = 0; }, [=] { c->p.streaming.block_size = INT32_MIN; },
                                    [=] { c->p.streaming.sink_blocks = -1; }, [=] { c->p.streaming.local_blocks = 0; }});
        }
    }
    for (int64_t s = 0; s < p.sequences; s++) {
        int64_t first = c->start[static_cast<size_t>(s)], count = c->start[static_cast<size_t>(s) + 1] - first, at = s;
        if (count == 0) {
            continue;
        }
        int64_t used = (c->lengths[static_cast<size_t>(s)] + p.page_size - 1) / p.page_size, row = s * p.block_table_width;
        PagedSequence shape{c->lengths[static_cast<size_t>(s)], count};
        int64_t column = random.Below(used);
        while (!pages.Seen(shape, column)) {
            column = (column + 1) % used;
        }
        size_t token = static_cast<size_t>(first + random.Below(count)), entry = static_cast<size_t>(row + column);
        for (int32_t length : {-1, 0, INT32_MAX, INT32_MIN}) {
            step->spoilings.push_back([=] { c->lengths[static_cast<size_t>(at)] = length; });
        }
        for (int64_t position : {int64_t{-1}, INT64_MAX, c->positions[token] + 1}) {
            step->spoilings.push_back([=] { c->positions[token] = position; });
        }
        for (int64_t page : {int64_t{-1}, p.pages, int64_t{INT32_MAX}, int64_t{INT32_MIN}}) {
            step->spoilings.push_back([=] { c->table[entry] = static_cast<int32_t>(page); });
        }
        if (used > 1 && pages.Seen(shape, 0)) {
            step->spoilings.push_back([=] { c->table[static_cast<size_t>(row)] = c->table[static_cast<size_t>(row + used - 1)]; });
        }
    }
}

struct PagedFuzz : PagedCase {
    using PagedCase::PagedCase;
    PagedResult result;
    std::unique_ptr<SparseFuzz> sparse;
};

void Make(Random& random, std::unique_ptr<PagedFuzz>* owner, Step* step) {
    constexpr int64_t kPages[] = {1, 3, 4, 16, 16, 24, 32, 48};
    PagedShape d;
    d.kv_heads = static_cast<int>(random.Between(1, 3)),
    d.heads = d.kv_heads * static_cast<int>(random.Between(1, random.Below(8) == 0 ? 40 : 8));
    d.dim = static_cast<int>(random.Between(1, random.Below(10) == 0 ? 300 : 70)),
    d.rotary = static_cast<int>(random.Below(d.dim / 2 + 1)) * 2;
    d.interleaved = random.Below(2) == 0, d.norms = random.Below(2) == 0;
    d.streaming = Streaming(random);
    d.window = d.streaming.block_size > 0 || random.Below(2) == 0 ? 0 : static_cast<int>(random.Between(1, random.Below(2) == 0 ? 10 : 700));
    *owner = std::make_unique<PagedFuzz>(random, d, Sequences(random), kPages[random.Below(8)], Cached(random));
    PagedFuzz* c = owner->get();
    if (d.streaming.block_size == 0 && d.window == 0 && random.Below(2) == 0) {
        c->sparse = SparseFuzz::Make(random, &c->p, d.kv_heads, int64_t{d.kv_heads} * d.dim);
    }
    step->what =
        Text("PagedAttention %d tokens of %d sequences, %d / %d heads of %d, rotary %d, window %d, blocks of %d, pages of %d, %s", (int)c->p.tokens,
             (int)c->p.sequences, d.heads, d.kv_heads, d.dim, d.rotary, d.window, d.streaming.block_size, (int)c->p.page_size,
             Name(c->p.cache_type));
    step->pairs = c->p.cache_type == CacheType::kBFloat16;
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(PagedAttentionWorkspace(c->p));
        return PagedAttention(path, c->p, workspace.get(), parallel);
    };
    step->reset = [=] {
        c->result = {std::vector<float>(c->query.size()), c->Pool()};
        c->p.output = c->result.output.data(), c->p.cache = c->result.cache.data();
        if (c->sparse != nullptr) {
            c->sparse->Reset();
        }
    };
    step->output = [=] {
        std::vector<float> written = Appended(c->result.output, c->result.cache);
        return c->sparse == nullptr ? written : c->sparse->Appended(written);
    };
    step->spoilings = {[=] { c->p.num_kv_heads = 0; }, [=] { c->p.num_heads = c->p.num_kv_heads * 40'000; }, [=] { c->p.head_dim = 1025; },
                       [=] { c->p.rotary_dim = c->p.head_dim + 1 + c->p.head_dim % 2; }, [=] { c->p.window = INT32_MIN; }};
    SpoilStep(random, c, *c, step);
    if (c->sparse != nullptr) {
        c->sparse->Spoil(random, c, step);
    }
}

// The step of a PagedCase with the latent inputs.
struct LatentCase {
    std::unique_ptr<PagedCase> step;
    LatentAttentionArguments p;
    std::vector<float> query, latent, norm, frequencies, cache, output, adapted;
    std::vector<int32_t> rows, selected;
    std::vector<uint8_t> bytes;
    std::unique_ptr<Tensor> kv_b;
    std::unique_ptr<SparseFuzz> sparse;
    int64_t line;  // numbers of one; the arguments may be spoiled later
    std::vector<int32_t>&start, &lengths, &table;
    std::vector<int64_t>& positions;

    LatentCase(Random& random, int64_t page)
        : step(std::make_unique<PagedCase>(random, PagedShape{1, 1, 1, 0, false, false, 0, Streaming(random)}, Sequences(random), page,
                                           CacheType::kFloat32)),
          start(step->start),
          lengths(step->lengths),
          table(step->table),
          positions(step->positions) {
        p.num_heads = static_cast<int>(random.Between(1, 20)), p.nope = static_cast<int>(random.Between(1, 20));
        p.rope = 2 * static_cast<int>(random.Between(1, 8)), p.v = static_cast<int>(random.Between(1, 20));
        p.rank = static_cast<int>(random.Between(1, 70)), p.epsilon = 1e-6f, p.query_scale = 1.5f, p.latent_scale = 2,
        p.softmax_scale = 0.3f, line = p.rank + p.rope;
        const PagedAttentionArguments& s = step->p;
        p.tokens = s.tokens, p.sequences = s.sequences, p.pages = s.pages, p.page_size = s.page_size,
        p.block_table_width = s.block_table_width;
        p.position_ids = s.position_ids, p.query_start = s.query_start, p.context_length = s.context_length, p.block_table = s.block_table;
        p.streaming = s.streaming;
        query = random.Floats(p.tokens * p.num_heads * (p.nope + p.rope)), latent = random.Floats(p.tokens * (p.rank + p.rope));
        norm = random.Floats(p.rank), frequencies = random.Floats(p.rope / 2), cache = random.Floats(p.pages * page * (p.rank + p.rope));
        kv_b = std::make_unique<Tensor>(Type(random), random.Floats(int64_t{p.num_heads} * (p.nope + p.v) * p.rank, 0.2f));
        p.query = query.data(), p.latent = latent.data(), p.latent_norm = norm.data(), p.kv_b = kv_b->weights(),
        p.inv_freq = frequencies.data();
        p.cache_type = Cached(random);
        p.adapters = random.Below(4);
        adapted = random.Floats(p.adapters * p.num_heads * (p.nope + p.v) * p.rank, 0.2f);
        for (int64_t s = 0; s < p.sequences; s++) {
            rows.insert(rows.end(), static_cast<size_t>(start[static_cast<size_t>(s) + 1] - start[static_cast<size_t>(s)]),
                        static_cast<int32_t>(random.Between(-1, p.adapters - 1)));
        }
        rows.shrink_to_fit();
        if (p.adapters > 0) {
            p.kv_b_adapted = adapted.data(), p.row_adapter = rows.data();
        }
        if (p.streaming.block_size == 0 && random.Below(2) == 0) {
            p.selected_width = random.Between(1, random.Below(4) == 0 ? 200 : 20);
            for (int64_t position : positions) {
                size_t end = selected.size() + static_cast<size_t>(p.selected_width);
                for (int64_t j = random.Below(position + 1); j <= position && selected.size() < end; j += random.Between(1, 12)) {
                    selected.push_back(static_cast<int32_t>(j));
                }
                selected.resize(end, -1);
            }
            selected.shrink_to_fit();
            static const int32_t none = -1;
            p.selected = selected.empty() ? &none : selected.data();
        }
        if (p.streaming.block_size == 0 && p.selected == nullptr) {
            sparse = SparseFuzz::Make(random, &p, 1, line);
        }
    }
};

void Make(Random& random, std::unique_ptr<LatentCase>* owner, Step* step) {
    *owner = std::make_unique<LatentCase>(random, random.Between(1, 20));
    LatentCase* c = owner->get();
    step->what =
        Text("LatentAttention %d tokens of %d sequences, %d heads of %d + %d, %d, rank %d, blocks of %d, pages of %d, %s", (int)c->p.tokens,
             (int)c->p.sequences, c->p.num_heads, c->p.nope, c->p.rope, c->p.v, c->p.rank, c->p.streaming.block_size, (int)c->p.page_size,
             Name(c->p.cache_type));
    step->pairs = c->p.cache_type == CacheType::kBFloat16;
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(LatentAttentionWorkspace(c->p));
        return LatentAttention(path, c->p, workspace.get(), parallel);
    };
    step->reset = [=] {
        c->bytes = CacheBytes(c->p.cache_type, c->cache, c->line, 2);
        c->output.assign(c->positions.size() * static_cast<size_t>(c->p.num_heads * c->p.v), 0);
        c->p.output = c->output.data(), c->p.cache = c->bytes.data();
        if (c->sparse != nullptr) {
            c->sparse->Reset();
        }
    };
    step->output = [=] {
        std::vector<float> written = Appended(c->output, c->bytes);
        return c->sparse == nullptr ? written : c->sparse->Appended(written);
    };
    step->spoilings = {[=] { c->p.num_heads = 32'769; }, [=] { c->p.rank = INT32_MAX; }, [=] { c->p.rope = 3; }, [=] { c->p.v = 0; }};
    SpoilStep(random, c, *c->step, step);
    if (c->sparse != nullptr) {
        c->sparse->Spoil(random, c, step);
    }
    if (!c->selected.empty()) {
        size_t token = static_cast<size_t>(random.Below(c->p.tokens)) * static_cast<size_t>(c->p.selected_width);
        for (int32_t value : {-1, -2, INT32_MAX, static_cast<int32_t>(c->positions.back() + 1000)}) {
            step->spoilings.push_back([=] { c->selected[token] = value; });
        }
        step->spoilings.push_back([=] { c->p.selected_width = 0; });
        step->spoilings.push_back([=] { c->p.streaming = {1, 0, 1}; });
    }
    if (c->p.adapters > 0 && c->p.tokens > 0) {
        step->spoilings.insert(step->spoilings.end(), {[=] { c->p.adapters = -1; }, [=] { c->rows[0] = -2; }, [=] { c->rows.back() = INT32_MAX; },
                                                       [=] { c->p.row_adapter = nullptr, c->p.kv_b_adapted = nullptr; }});
    }
}

struct IndexerFuzz : IndexerCase {
    using IndexerCase::IndexerCase;
    std::vector<uint8_t> bytes;
    std::vector<int32_t> selected;
};

void Make(Random& random, std::unique_ptr<IndexerFuzz>* owner, Step* step) {
    constexpr int64_t kPages[] = {1, 3, 4, 16, 16, 24, 32, 48};
    IndexerShape d;
    d.heads = static_cast<int>(random.Between(1, 20)), d.dim = static_cast<int>(random.Between(1, random.Below(8) == 0 ? 200 : 40));
    d.rope = static_cast<int>(random.Below(d.dim / 2 + 1)) * 2, d.top_k = static_cast<int>(random.Between(1, random.Below(4) == 0 ? 300 : 30));
    d.init = static_cast<int>(random.Below(d.top_k + 1)), d.local = static_cast<int>(random.Below(d.top_k - d.init + 1));
    *owner = std::make_unique<IndexerFuzz>(random, d, Sequences(random), kPages[random.Below(8)], Type(random));
    IndexerFuzz* c = owner->get();
    if (random.Below(2) == 0) {  // many equal scores
        for (float& weight : c->weights) {
            weight = std::max(0.0f, weight);
        }
    }
    step->what = Text("AttentionIndexer %d tokens of %d sequences, %d heads of %d, rope %d, top %d (%d, %d), pages of %d, %s", (int)c->p.tokens,
                      (int)c->p.sequences, d.heads, d.dim, d.rope, d.top_k, d.init, d.local, (int)c->p.page_size, Name(c->p.cache_type));
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(AttentionIndexerWorkspace(c->p));
        return AttentionIndexer(path, c->p, workspace.get(), parallel);
    };
    step->reset = [=] {
        c->bytes = c->Pool(), c->selected.assign(c->positions.size() * static_cast<size_t>(d.top_k), -7);
        c->p.cache = c->bytes.data(), c->p.selected = c->selected.data();
    };
    step->output = [=] {
        std::vector<float> all(c->selected.begin(), c->selected.end());
        return Appended(all, c->bytes);
    };
    step->spoilings = {[=] { c->p.num_heads = 0; }, [=] { c->p.head_dim = 1025; }, [=] { c->p.rope_dim = c->p.head_dim + 2; },
                       [=] { c->p.init_tokens = c->p.top_k + 1; }, [=] { c->p.local_tokens = -1; }, [=] { c->p.top_k = 0; }};
    SpoilStep(random, c, *c->step, step);
}

// ---- ExpertMixture

struct MixtureCase {
    ExpertMixtureArguments p;
    DrawnAdapters adapters;
    DrawnSkipping skipping;
    std::vector<float> x, router, bias, y, inner, shares;
    std::vector<int32_t> selected;
    std::vector<Tensor> owned;
};

void Make(Random& random, MixtureCase* c, Step* step) {
    ExpertMixtureArguments& p = c->p;
    p.tokens = Size(random, random.Below(5) == 0 ? 150 : 12), p.hidden = random.Between(1, 90), p.intermediate = random.Between(1, 90);
    p.experts = static_cast<int>(random.Between(1, 9)), p.zero_experts = static_cast<int>(random.Below(4));
    int all = p.experts + p.zero_experts;
    p.top_k = static_cast<int>(random.Between(1, all)), p.routed_scaling_factor = 1.5f, p.normalize = random.Below(2) == 0;
    p.identity = random.Below(2) == 0;
    c->x = random.Floats(p.tokens * p.hidden), c->router = random.Floats(all * p.hidden), c->bias = random.Floats(all, 0.05f);
    p.x = c->x.data(), p.router = c->router.data(), p.correction_bias = random.Below(2) == 0 ? c->bias.data() : nullptr;
    c->owned.reserve(3);
    for (Weights* weights : {&p.gate, &p.up, &p.down}) {
        c->owned.emplace_back(Type(random), random.Floats(p.experts * p.hidden * p.intermediate, 0.4f));
        *weights = c->owned.back().weights();
    }
    if (random.Below(2) == 0) {
        c->adapters.Draw(random, &p);
    }
    if (random.Below(2) == 0) {
        c->skipping.Draw(random, &p);
    }
    step->what = Text("ExpertMixture %d tokens of %d, %d + %d experts of %d, top %d", (int)p.tokens, (int)p.hidden, p.experts,
                      p.zero_experts, (int)p.intermediate, p.top_k);
    step->run = [=](CpuPath path, const ParallelFor& parallel) {
        Workspace workspace(ExpertMixtureWorkspace(c->p));
        return ExpertMixture(path, c->p, workspace.get(), parallel);
    };
    bool choices = random.Below(2) == 0;
    step->reset = [=] {
        c->y.assign(c->x.size(), 0), c->p.y = c->y.data();
        if (choices) {
            c->selected.assign(static_cast<size_t>(c->p.tokens * c->p.top_k), -1), c->p.selected = c->selected.data();
            c->inner.assign(c->selected.size() * static_cast<size_t>(c->p.intermediate), 0), c->p.inner = c->inner.data();
            c->shares.assign(c->selected.size(), 0), c->p.shares = c->shares.data();
        }
    };
    step->output = [=] {
        std::vector<float> all = c->y;
        all.insert(all.end(), c->selected.begin(), c->selected.end());
        all.insert(all.end(), c->shares.begin(), c->shares.end());
        all.insert(all.end(), c->inner.begin(), c->inner.end());
        return all;
    };
    step->spoilings = {[=] { c->p.tokens = -1; },      [=] { c->p.tokens = INT64_MAX; },
                       [=] { c->p.hidden = 0; },       [=] { c->p.intermediate = -7; },
                       [=] { c->p.top_k = 0; },        [=] { c->p.top_k = c->p.experts + c->p.zero_experts + 1; },
                       [=] { c->p.zero_experts = -1; }};
    if (p.adapters != nullptr) {
        c->adapters.Spoil(p.tokens, step);
    }
    if (p.skipping != nullptr) {
        c->skipping.Spoil(p, step);
    }
}

// ---- what is done with each

struct Counts {
    int valid = 0, spoiled = 0;
};

template <class C>
void Run(const char* name, int64_t number, Comparison* comparison, std::unique_ptr<Comparison>* rounded, Counts* counts) {
    Random random(static_cast<uint64_t>(number) * 1000 + std::strlen(name));
    C c{};
    Step step;
    Make(random, &c, &step);
    std::string what = Text("case %d: %s", (int)number, step.what.c_str());
    step.reset();
    Status status = step.run(CpuPath::kReference, {});
    EXPECT(status.ok(), "%s: %s", what.c_str(), status.message);
    std::vector<float> want = step.output();
    for (CpuPath path : FastPaths()) {
        int threads = static_cast<int>(random.Between(1, 4));
        Threads pool(threads);
        ParallelFor parallel = threads == 1 ? ParallelFor{} : pool.parallel();
        step.reset();
        status = step.run(path, parallel);
        EXPECT(status.ok(), "%s: %s", what.c_str(), status.message);
        if (step.pairs && RoundsToPairs(path, CacheType::kBFloat16)) {
            if (*rounded == nullptr) {
                *rounded = std::make_unique<Comparison>(Text("%s, pairs of bfloat16, random", name).c_str(), kPairTolerance, kPairWhy);
            }
            (*rounded)->Add(step.output(), want, what);
        } else {
            comparison->Add(step.output(), want, what);
        }
        counts->valid++;
    }
    if (step.spoilings.empty()) {
        return;
    }
    step.reset();
    std::vector<float> before = step.output();
    size_t spoiling = static_cast<size_t>(random.Below(static_cast<int64_t>(step.spoilings.size())));
    step.spoilings[spoiling]();
    Threads pool(2);
    status = step.run(BestCpuPath(), pool.parallel());
    EXPECT(!status.ok() && status.message[0] != '\0', "%s: spoiling %d was taken for valid", what.c_str(), (int)spoiling);
    EXPECT(SameBits(before, step.output()), "%s: spoiling %d: an error must leave everything alone", what.c_str(), (int)spoiling);
    counts->spoiled++;
}

}  // namespace

int main(int count, char** arguments) {
    int64_t cases = count > 1 ? std::atoll(arguments[1]) : 300, first = count > 2 ? std::atoll(arguments[2]) : 0;
    auto all = [&](auto* kind, const char* name, double tolerance, const char* why) {
        using C = std::remove_pointer_t<decltype(kind)>;
        Comparison comparison(Text("%s, random", name).c_str(), tolerance, why);
        std::unique_ptr<Comparison> rounded;
        Counts counts;
        for (int64_t i = first; i < first + cases && failures == 0; i++) {
            Run<C>(name, i, &comparison, &rounded, &counts);
        }
        std::printf("%-18s %d valid and %d spoiled steps\n", name, counts.valid, counts.spoiled);
    };
    const char* why = "float32 sums in another order";
    all(static_cast<MatMulCase*>(nullptr), "MatMul", 5e-5, why);
    all(static_cast<LoraCase*>(nullptr), "LoraMatMul", 1e-4, why);
    all(static_cast<NGramCase*>(nullptr), "NGramEmbedding", 5e-5, why);
    all(static_cast<std::unique_ptr<LatentCase>*>(nullptr), "LatentAttention", 5e-5, why);
    all(static_cast<std::unique_ptr<IndexerFuzz>*>(nullptr), "AttentionIndexer", 1e-12, "one order of additions on every path");
    all(static_cast<std::unique_ptr<PagedFuzz>*>(nullptr), "PagedAttention", 5e-5, why);
    all(static_cast<MixtureCase*>(nullptr), "ExpertMixture", 5e-5, why);
    all(static_cast<GatedMlpCase*>(nullptr), "SparseGatedMlp", 2e-4, why);
    all(static_cast<PackedMixtureCase*>(nullptr), "ExpertMixture W4A8", 1e-6, "exact products; the router's sums in one order");
    all(static_cast<DownAdaptedPackedMixtureCase*>(nullptr), "W4A8, adapted down", 5e-5, why);
    all(static_cast<AdaptedPackedMixtureCase*>(nullptr), "W4A8, adapted experts", 0.02, "inner activations on an edge differ by one step of 127");
    all(static_cast<PackedProductCase*>(nullptr), "W4A8, W8A8MatMul", 1e-12, "exact integers, floats rounded in one order");
    all(static_cast<EmbeddingCase*>(nullptr), "Int8Embedding", 1e-12, "one product a value");
    all(static_cast<RowsCase*>(nullptr), "QuantizedRows", 0.025, "integers on an edge may differ by one, a sum by a few");
    return Report();
}
