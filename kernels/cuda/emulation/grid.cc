#include "grid.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <utility>
#include <vector>

#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define LONGCAT_FIBERS_UNDER_ASAN
#endif

namespace longcat::cuda::emulation {
namespace {

constexpr size_t kWarp = 32, kMostShared = 227 * 1024, kMostThreads = 1024;
#if defined(LONGCAT_FIBERS_UNDER_ASAN)
constexpr size_t kStack = 256 * 1024;
#else
constexpr size_t kStack = 96 * 1024;
#endif

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    bool valid;
};

enum class State { kReady, kAtBarrier, kInCollective, kDone };

struct Thread {
    ucontext_t context;
    jmp_buf place;
    bool begun = false;
    State state = State::kDone;
    std::unique_ptr<char[]> stack{new char[kStack]};
    void* fake_stack = nullptr;
    std::vector<std::vector<Copy>> copies;  // groups, the last one is open
};

struct Warp {
    void* lanes[kWarp];
    size_t arrived = 0;
    void (*perform)(void* const*) = nullptr;
};

struct Block {
    Extent grid, at;
    void (*body)(const void*) = nullptr;
    const void* argument = nullptr;
    std::vector<std::unique_ptr<Thread>> threads;  // kept from launch to launch
    std::vector<Warp> warps;
    size_t count = 0, at_barrier = 0;
    uint8_t* shared = nullptr;
};

Block block;
Order order = Order::kForward;
uint64_t seed = 1;
size_t running = 0;

[[noreturn]] void Fail(const char* what, size_t value) {
    std::fprintf(stderr, "emulated grid, block (%u, %u, %u), thread %zu: %s (%zu)\n", block.at.x, block.at.y, block.at.z, running, what, value);
    std::abort();
}

#if defined(LONGCAT_FIBERS_UNDER_ASAN)
// The sanitizer follows swapcontext where it is told of the stacks.
ucontext_t scheduler;
void* scheduler_fake_stack = nullptr;
const void* scheduler_stack = nullptr;
size_t scheduler_stack_size = 0;

void ToScheduler() {
    Thread& me = *block.threads[running];
    __sanitizer_start_switch_fiber(&me.fake_stack, scheduler_stack, scheduler_stack_size);
    swapcontext(&me.context, &scheduler);
    __sanitizer_finish_switch_fiber(me.fake_stack, nullptr, nullptr);
}
void ToThread(Thread& thread) {
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, thread.stack.get(), kStack);
    swapcontext(&scheduler, &thread.context);
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}
#else
// swapcontext asks the system for the signal mask each time; after the first entry a jump does.
jmp_buf scheduler_place;

void ToScheduler() {
    if (_setjmp(block.threads[running]->place) == 0) {
        _longjmp(scheduler_place, 1);
    }
}
void ToThread(Thread& thread) {
    if (_setjmp(scheduler_place) == 0) {
        if (thread.begun) {
            _longjmp(thread.place, 1);
        }
        thread.begun = true;
        setcontext(&thread.context);
    }
}
#endif

void Enter() {
#if defined(LONGCAT_FIBERS_UNDER_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
#endif
    for (;;) {  // a thread that has ended waits for its part of the next block
        block.body(block.argument);
        block.threads[running]->state = State::kDone;
        ToScheduler();
    }
}

std::vector<size_t> Sequence(size_t count) {
    std::vector<size_t> sequence(count);
    std::iota(sequence.begin(), sequence.end(), size_t{0});
    for (size_t i = 0; order == Order::kReverse && i < count / 2; i++) {
        std::swap(sequence[i], sequence[count - 1 - i]);
    }
    for (size_t i = count; order == Order::kShuffled && i > 1; i--) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        std::swap(sequence[i - 1], sequence[(seed >> 33) % i]);
    }
    return sequence;
}

