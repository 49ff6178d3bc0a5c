#include "pages.h"

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace longcat::ops {

void ReadScattered([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#ifdef __linux__
    constexpr size_t kWorthIt = size_t{1} << 20;
    if (bytes < kWorthIt) {
        return;
    }

    // Whole pages only: those at the ends may hold something else.
    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    uintptr_t first = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
    uintptr_t last = (reinterpret_cast<uintptr_t>(data) + bytes) / page * page;
    (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_RANDOM);
#endif
}

}  // namespace longcat::ops
