// Adapters of experts as the fuzzer draws them (fuzz.cc): of every projection its own ranks, some adapters without any, some tokens without
// one.
#pragma once

#include "fuzz_step.h"
#include "longcat/expert_mixture.h"

namespace longcat::test {

struct DrawnAdapters {
    ExpertAdapters adapters;
    std::vector<float> a[3], b[3], gain[3];
    std::vector<int32_t> rows, starts[3];

    // `down_only`: gate and up stay as they are.
    void Draw(Random& random, ExpertMixtureArguments* p, bool down_only = false, float size = 0.2f) {
        adapters.count = random.Between(1, 4);
        ExpertLowRank* all[] = {&adapters.gate, &adapters.up, &adapters.down};
        for (int i = 0; i < 3; i++) {
            int64_t k = i < 2 ? p->hidden : p->intermediate, n = i < 2 ? p->intermediate : p->hidden;
            starts[i].push_back(0);
            for (int64_t x = 0; x < adapters.count; x++) {
                starts[i].push_back(starts[i].back() + (down_only && i < 2 ? 0 : static_cast<int32_t>(Size(random, 20))));
            }
            starts[i].shrink_to_fit();
            int64_t total = all[i]->ranks = starts[i].back();
            a[i] = random.Floats(p->experts * k * total, size), b[i] = random.Floats(p->experts * total * n, size);
            gain[i] = random.Floats(p->experts * adapters.count * n);
            all[i]->a = a[i].data(), all[i]->b = b[i].data(), all[i]->start = starts[i].data();
            all[i]->gain = random.Below(3) == 0 && (i == 2 || !down_only) ? gain[i].data() : nullptr;
        }
        for (int64_t t = 0; t < p->tokens; t++) {
            rows.push_back(static_cast<int32_t>(random.Between(-1, adapters.count - 1)));
        }
        rows.shrink_to_fit();
        adapters.row_adapter = rows.data(), p->adapters = &adapters;
    }

    void Spoil(int64_t tokens, Step* step) {
        step->spoilings.insert(step->spoilings.end(), {[=, this] { adapters.count = -1; }, [=, this] { starts[1].back() += 1; },
                                                       [=, this] { starts[2][0] = -1; }, [=, this] { adapters.gate.ranks = 1 << 21; }});
        for (int32_t adapter : {-2, INT32_MIN, INT32_MAX, static_cast<int32_t>(adapters.count)}) {
            if (tokens > 0) {
                step->spoilings.push_back([=, this] { rows[0] = adapter; });
            }
        }
    }
};

}  // namespace longcat::test