void RunBlock(size_t shared) {
    for (size_t i = 0; i < block.count; i++) {
        block.threads[i]->state = State::kReady;
        block.threads[i]->copies.assign(1, {});
    }
    for (Warp& warp : block.warps) {
        warp.arrived = 0;
    }
    block.at_barrier = 0;
    if (shared > 0) {
        std::memset(block.shared, 0xff, shared);
    }
    std::vector<size_t> sequence = Sequence(block.count);
    size_t done = 0;
    while (done < block.count) {
        bool progress = false;
        done = 0;
        for (size_t i : sequence) {
            if (block.threads[i]->state == State::kReady) {
                running = i;
                ToThread(*block.threads[i]);
                progress = true;
            }
            done += block.threads[i]->state == State::kDone;
        }
        if (!progress && done < block.count) {
            Fail("threads wait for ever, at a barrier or a collective that others have left out; threads that ended", done);
        }
    }
}

}  // namespace

void SetOrder(Order next, uint64_t next_seed) {
    order = next;
    seed = next_seed;
}

void Run(const Extent& grid, unsigned threads, size_t shared, void (*body)(const void*), const void* argument) {
    if (threads == 0 || threads > kMostThreads || threads % kWarp != 0) {
        Fail("a block must be of whole warps and at most 1024 threads", threads);
    }
    if (shared > kMostShared) {
        Fail("more shared memory than a block can have", shared);
    }
    if (grid.y > 65'535 || grid.z > 65'535) {
        Fail("a grid has at most 65535 blocks in y and z", grid.y > grid.z ? grid.y : grid.z);
    }
    block.grid = grid, block.body = body, block.argument = argument, block.count = threads;
    while (block.threads.size() < threads) {
        block.threads.push_back(std::make_unique<Thread>());
        Thread& thread = *block.threads.back();
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.get();
        thread.context.uc_stack.ss_size = kStack;
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, Enter, 0);
    }
    block.warps.assign(threads / kWarp, {});
    block.shared = shared == 0 ? nullptr : static_cast<uint8_t*>(::operator new(shared, std::align_val_t{128}));
    for (size_t i : Sequence(size_t{grid.x} * grid.y * grid.z)) {
        block.at = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y), static_cast<unsigned>(i / grid.x / grid.y)};
        RunBlock(shared);
    }
    if (shared > 0) {
        ::operator delete(block.shared, std::align_val_t{128});
    }
}

int ThreadX() { return static_cast<int>(running); }
int BlockX() { return static_cast<int>(block.at.x); }
int BlockY() { return static_cast<int>(block.at.y); }
int BlockZ() { return static_cast<int>(block.at.z); }
int GridX() { return static_cast<int>(block.grid.x); }
uint8_t* SharedMemory() { return block.shared; }

void BlockBarrier() {
    Thread& me = *block.threads[running];
    if (++block.at_barrier == block.count) {
        block.at_barrier = 0;
        for (size_t i = 0; i < block.count; i++) {
            block.threads[i]->state = State::kReady;
        }
        return;
    }
    me.state = State::kAtBarrier;
    ToScheduler();
}

void WarpCollective(void* arguments, void (*perform)(void* const*)) {
    size_t first = running / kWarp * kWarp;
    Warp& warp = block.warps[running / kWarp];
    if (warp.arrived > 0 && warp.perform != perform) {
        Fail("the threads of a warp are at different collectives", warp.arrived);
    }
    warp.perform = perform;
    warp.lanes[running - first] = arguments;
    if (++warp.arrived == kWarp) {
        warp.arrived = 0;
        perform(warp.lanes);
        for (size_t i = first; i < first + kWarp; i++) {
            block.threads[i]->state = State::kReady;
        }
        return;
    }
    block.threads[running]->state = State::kInCollective;
    ToScheduler();
}

void CopyAsync(void* to, const void* from, size_t bytes, bool valid) {
    std::memset(to, 0x5a, bytes);
    block.threads[running]->copies.back().push_back({to, from, bytes, valid});
}

void CommitCopies() { block.threads[running]->copies.emplace_back(); }

void WaitCopies(unsigned unfinished_groups) {
    std::vector<std::vector<Copy>>& groups = block.threads[running]->copies;
    while (groups.size() - 1 > unfinished_groups) {
        for (const Copy& copy : groups.front()) {
            copy.valid ? std::memcpy(copy.to, copy.from, copy.bytes) : std::memset(copy.to, 0, copy.bytes);
        }
        groups.erase(groups.begin());
    }
}

}  // namespace longcat::cuda::emulation
