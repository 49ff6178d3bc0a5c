// How the vectorised paths go through the keys of a tile: in blocks, which the kinds of block (float_blocks.h, pair_blocks.h) multiply. Include
// after avx2.h, avx512.h or neon.h.
#pragma once

#include "paths.h"
#include "plan.h"

namespace longcat {
namespace {

// A tile: rows of tokens × heads, and the memory it works in.
struct PagedTile {
    int64_t sequence, first, tokens;  // first: its first token in the batch
    int64_t position;                 // of that token
    int64_t kv_head, head, heads;
    float *query, *sum, *total, *sum_state, *total_state, *scores, *ratio, *keys, *values;

    int64_t Rows() const { return tokens * heads; }
};

// What tiles of the same tokens work on: the keys [begin, to) of one part, and the end of the run that they belong to. Nothing outside the run is
// touched: with a streaming pattern the block table has no pages there.
struct KeyRun {
    bool sinks;
    int64_t begin, to, end;
};

// Neighbours; none where begin >= end.
struct Range {
    int64_t begin, end;
};

// The keys of [from, to), sinks or others, that token t of the tile sees, counted from `from`.
inline Range Seen(const PagedAttentionArguments& p, const PagedTile& tile, bool sinks, int64_t t, int64_t from, int64_t to) {
    int64_t position = tile.position + t;
    return {sinks ? 0 : Larger(FirstVisible(p, position), from) - from, Smaller(position + 1, to) - from};
}

// The blocks of a run, at each of which the tiles take turns: body(tile, from, skip, count, here, ahead) is about the keys [skip, count) behind
// `from`, a multiple of kKeys. find(tile, from, skip, count, &place) says where they lie; `ahead` is what comes next, where there is
// something, and rest(count, here, &ahead) makes what lies behind it stand for what is here already.
template <class Place, int64_t kKeys, class Find, class Rest, class Body>
void InBlocks(const PagedTile* tiles, int64_t number, const KeyRun& run, Find&& find, Rest&& rest, Body&& body) {
    Place places[2];
    int64_t from = run.begin / kKeys * kKeys, skip = run.begin - from;
    if (run.begin < run.to) {
        find(tiles[0], from, skip, Smaller(kKeys, run.to - from), &places[0]);
    }
    int at = 0;
    for (; from < run.to; from += kKeys, skip = 0) {
        int64_t count = Smaller(kKeys, run.to - from);
        for (int64_t i = 0; i < number; i++, at = 1 - at) {
            // What comes next: the block of the next tile, the next block, which may lie beyond this split: whoever works on it takes the
            // next one, unless another thread does.
            bool last = i + 1 == number;
            int64_t next = last ? Larger(0, Smaller(kKeys, run.end - from - kKeys)) : count;
            Place& ahead = places[1 - at];
            if (next > 0) {  // a page is looked up where the keys begin: it must exist
                find(tiles[last ? 0 : i + 1], last ? from + kKeys : from, last ? 0 : skip, next, &ahead);
            }
            rest(next, places[at], &ahead);
            body(tiles[i], from, skip, count, places[at], ahead);
        }
    }
}

// One block of a tile: score(row, rows, first, last) makes the scores of panels [first, last) for so many rows from `row` on, weigh(row, rows,
// seen) turns those of rows that see the same keys into weights and adds up the values.
template <class Score, class Weigh>
void AttendBlock(const PagedAttentionArguments& p, const PagedTile& tile, bool sinks, int64_t from, int64_t count, Score&& score, Weigh&& weigh) {
    // What the tokens see never begins or ends earlier than what their predecessors see: those that see some of it are neighbours.
    auto tokens_of = [&](int64_t begin, int64_t end) {
        Range tokens{0, tile.tokens};
        while (tokens.begin < tokens.end && Seen(p, tile, sinks, tokens.begin, from, from + count).end <= begin) {
            tokens.begin++;
        }
        while (tokens.begin < tokens.end && Seen(p, tile, sinks, tokens.end - 1, from, from + count).begin >= end) {
            tokens.end--;
        }
        return tokens;
    };
    int64_t panels = CeilDivide(count, kPanel), step = tile.tokens == 1 ? panels : 2;
    for (int64_t x = 0; x < panels; x += step) {
        int64_t last = Smaller(x + step, panels);
        Range tokens = tokens_of(x * kPanel, last * kPanel);
        if (tokens.begin < tokens.end) {
            score(tokens.begin * tile.heads, (tokens.end - tokens.begin) * tile.heads, x, last);
        }
    }
    for (int64_t t = 0; t < tile.tokens;) {
        Range seen = Seen(p, tile, sinks, t, from, from + count);
        int64_t next = t + 1;
        for (; next < tile.tokens; next++) {
            Range other = Seen(p, tile, sinks, next, from, from + count);
            if (other.begin != seen.begin || other.end != seen.end) {
                break;
            }
        }
        if (seen.begin < seen.end) {
            weigh(t * tile.heads, (next - t) * tile.heads, seen);
        }
        t = next;
    }
}

// What many rows need next, asked for a little at a time between their tiles: only some twenty lines can be under way.
class Between {
  public:
    Between() = default;
    // All lines of so many panels of keys, then of lines or panels of values, evenly over so many calls.
    Between(const void* const* keys, int64_t panels, int64_t panel_bytes, const void* const* values, int64_t lines, int64_t line_bytes,
            int64_t calls)
        : keys_(keys),
          values_(values),
          panels_(panels),
          pieces_(panels + lines),
          panel_(panel_bytes),
          value_(line_bytes),
          lines_(1 + (panels * panel_bytes + lines * line_bytes) / 64 / calls) {}

    __attribute__((always_inline)) void operator()() {
        for (int64_t i = 0; i < lines_ && piece_ < pieces_; i++) {
            bool key = piece_ < panels_;
            __builtin_prefetch(static_cast<const char*>(key ? keys_[piece_] : values_[piece_ - panels_]) + at_, 0, 2);
            at_ += 64;
            if (at_ >= (key ? panel_ : value_)) {
                at_ = 0, piece_++;
            }
        }
    }

  private:
    const void *const *keys_ = nullptr, *const *values_ = nullptr;
    int64_t panels_ = 0, pieces_ = 0, panel_ = 0, value_ = 0, lines_ = 0, piece_ = 0, at_ = 0;  // panels first, then values
};

}  // namespace
}  // namespace longcat
