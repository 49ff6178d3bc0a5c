// The innermost loop of the product with 4-bit weights, in assembly: R rows by the four tiles of 16 outputs of a panel. Sums live in
// registers that are named here, because what a compiler makes of the same loop copies or spills them (g++ 12 loses a tenth of the speed).
//
// A processor like Zen 4 starts one 512-bit dot product per cycle on two of its four vector pipes; masks, shifts and additions run on the
// other two and broadcasts from memory in the load units, all beside it. Multiplications need the pipes of the dot products: closing the
// groups costs one slot in 32 with groups of 128, and is what is lost (kernels/lab/README.md).
#pragma once

#include <cstdint>

namespace longcat {
namespace {

// Registers: sums 0..4R-1, totals from 4R on up to 27 and the other totals in memory, 28 the group's scales, 29 and 30 unpacked weights, 31
// the mask of the lower four bits. The loops over rows and tiles are the assembler's: `.rept` with counters, and macros that make register
// numbers of expressions.
template <int R, int S, bool Fetch>
struct TileVnni {
    static constexpr int kSums = R * 4;
    static constexpr int kKept = S == 0 ? 0 : 2 * kSums <= 28 ? kSums : 28 - kSums;  // totals in registers

    // As Ints::Tile.
    static void Run(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                    int32_t* totals) {
        static_assert(kSums <= 24);
        static constexpr uint32_t kNibbles = 0x0f0f0f0f;
        int64_t left;
        const int32_t* next;
        asm volatile(
            ".altmacro\n"
            ".macro lc_start offset, sum\n vpbroadcastd \\offset(%[next]), %%zmm\\sum\n .endm\n"
            ".macro lc_load offset, register\n vmovdqu64 \\offset(%[totals]), %%zmm\\register\n .endm\n"
            ".macro lc_store offset, register\n vmovdqu64 %%zmm\\register, \\offset(%[totals])\n .endm\n"
            ".macro lc_dot offset, weights, sum\n vpdpbusd \\offset(%[a])%{1to16%}, %%zmm\\weights, %%zmm\\sum\n .endm\n"
            ".macro lc_multiply sum\n vpmulld %%zmm28, %%zmm\\sum, %%zmm\\sum\n .endm\n"
            ".macro lc_add sum, total\n vpaddd %%zmm\\sum, %%zmm\\total, %%zmm\\total\n .endm\n"
            ".macro lc_add_memory offset, sum\n vpaddd \\offset(%[totals]), %%zmm\\sum, %%zmm\\sum\n .endm\n"
            "vpbroadcastd %[nibbles], %%zmm31\n"
            "mov %[a], %[next]\n"
            ".set lc_i, 0\n"
            ".rept %c[sums]\n"
            " .if %c[scale_bytes]\n  lc_start %%(lc_i / 4 * 4), %%(lc_i)\n .else\n  lc_load %%(lc_i * 64), %%(lc_i)\n .endif\n"
            " .if lc_i < %c[kept]\n  lc_load %%(lc_i * 64), %%(lc_i + %c[sums])\n .endif\n"
            " .set lc_i, lc_i + 1\n"
            ".endr\n"
            ".p2align 6\n"
            "1:\n"
            "mov %[steps], %[left]\n"
            "cmp $1, %[groups]\n"
            "cmove %[last], %[left]\n"
            ".if %c[scale_bytes]\n add $4 * %c[rows], %[a]\n .endif\n"
            ".p2align 5\n"
            "2:\n"
            ".set lc_c, 0\n"
            ".rept 4\n"
            " .if %c[fetch]\n  prefetcht1 lc_c * 64(%[ahead])\n .endif\n"
            " vmovdqu64 lc_c * 64(%[w]), %%zmm29\n"
            " vpsrlw $4, %%zmm29, %%zmm30\n"
            " vpandd %%zmm31, %%zmm29, %%zmm29\n"
            " vpandd %%zmm31, %%zmm30, %%zmm30\n"
            " .set lc_i, 0\n"
            " .rept %c[rows]\n  lc_dot %%(lc_i * 4), 29, %%(lc_i * 4 + lc_c)\n  .set lc_i, lc_i + 1\n .endr\n"
            " .set lc_i, 0\n"
            " .rept %c[rows]\n  lc_dot %%(lc_i * 4 + %c[rows] * 4), 30, %%(lc_i * 4 + lc_c)\n  .set lc_i, lc_i + 1\n .endr\n"
            " .set lc_c, lc_c + 1\n"
            ".endr\n"
            "add $256, %[w]\n"
            "add $8 * %c[rows], %[a]\n"
            ".if %c[fetch]\n add $256, %[ahead]\n .endif\n"
            "dec %[left]\n"
            "jnz 2b\n"
            ".if %c[scale_bytes]\n"
            " lea -4 * %c[rows](%[a]), %[next]\n"  // after the last group any address will do
            " cmp $1, %[groups]\n"
            " cmovne %[a], %[next]\n"
            " .set lc_c, 0\n"
            " .rept 4\n"
            "  .if %c[scale_bytes] == 1\n   vpmovsxbd lc_c * 16(%[w]), %%zmm28\n  .else\n   vpmovsxwd lc_c * 32(%[w]), %%zmm28\n  .endif\n"
            "  .set lc_i, lc_c\n"
            "  .rept %c[rows]\n"
            "   lc_multiply %%(lc_i)\n"
            "   .if lc_i < %c[kept]\n"
            "    lc_add %%(lc_i), %%(lc_i + %c[sums])\n"
            "   .else\n"
            "    lc_add_memory %%(lc_i * 64), %%(lc_i)\n"
            "    lc_store %%(lc_i * 64), %%(lc_i)\n"
            "   .endif\n"
            "   lc_start %%(lc_i / 4 * 4), %%(lc_i)\n"
            "   .set lc_i, lc_i + 4\n"
            "  .endr\n"
            "  .set lc_c, lc_c + 1\n"
            " .endr\n"
            " add $64 * %c[scale_bytes], %[w]\n"
            " .if %c[fetch]\n"
            "  prefetcht1 (%[ahead])\n"
            "  .if %c[scale_bytes] == 2\n   prefetcht1 64(%[ahead])\n  .endif\n"
            "  add $64 * %c[scale_bytes], %[ahead]\n"
            " .endif\n"
            ".endif\n"
            "dec %[groups]\n"
            "jnz 1b\n"
            ".set lc_i, 0\n"
            ".rept %c[sums]\n"
            " .if %c[scale_bytes] == 0\n  lc_store %%(lc_i * 64), %%(lc_i)\n .endif\n"
            " .if lc_i < %c[kept]\n  lc_store %%(lc_i * 64), %%(lc_i + %c[sums])\n .endif\n"
            " .set lc_i, lc_i + 1\n"
            ".endr\n"
            ".purgem lc_start\n.purgem lc_load\n.purgem lc_store\n.purgem lc_dot\n.purgem lc_multiply\n.purgem lc_add\n.purgem "
            "lc_add_memory\n"
            ".noaltmacro\n"
            : [w] "+r"(w), [ahead] "+r"(ahead), [a] "+r"(a), [groups] "+r"(groups), [left] "=&r"(left), [next] "=&r"(next)
            : [steps] "r"(steps), [last] "r"(last_steps), [totals] "r"(totals), [nibbles] "m"(kNibbles), [rows] "i"(R), [sums] "i"(kSums),
              [kept] "i"(kKept), [scale_bytes] "i"(S), [fetch] "i"(Fetch ? 1 : 0)
            : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
              "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
              "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
    }
};

}  // namespace
}  // namespace longcat
