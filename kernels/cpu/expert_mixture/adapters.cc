#include "adapters.h"

namespace longcat {
namespace {

using L = long long;
constexpr int64_t kMostRanks = 1 << 20;

Status CheckProjection(const ExpertMixtureArguments& p, const ExpertLowRank& low, const char* name) {
    int64_t count = p.adapters->count;
    if (low.ranks < 0 || low.ranks > kMostRanks) {
        return Status::Error(StatusCode::kInvalidArgument, "the adapters of %s have %lld ranks, expected 0..%lld", name, L{low.ranks},
                             L{kMostRanks});
    }
    if (low.ranks > 0 && p.experts > 0 && (low.a == nullptr || low.b == nullptr)) {
        return Status::Error(StatusCode::kInvalidArgument, "the adapters of %s have %lld ranks, and A or B is null", name, L{low.ranks});
    }
    if (low.start == nullptr) {
        return low.ranks == 0 || count == 1
                   ? Status{}
                   : Status::Error(StatusCode::kInvalidArgument, "%lld adapters of %s without the place where each one's ranks begin", L{count}, name);
    }
    if (low.start[0] != 0 || low.start[count] != low.ranks) {
        return Status::Error(StatusCode::kInvalidArgument, "the start of %s goes from %d to %d, expected from 0 to %lld, the columns of A", name,
                             low.start[0], low.start[count], L{low.ranks});
    }
    for (int64_t a = 0; a < count; a++) {
        if (low.start[a + 1] < low.start[a]) {
            return Status::Error(StatusCode::kInvalidArgument, "the start of %s at %lld is %d, below %d before it", name, L{a + 1},
                                 low.start[a + 1], low.start[a]);
        }
    }
    return {};
}

}  // namespace

int64_t AdapterWidth(const ExpertMixtureArguments& p) {
    int64_t most = 0;
    if (p.adapters != nullptr && p.adapters->count >= 0 && p.adapters->count <= kMostRanks) {
        const ExpertLowRank* all[] = {&p.adapters->gate, &p.adapters->up, &p.adapters->down};
        for (const ExpertLowRank* low : all) {
            int64_t ranks = Smaller(Larger(low->ranks, 0), kMostRanks);
            for (int64_t a = 0; low->start != nullptr && a < p.adapters->count; a++) {
                most = Larger(most, Smaller(RanksOf(*low, a).rank, ranks));
            }
            most = low->start == nullptr ? Larger(most, ranks) : most;
        }
    }
    return CeilDivide(most, 16) * 16;
}

Status CheckAdapters(const ExpertMixtureArguments& p) {
    if (p.adapters == nullptr) {
        return {};
    }
    const ExpertAdapters& adapters = *p.adapters;
    if (adapters.count < 0 || adapters.count > kMostRanks) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld adapters, expected 0..%lld", L{adapters.count}, L{kMostRanks});
    }
    const char* names[] = {"gate", "up", "down"};
    const ExpertLowRank* all[] = {&adapters.gate, &adapters.up, &adapters.down};
    for (int i = 0; i < 3; i++) {
        if (Status status = CheckProjection(p, *all[i], names[i]); !status.ok()) {
            return status;
        }
    }
    if (adapters.row_adapter == nullptr) {
        return adapters.count == 1 || p.tokens == 0
                   ? Status{}
                   : Status::Error(StatusCode::kInvalidArgument, "%lld adapters and no row_adapter that says which token has which", L{adapters.count});
    }
    for (int64_t t = 0; t < p.tokens; t++) {
        if (adapters.row_adapter[t] < -1 || adapters.row_adapter[t] >= adapters.count) {
            return Status::Error(StatusCode::kOutOfRange, "row_adapter[%lld] is %d, expected -1 (none)..%lld", L{t}, adapters.row_adapter[t],
                                 L{adapters.count - 1});
        }
    }
    return {};
}

}  // namespace longcat
