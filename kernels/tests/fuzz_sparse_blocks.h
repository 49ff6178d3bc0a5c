// Sparse rows of a random step of an attention (fuzz.cc). What is chosen from is everything or nothing, or a set that is given: scores are
// float32 in an order of each path, and a choice between two that are equal but for rounding may fall either way
// (sparse_attention_test.cc).
#pragma once

#include <memory>

#include "fuzz_step.h"
#include "longcat/sparse_blocks.h"

namespace longcat::test {

struct SparseFuzz {
    std::vector<float> first_means, means;
    std::vector<uint8_t> rows;
    std::vector<int32_t> blocks, given;

    // Means for an attention that sees the whole context; `heads` sets a sequence.
    template <class Arguments>
    static std::unique_ptr<SparseFuzz> Make(Random& random, Arguments* p, int64_t heads, int64_t width) {
        std::unique_ptr<SparseFuzz> made = std::make_unique<SparseFuzz>();
        SparseFuzz& f = *made;
        SparseBlocks& sparse = p->sparse;
        f.first_means = random.Floats(p->pages * width);
        sparse.block_size = static_cast<int>(p->page_size * random.Between(1, 4));
        sparse.dense_tokens = static_cast<int>(random.Below(3) * random.Below(100)), sparse.rho = static_cast<int>(random.Below(2)) * 1000;
        sparse.sink_blocks = static_cast<int>(random.Below(3)), sparse.local_blocks = static_cast<int>(random.Between(1, 3));
        sparse.words = SparseWords(p->block_table_width, p->page_size, sparse.block_size);
        for (int64_t s = 0; s < p->sequences; s++) {
            f.rows.insert(f.rows.end(), static_cast<size_t>(p->query_start[s + 1] - p->query_start[s]),
                          static_cast<uint8_t>(random.Below(2)));
        }
        f.rows.shrink_to_fit();
        f.blocks.resize(static_cast<size_t>(p->sequences * heads * sparse.words));
        for (size_t i = 0; i < f.blocks.size(); i++) {
            f.given.push_back(static_cast<int32_t>(random.Next()));
        }
        f.given.shrink_to_fit();
        static const uint8_t no_row = 0;
        static int32_t no_block;
        sparse.rows = f.rows.empty() ? &no_row : f.rows.data(), sparse.choose = random.Below(2) == 0;
        sparse.given = f.given.empty() ? &no_block : f.given.data(), sparse.blocks = f.blocks.empty() ? &no_block : f.blocks.data();
        f.means = f.first_means;
        sparse.means = f.means.data();
        return made;
    }
    void Reset() {
        means = first_means;
        std::fill(blocks.begin(), blocks.end(), -1);
    }
    std::vector<float> Appended(std::vector<float> numbers) const {
        numbers.insert(numbers.end(), means.begin(), means.end());
        numbers.insert(numbers.end(), blocks.begin(), blocks.end());
        return numbers;
    }
    // What can be wrong with it; with a row that is sparse the budget too.
    template <class C>
    void Spoil(Random& random, C* c, Step* step) {
        SparseFuzz* f = this;
        step->spoilings.insert(step->spoilings.end(), {[=] { c->p.sparse.words = -1; }, [=] { c->p.streaming = {1, 0, 1}; }});
        if (c->p.sequences > 0) {  // without sequences there are no sets to lack
            step->spoilings.insert(step->spoilings.end(), {[=] { c->p.sparse.blocks = nullptr; },
                                                           [=] { c->p.sparse.choose = false, c->p.sparse.given = nullptr; }});
        }
        if (!rows.empty()) {
            size_t row = static_cast<size_t>(random.Below(static_cast<int64_t>(rows.size())));
            step->spoilings.insert(step->spoilings.end(),
                                   {[=] { f->rows[row] = 2; }, [=] { f->rows[row] = 255; }, [=] { c->p.sparse.rows = nullptr; }});
        }
        if (std::find(rows.begin(), rows.end(), 1) != rows.end()) {
            step->spoilings.insert(
                step->spoilings.end(),
                {[=] { c->p.sparse.block_size = INT32_MIN; }, [=] { c->p.sparse.block_size = 0; }, [=] { c->p.sparse.dense_tokens = -1; },
                 [=] { c->p.sparse.rho = 1001; }, [=] { c->p.sparse.sink_blocks = INT32_MIN; }, [=] { c->p.sparse.local_blocks = 0; }});
        }
    }
};

}  // namespace longcat::test
