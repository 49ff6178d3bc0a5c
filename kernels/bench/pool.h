// A few threads that wait for work without sleeping, each on a core of its own: what a benchmark of several threads needs.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "longcat/parallel.h"

namespace longcat::bench {

inline void Pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(core), &set);
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);  // best effort: without it the figures are only noisier
}

class Pool {
  public:
    // The caller is one of the threads. first_core >= 0: the others are pinned to first_core, first_core + 1, …
    explicit Pool(int threads, int first_core = -1) {
        for (int t = 1; t < threads; t++) {
            others_.emplace_back([this, t, first_core] {
                if (first_core >= 0) {
                    Pin(first_core + t - 1);
                }
                Wait();
            });
        }
    }
    ~Pool() {
        stop_ = true;
        round_.fetch_add(1);
        for (std::thread& thread : others_) {
            thread.join();
        }
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ParallelFor parallel() { return {Run, this}; }

  private:
    static void Run(void* state, size_t count, void (*task)(void*, size_t), void* argument) {
        Pool& pool = *static_cast<Pool*>(state);
        pool.task_ = task, pool.argument_ = argument, pool.count_ = count;
        pool.next_.store(0);
        pool.busy_.store(static_cast<int>(pool.others_.size()));
        pool.round_.fetch_add(1);
        pool.Work();
        while (pool.busy_.load() > 0) {
            __builtin_ia32_pause();
        }
    }
    void Work() {
        for (size_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) {
            task_(argument_, i);
        }
    }
    void Wait() {
        for (int seen = 0;;) {
            while (round_.load() == seen) {
                __builtin_ia32_pause();
            }
            seen = round_.load();
            if (stop_) {
                return;
            }
            Work();
            busy_.fetch_sub(1);
        }
    }

    std::atomic<int> round_{0}, busy_{0};
    alignas(64) std::atomic<size_t> next_{0};
    std::atomic<bool> stop_{false};
    void (*task_)(void*, size_t) = nullptr;
    void* argument_ = nullptr;
    size_t count_ = 0;
    std::vector<std::thread> others_;
};

}  // namespace longcat::bench
