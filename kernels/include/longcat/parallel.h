// How a kernel borrows threads: one C callback, so that kernels know no thread pool.
#pragma once

#include <cstddef>

namespace longcat {

// run(state, count, task, argument) calls task(argument, i) once for each i in [0, count), on any threads in any order, and returns
// when all are done. A null run means: one thread. There is no thread index: what a task needs for itself is found by i.
// No kernel's result depends on how the calls are spread over threads.
struct ParallelFor {
    void (*run)(void* state, size_t count, void (*task)(void* argument, size_t index), void* argument) = nullptr;
    void* state = nullptr;
};

}  // namespace longcat
