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

inline ParallelFor Unless(bool small, const ParallelFor& parallel) { return small ? ParallelFor{} : parallel; }

}  // namespace
}  // namespace longcat
