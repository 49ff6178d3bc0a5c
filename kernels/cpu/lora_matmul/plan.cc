#include "plan.h"

#include "../common/numbers.h"

namespace longcat {
namespace {

// Where the parts of the workspace begin.
struct Places {
    size_t tiles, counts, u, bytes;
    int64_t width;
};

Places PlacesOf(const LoraMatMulArguments& p) {
    Places places{};
    // The ranks of one adapter are at most all of them; adapter_start is not checked yet when the workspace is asked for.
    int64_t most = 0;
    for (int64_t a = 0; a < p.adapters; a++) {
        most = Larger(most, Smaller(Larger(LoraRank(p, a), 0), p.ranks));
    }
    places.width = CeilDivide(most, 16) * 16;
    size_t at = 0;
    auto place = [&](int64_t bytes) {
        size_t result = at;
        at += static_cast<size_t>(CeilDivide(bytes, 64) * 64);
        return result;
    };
    place(p.m * static_cast<int64_t>(sizeof(int32_t)));
    places.tiles = place((p.m / kLoraTileRows + Smaller(p.m, p.adapters + 1)) * static_cast<int64_t>(sizeof(LoraTile)));
    places.counts = place((p.adapters + 1) * static_cast<int64_t>(sizeof(int64_t)));
    places.u = place(p.m * kLoraQuarters * places.width * static_cast<int64_t>(sizeof(float)));
    places.bytes = at;
    return places;
}

}  // namespace

size_t LoraTileBytes(const LoraMatMulArguments& p) { return PlacesOf(p).bytes; }

LoraTiles SortLoraRows(const LoraMatMulArguments& p, void* workspace) {
    Places places = PlacesOf(p);
    char* memory = static_cast<char*>(workspace);
    int32_t* rows = reinterpret_cast<int32_t*>(memory);
    LoraTile* tiles = reinterpret_cast<LoraTile*>(memory + places.tiles);
    int64_t* next = reinterpret_cast<int64_t*>(memory + places.counts);

    // Adapters with ranks in their order, then those with a gain alone, then everything that only passes through.
    auto kind = [&](int64_t adapter) { return LoraRank(p, adapter) > 0 ? 0 : p.gain != nullptr ? 1 : 2; };
    auto of = [&](int64_t row) {
        int64_t adapter = p.row_adapter == nullptr ? 0 : p.row_adapter[row];
        return adapter < 0 || kind(adapter) == 2 ? p.adapters : adapter;
    };
    for (int64_t a = 0; a <= p.adapters; a++) {
        next[a] = 0;
    }
    for (int64_t i = 0; i < p.m; i++) {
        next[of(i)]++;
    }
    LoraTiles result{rows, tiles, 0, 0, places.width, reinterpret_cast<float*>(memory + places.u)};
    int64_t begin = 0;
    for (int wanted = 0; wanted < 3; wanted++) {
        for (int64_t a = 0; a <= p.adapters; a++) {
            if ((a == p.adapters ? 2 : kind(a)) != wanted) {
                continue;
            }
            int64_t count = next[a];
            next[a] = begin;
            for (int64_t done = 0; done < count; done += kLoraTileRows) {
                tiles[result.count++] = {static_cast<int32_t>(begin + done), static_cast<int32_t>(Smaller(kLoraTileRows, count - done)),
                                         a == p.adapters ? -1 : static_cast<int32_t>(a)};
            }
            begin += count;
        }
        result.adapted = wanted == 0 ? result.count : result.adapted;
    }
    for (int64_t i = 0; i < p.m; i++) {
        rows[next[of(i)]++] = static_cast<int32_t>(i);
    }
    return result;
}

}  // namespace longcat
