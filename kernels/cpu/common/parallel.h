// Calling a lambda through the C callback of longcat/parallel.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "longcat/parallel.h"

namespace longcat {
namespace {  // internal linkage: these are compiled once per instruction set and must not be merged by the linker

template <class Body>
void For(const ParallelFor& parallel, size_t count, Body&& body) {
    if (count <= 1 || parallel.run == nullptr) {
        for (size_t i = 0; i < count; i++) {
            body(i);
        }
        return;
    }
    using Type = std::remove_reference_t<Body>;
    parallel.run(
        parallel.state, count, [](void* argument, size_t index) { (*static_cast<Type*>(argument))(index); },
        const_cast<void*>(static_cast<const void*>(&body)));
}

// Multiply-adds below which handing work to other threads costs more than it saves (a hand-over is a few microseconds).
constexpr int64_t kInlineWork = 65'536;

// body(i, next) for each i in [0, count), handed out in ascending order to whoever is free: put the longest first. next is what the same
// thread will do afterwards (count or more: nothing), so that it can be fetched.
template <class Body>
void InOrder(const ParallelFor& parallel, int64_t count, Body&& body) {
    constexpr int64_t kMostThreads = 256;
    int64_t taken = 0;
    For(parallel, static_cast<size_t>(count < kMostThreads ? count : kMostThreads), [&](size_t) {
        int64_t i = __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
        while (i < count) {
            int64_t next = __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
            body(i, next);
            i = next;
        }
    });
}

inline ParallelFor Unless(bool small, const ParallelFor& parallel) { return small ? ParallelFor{} : parallel; }

}  // namespace
}  // namespace longcat
