// Where the tokens of a sequence lie in a paged cache.
#pragma once

#include "cuda.cuh"

namespace longcat::cuda {

struct PagePlace {
    int64_t page;   // -1: outside the cache
    uint32_t slot;
};

// The page and slot of a position. What block_table says is not checked by the host: a page outside the cache, or a position behind the table's columns,
// has no place and sets `fault`, which may be null.
template <class Arguments>
__device__ __forceinline__ PagePlace PageOf(const Arguments& a, int64_t sequence, int64_t position, int32_t* fault) {
    const uint32_t at = static_cast<uint32_t>(position), size = static_cast<uint32_t>(a.page_size), column = at / size;
    int64_t page = column < a.block_table_width ? a.block_table[sequence * a.block_table_width + column] : -1;
    if (page < 0 || page >= a.pages) {
        page = -1;
        if (fault != nullptr) {
            *fault = 1;
        }
    }
    return {page, at - column * size};
}

}  // namespace longcat::cuda
