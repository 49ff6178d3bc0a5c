// Work whose pieces lie side by side in memory: each thread takes a long run of them, so that it reads one stream, and yet nobody waits for
// a slow one.
//
//   Ranges ranges(count);                                            what is to be done: the pieces 0..count-1
//   For(parallel, ranges.Tasks(), [&](size_t) {
//       ranges.Work([&](int64_t piece, bool follows) { … });         follows: the same thread will take piece + 1 next
//   });
//
// The first thread to come takes everything; whoever comes later, or has nothing left, takes the second half of what the one with the most
// still has. How many threads there are need not be known.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longcat {
namespace {

class Ranges {
  public:
    explicit Ranges(int64_t count) : count_(count) {
        for (size_t i = 0; i < Tasks(); i++) {
            ranges_[i].pieces = i == 0 ? Pack(0, static_cast<uint64_t>(count)) : 0;
        }
    }
    Ranges(const Ranges&) = delete;
    Ranges& operator=(const Ranges&) = delete;

    size_t Tasks() const { return static_cast<size_t>(count_ < kMostThreads ? count_ : kMostThreads); }

    template <class Body>
    void Work(Body&& body) {
        if (__atomic_load_n(&taken_, __ATOMIC_RELAXED)) {
            return;
        }
        uint64_t& own = ranges_[__atomic_fetch_add(&arrived_, 1, __ATOMIC_RELAXED)].pieces;
        do {
            uint64_t pieces = __atomic_load_n(&own, __ATOMIC_RELAXED);
            while (First(pieces) < Last(pieces)) {
                if (__atomic_compare_exchange_n(&own, &pieces, pieces + Pack(1, 0), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
                    body(static_cast<int64_t>(First(pieces)), First(pieces) + 1 < Last(pieces));
                    pieces = __atomic_load_n(&own, __ATOMIC_RELAXED);
                }
            }
        } while (TakeHalf(&own));
    }

  private:
    static constexpr int kMostThreads = 256;
    struct alignas(64) Range {
        uint64_t pieces;  // from the first to before the last
    };

    static uint64_t Pack(uint64_t first, uint64_t last) { return first << 32 | last; }
    static uint64_t First(uint64_t pieces) { return pieces >> 32; }
    static uint64_t Last(uint64_t pieces) { return pieces & 0xffffffffu; }

    // Half of the longest range becomes `own`, which is empty; false when there is nothing left.
    bool TakeHalf(uint64_t* own) {
        for (;;) {
            uint64_t most = 0, longest = 0;
            uint64_t* whose = nullptr;
            for (int i = 0; i < kMostThreads && i < __atomic_load_n(&arrived_, __ATOMIC_RELAXED); i++) {
                uint64_t pieces = __atomic_load_n(&ranges_[i].pieces, __ATOMIC_RELAXED);
                if (First(pieces) < Last(pieces) && Last(pieces) - First(pieces) > most) {
                    most = Last(pieces) - First(pieces), longest = pieces, whose = &ranges_[i].pieces;
                }
            }
            if (whose == nullptr) {  // what another thread is just moving it will do
                __atomic_store_n(&taken_, true, __ATOMIC_RELAXED);
                return false;
            }
            uint64_t middle = First(longest) + most / 2;
            if (__atomic_compare_exchange_n(whose, &longest, Pack(First(longest), middle), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
                __atomic_store_n(own, Pack(middle, Last(longest)), __ATOMIC_RELAXED);
                return true;
            }
        }
    }

    int64_t count_;
    int arrived_ = 0;
    bool taken_ = false;  // all of it
    Range ranges_[kMostThreads];
};

}  // namespace
}  // namespace longcat
