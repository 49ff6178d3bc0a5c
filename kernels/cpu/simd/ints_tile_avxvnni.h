// The innermost loop of the product with 4-bit weights for AVX-VNNI, in assembly as in ints_tile_vnni.h: R rows by C tiles of 16 outputs.
//
// Sixteen registers hold eight sums, two per row and tile: each takes two dot products a step, so that eight chains hide their latency.
// One row takes the four tiles side by side and walks a panel once, from its beginning to its end, as memory brings it fastest; more rows
// read it tile by tile, in cuts that stay in the first-level cache, where the first pass has brought all of a cut. There is no
// broadcast within an instruction: it is a load of its own, of which processors with AVX-VNNI start two or three beside two dot products.
//
// No processor with AVX-VNNI was at hand. What these instructions compute is tested in the encoding of AVX-512 VNNI, which is all that
// LONGCAT_AVXVNNI_AS_EVEX changes; how fast they are is not known.
#pragma once

#include <cstdint>

// {…} are alternatives to a compiler, hence the per cent signs.
#if defined(LONGCAT_AVXVNNI_AS_EVEX)
#define LONGCAT_AVXVNNI_ENCODING "%{evex%} "
#else
#define LONGCAT_AVXVNNI_ENCODING "%{vex%} "
#endif

namespace longcat {
namespace {

// Registers: sums 0..2RC-1 (of tile c and row r: 2(cR + r) and the next), 8 and 9 the lower four bits of a tile's two halves, 10 and 11 the
// upper ones, 12 and 13 activations, 14 a group's scales, 15 the mask of the lower four bits.
template <int R, int S, bool Fetch>
struct TileAvxVnni {
    static constexpr int kTiles = R == 1 ? 4 : R == 2 ? 2 : 1;  // at once
    static constexpr int64_t kCut = 17 * 1024;

    // As Ints::Tile.
    static void Run(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                    int32_t* totals) {
        if constexpr (kTiles == 4) {
            Tiles<false>(w, 0, ahead, a, groups, steps, last_steps, totals);
        } else if constexpr (S == 0) {
            for (int64_t done = 0, count; done < last_steps; done += count) {
                count = last_steps - done < kCut / 256 ? last_steps - done : kCut / 256;
                ahead = Cut(w + done * 256, ahead, a + done * 2 * R, 1, count, count, totals);
            }
        } else {
            const int64_t bytes = steps * 256 + 64 * S, most = bytes < kCut ? kCut / bytes : 1;
            for (int64_t done = 0, count; done < groups; done += count) {
                count = groups - done < most ? groups - done : most;
                ahead = Cut(w + done * bytes, ahead, a + done * (1 + 2 * steps) * R, count, steps,
                            done + count == groups ? last_steps : steps, totals);
            }
        }
    }

  private:
    static const uint8_t* Cut(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                              int32_t* totals) {
        ahead = Tiles<!Fetch>(w, 0, ahead, a, groups, steps, last_steps, totals);
        for (int c = kTiles; c < 4; c += kTiles) {
            ahead = Tiles<false>(w + c * 64, c * (16 * S - 64), ahead, a, groups, steps, last_steps, totals + c * 16);
        }
        return ahead;
    }

