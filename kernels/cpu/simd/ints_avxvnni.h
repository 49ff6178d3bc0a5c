// Sixteen 32-bit sums with AVX-VNNI: what vectorised.h needs of an instruction set.
#pragma once

#include "ints_256.h"
#include "ints_tile_avxvnni.h"

namespace longcat {
namespace {

struct Ints : Ints256 {
    static constexpr int kRows = 4, kBestRows = 4;
    static constexpr int kLeastWideRows = 0, kWideRows = 0, kWideGroup = 0;  // there is no WideTile

    // As in ints_vnni.h.
    template <int R, int S, bool Fetch>
    static void Tile(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                     int32_t* totals) {
        TileAvxVnni<R, S, Fetch>::Run(w, ahead, a, groups, steps, last_steps, totals);
    }

    struct Bytes {
        __m256i left, right;  // unsigned: q + 128 of four values of k
    };
    static constexpr int kByteRows = 4, kByteTiles = 1;
    static constexpr int32_t kByteStart = -128;
    static Bytes LoadBytes(const uint8_t* tile) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile)),
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + 32))};
    }
    static void Dot(Sums& sums, const Bytes& w, const int32_t& a) {
        __m256i all = _mm256_set1_epi32(a);
        asm(LONGCAT_AVXVNNI_ENCODING "vpdpbusd %2, %1, %0" : "+x"(sums.left) : "x"(w.left), "x"(all));
        asm(LONGCAT_AVXVNNI_ENCODING "vpdpbusd %2, %1, %0" : "+x"(sums.right) : "x"(w.right), "x"(all));
    }
};

}  // namespace
}  // namespace longcat