    // back: from where w stands after a group to the scales of its tile. Touch: all four tiles are read, so that those of the passes to
    // come are near. Returns up to where it has fetched.
    template <bool Touch>
    static const uint8_t* Tiles(const uint8_t* w, int64_t back, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps,
                                int64_t last_steps, int32_t* totals) {
        static_assert(2 * R * kTiles <= 8);
        static constexpr uint32_t kNibbles = 0x0f0f0f0f;
        int64_t left;
        const int32_t* next;
        asm volatile(
            ".altmacro\n"
            ".macro lc_start offset, sum\n vpbroadcastd \\offset(%[next]), %%ymm\\sum\n .endm\n"
            ".macro lc_load offset, sum\n vmovdqu \\offset(%[totals]), %%ymm\\sum\n .endm\n"
            ".macro lc_store offset, sum\n vmovdqu %%ymm\\sum, \\offset(%[totals])\n .endm\n"
            ".macro lc_dots offset, activation, weights, sum, other\n"
            " vpbroadcastd \\offset(%[a]), %%ymm\\activation\n"
            " " LONGCAT_AVXVNNI_ENCODING
            "vpdpbusd %%ymm\\activation, %%ymm\\weights, %%ymm\\sum\n"
            " .if \\weights == 8\n"
            "  " LONGCAT_AVXVNNI_ENCODING
            "vpdpbusd %%ymm\\activation, %%ymm9, %%ymm\\other\n"
            " .else\n"
            "  " LONGCAT_AVXVNNI_ENCODING
            "vpdpbusd %%ymm\\activation, %%ymm11, %%ymm\\other\n"
            " .endif\n"
            " .endm\n"
            ".macro lc_close offset, sum\n"
            " vpmulld %%ymm14, %%ymm\\sum, %%ymm\\sum\n"
            " vpaddd \\offset(%[totals]), %%ymm\\sum, %%ymm\\sum\n"
            " vmovdqu %%ymm\\sum, \\offset(%[totals])\n"
            " .endm\n"
            "vpbroadcastd %[nibbles], %%ymm15\n"
            "mov %[a], %[next]\n"
            ".p2align 6\n"
            "1:\n"
            ".set lc_c, 0\n"
            ".rept %c[tiles]\n"
            " .set lc_r, 0\n"
            " .rept %c[rows]\n"
            "  .set lc_s, 2 * (lc_c * %c[rows] + lc_r)\n"
            "  .if %c[scale_bytes]\n"
            "   lc_start %%(lc_r * 4), %%(lc_s)\n   lc_start %%(lc_r * 4), %%(lc_s + 1)\n"
            "  .else\n"
            "   lc_load %%((lc_r * 4 + lc_c) * 64), %%(lc_s)\n   lc_load %%((lc_r * 4 + lc_c) * 64 + 32), %%(lc_s + 1)\n"
            "  .endif\n"
            "  .set lc_r, lc_r + 1\n"
            " .endr\n"
            " .set lc_c, lc_c + 1\n"
            ".endr\n"
            "mov %[steps], %[left]\n"
            "cmp $1, %[groups]\n"
            "cmove %[last], %[left]\n"
            ".if %c[scale_bytes]\n add $4 * %c[rows], %[a]\n .endif\n"
            ".p2align 5\n"
            "2:\n"
            ".set lc_c, 0\n"
            ".rept %c[tiles]\n"
            " .if %c[fetch]\n  prefetcht1 lc_c * 64(%[ahead])\n .endif\n"
            " vmovdqu lc_c * 64(%[w]), %%ymm8\n"
            " vmovdqu lc_c * 64 + 32(%[w]), %%ymm9\n"
            " vpsrlw $4, %%ymm8, %%ymm10\n"
            " vpsrlw $4, %%ymm9, %%ymm11\n"
            " vpand %%ymm15, %%ymm8, %%ymm8\n"
            " vpand %%ymm15, %%ymm9, %%ymm9\n"
            " vpand %%ymm15, %%ymm10, %%ymm10\n"
            " vpand %%ymm15, %%ymm11, %%ymm11\n"
            " .set lc_r, 0\n"
            " .rept %c[rows]\n"
            "  .set lc_s, 2 * (lc_c * %c[rows] + lc_r)\n"
            "  lc_dots %%(lc_r * 4), 12, 8, %%(lc_s), %%(lc_s + 1)\n"
            "  .set lc_r, lc_r + 1\n"
            " .endr\n"
            " .set lc_r, 0\n"
            " .rept %c[rows]\n"
            "  .set lc_s, 2 * (lc_c * %c[rows] + lc_r)\n"
            "  lc_dots %%((%c[rows] + lc_r) * 4), 13, 10, %%(lc_s), %%(lc_s + 1)\n"
            "  .set lc_r, lc_r + 1\n"
            " .endr\n"
            " .set lc_c, lc_c + 1\n"
            ".endr\n"
            ".if %c[touch]\n"
            " .rept 4 - %c[tiles]\n  vmovdqu lc_c * 64(%[w]), %%ymm12\n  .set lc_c, lc_c + 1\n .endr\n"
            ".endif\n"
            "add $256, %[w]\n"
            "add $8 * %c[rows], %[a]\n"
            ".if %c[fetch]\n add $64 * %c[tiles], %[ahead]\n .endif\n"
            "dec %[left]\n"
            "jnz 2b\n"
            ".set lc_c, 0\n"
            ".rept %c[tiles]\n"
            " .set lc_half, 0\n"
            " .rept 2\n"
            "  .if %c[scale_bytes] == 1\n   vpmovsxbd lc_c * 16 + lc_half * 8(%[w],%[back]), %%ymm14\n  .endif\n"
            "  .if %c[scale_bytes] == 2\n   vpmovsxwd lc_c * 32 + lc_half * 16(%[w],%[back]), %%ymm14\n  .endif\n"
            "  .set lc_r, 0\n"
            "  .rept %c[rows]\n"
            "   .set lc_s, 2 * (lc_c * %c[rows] + lc_r) + lc_half\n"
            "   .if %c[scale_bytes]\n"
            "    lc_close %%((lc_r * 4 + lc_c) * 64 + lc_half * 32), %%(lc_s)\n"
            "   .else\n"
            "    lc_store %%((lc_r * 4 + lc_c) * 64 + lc_half * 32), %%(lc_s)\n"
            "   .endif\n"
            "   .set lc_r, lc_r + 1\n"
            "  .endr\n"
            "  .set lc_half, lc_half + 1\n"
            " .endr\n"
            " .set lc_c, lc_c + 1\n"
            ".endr\n"
            ".if %c[scale_bytes]\n"
            " mov %[a], %[next]\n"
            " add $64 * %c[scale_bytes], %[w]\n"
            " .if %c[fetch]\n"
            "  prefetcht1 (%[ahead])\n"
            "  .if %c[scale_bytes] * %c[tiles] > 4\n   prefetcht1 64(%[ahead])\n  .endif\n"
            "  add $16 * %c[scale_bytes] * %c[tiles], %[ahead]\n"
            " .endif\n"
            ".endif\n"
            "dec %[groups]\n"
            "jnz 1b\n"
            ".purgem lc_start\n.purgem lc_load\n.purgem lc_store\n.purgem lc_dots\n.purgem lc_close\n"
            ".noaltmacro\n"
            : [w] "+r"(w), [ahead] "+r"(ahead), [a] "+r"(a), [groups] "+r"(groups), [left] "=&r"(left), [next] "=&r"(next)
            : [steps] "r"(steps), [last] "r"(last_steps), [totals] "r"(totals), [back] "r"(back), [nibbles] "m"(kNibbles), [rows] "i"(R),
              [tiles] "i"(kTiles), [scale_bytes] "i"(S), [fetch] "i"(Fetch ? 1 : 0), [touch] "i"(Touch ? 1 : 0)
            : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
              "xmm13", "xmm14", "xmm15");
        return ahead;
    }
};

}  // namespace
}  // namespace longcat
