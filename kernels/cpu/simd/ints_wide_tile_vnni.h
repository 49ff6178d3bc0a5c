// The innermost loop of the product with 4-bit weights for blocks of six to eight rows, in assembly: R rows by one tile of 16 outputs at a
// time, group by group. Where ints_tile_vnni.h multiplies each group's sums by the group's scales, which takes the place of a dot product
// in 32 on a processor like Zen 4, this one shifts and adds, which such a processor does beside its dot products: the sums of a tile are
// closed while the next tile is multiplied. Each weight is unpacked for twice as many rows, too.
//
// A scale s becomes four shifts. With u = |s|, u = 2^a + (2^b + 2^c + 2^d) where u has at most four bits, else 2^7 - (2^b + 2^c + 2^d);
// a shift by 32 or more stands for a term that is absent. With Q = S ^ M, M = -1 where s < 0, and m = -1 where the bits are taken off,
//
//   s · S = (Q << a) + (((Q << b) + (Q << c) + (Q << d)) ^ m) + ((u & M) - m)
//
// since ^ lacks 1 of a change of sign. All of it is exact modulo 2^32.
#pragma once

#include <cstdint>

namespace longcat {
namespace {

// Registers: sums 0..R-1, sums that are being closed 8..8+R-1, of their scales 16..19 the shifts a to d, 20 m and 21 what is added last;
// 22 to 24 what is being computed, 25 M, 27 the bits of a float's exponent, 28 a table of bits, 29 and 30 unpacked weights, 31 the mask of
// the lower four bits.
template <int R, bool Fetch>
struct WideTileVnni {
    static constexpr int kClosingSteps = R <= 6 ? 2 * R : R;  // a step of few rows covers half of a closing
    // totals [R, 64] += R interleaved rows times `groups` groups of a panel with scales of one byte, all of `steps` steps but the last.
    // Fetch: as many bytes from `ahead` on come into the second-level cache meanwhile.
    static void Run(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                    int32_t* totals) {
        static_assert(R <= 8);
        // Twice the number of ones, and 3: what two halves of eight bits have reaches 16 where five ones are.
        alignas(16) static constexpr uint8_t kOnes[16] = {3, 5, 5, 7, 5, 7, 7, 9, 5, 7, 7, 9, 7, 9, 9, 11};
        static constexpr uint32_t kNumbers[4] = {0x0f0f0f0f, 0xff800000, 257, 0xffffff81};
        const int64_t delta = ahead - w;
        int64_t left, span, of;
        const int32_t* p;
        const uint8_t* s;
        int32_t *tile, *closing;
        asm volatile(
            ".altmacro\n"
            ".macro lc_start offset, sum\n vpbroadcastd \\offset(%[a]), %%zmm\\sum\n .endm\n"
            ".macro lc_dot offset, weights, sum\n vpdpbusd \\offset(%[p])%{1to16%}, %%zmm\\weights, %%zmm\\sum\n .endm\n"
            ".macro lc_step\n"
            " .if %c[fetch]\n  prefetcht1 (%[w], %[delta])\n .endif\n"
            " vmovdqu64 (%[w]), %%zmm29\n"
            " vpsrlw $4, %%zmm29, %%zmm30\n"
            " vpandd %%zmm31, %%zmm29, %%zmm29\n"
            " vpandd %%zmm31, %%zmm30, %%zmm30\n"
            " .set lc_i, 0\n"
            " .rept %c[rows]\n  lc_dot %%(lc_i * 4), 29, %%(lc_i)\n  .set lc_i, lc_i + 1\n .endr\n"
            " .set lc_i, 0\n"
            " .rept %c[rows]\n  lc_dot %%(lc_i * 4 + %c[rows] * 4), 30, %%(lc_i)\n  .set lc_i, lc_i + 1\n .endr\n"
            " add $256, %[w]\n"
            " add $8 * %c[rows], %[p]\n"
            " .endm\n"
            ".macro lc_close_first q\n"
            " vpsllvd %%zmm16, %%zmm\\q, %%zmm22\n"
            " vpsllvd %%zmm17, %%zmm\\q, %%zmm23\n"
            " vpsllvd %%zmm18, %%zmm\\q, %%zmm24\n"
            " vpaddd %%zmm24, %%zmm23, %%zmm23\n"
            " vpaddd %%zmm21, %%zmm22, %%zmm22\n"
            " .endm\n"
            ".macro lc_close_second q, offset\n"
            " vpsllvd %%zmm19, %%zmm\\q, %%zmm24\n"
            " vpaddd %%zmm24, %%zmm23, %%zmm23\n"
            " vpxord %%zmm20, %%zmm23, %%zmm23\n"
            " vpaddd %%zmm23, %%zmm22, %%zmm22\n"
            " vpaddd \\offset(%[closing]), %%zmm22, %%zmm22\n"
            " vmovdqu64 %%zmm22, \\offset(%[closing])\n"
            " .endm\n"
            ".macro lc_close_all\n"
            " .set lc_r, 0\n"
            " .rept %c[rows]\n"
            "  lc_close_first %%(lc_r + 8)\n"
            "  lc_close_second %%(lc_r + 8), %%(lc_r * 256)\n"
            "  .set lc_r, lc_r + 1\n"
            " .endr\n"
            " .endm\n"
            ".macro lc_zero register\n vpxord %%zmm\\register, %%zmm\\register, %%zmm\\register\n .endm\n"
            ".macro lc_turn sum, q\n vpxord %%zmm25, %%zmm\\sum, %%zmm\\q\n .endm\n"
            ".macro lc_shift to\n"
            " vpsrld $23, %%zmm23, %%zmm\\to\n"
            " vpaddd 12+%[numbers]%{1to16%}, %%zmm\\to, %%zmm\\to\n"
            " .endm\n"
            ".macro lc_next\n"
            " vpandd %%zmm27, %%zmm23, %%zmm24\n"
            " vsubps %%zmm24, %%zmm23, %%zmm23\n"
            " .endm\n"
            ".macro lc_digits piece\n"
            " .if \\piece == 0\n"
            "  vpmovsxbd (%[s]), %%zmm22\n"
            "  vpsrad $31, %%zmm22, %%zmm25\n"
            "  vpxord %%zmm25, %%zmm22, %%zmm22\n"
            "  vpsubd %%zmm25, %%zmm22, %%zmm22\n"
            "  vpsrld $4, %%zmm22, %%zmm23\n"
            "  vpandd %%zmm31, %%zmm22, %%zmm24\n"
            "  vpshufb %%zmm23, %%zmm28, %%zmm23\n"
            "  vpshufb %%zmm24, %%zmm28, %%zmm24\n"
            " .elseif \\piece == 1\n"
            "  vpaddd %%zmm24, %%zmm23, %%zmm23\n"
            "  vpslld $27, %%zmm23, %%zmm23\n"
            "  vpsrad $31, %%zmm23, %%zmm20\n"
            "  vpxord %%zmm20, %%zmm22, %%zmm23\n"
            "  vpandd 8+%[numbers]%{1to16%}, %%zmm20, %%zmm24\n"
            "  vpaddd %%zmm24, %%zmm23, %%zmm23\n"
            "  vpandd %%zmm25, %%zmm22, %%zmm21\n"
            "  vpsubd %%zmm20, %%zmm21, %%zmm21\n"
            " .elseif \\piece == 2\n"
            "  vcvtdq2ps %%zmm23, %%zmm23\n"
            "  lc_shift 16\n"
            "  lc_next\n"
            "  lc_shift 17\n"
            " .else\n"
            "  lc_next\n"
            "  lc_shift 18\n"
            "  lc_next\n"
            "  lc_shift 19\n"
            " .endif\n"
            " .endm\n"
            "vpbroadcastd %[numbers], %%zmm31\n"
            "vpbroadcastd 4+%[numbers], %%zmm27\n"
            "vbroadcasti32x4 %[ones], %%zmm28\n"
            ".set lc_i, 8\n"
            ".rept 14\n lc_zero %%(lc_i)\n .set lc_i, lc_i + 1\n .endr\n"
            "mov %[totals], %[closing]\n"
            ".p2align 6\n"
            "1:\n"  // a group
            "mov %[steps], %[of]\n"
            "cmpq $1, %[groups]\n"
            "cmove %[last], %[of]\n"
            "mov %[of], %[span]\n"
            "shl $8, %[span]\n"
            "lea (%[w], %[span]), %[s]\n"
            ".if %c[fetch]\n prefetcht1 (%[s], %[delta])\n .endif\n"
            "mov %[totals], %[tile]\n"
            ".p2align 5\n"
            "2:\n"  // a tile
            ".set lc_i, 0\n"
            ".rept %c[rows]\n lc_start %%(lc_i * 4), %%(lc_i)\n .set lc_i, lc_i + 1\n .endr\n"
            "lea 4 * %c[rows](%[a]), %[p]\n"
            "mov %[of], %[left]\n"
            "cmp $%c[closing_steps] + 4, %[left]\n"
            "jb 5f\n"
            ".set lc_r, 0\n"
            ".rept %c[rows]\n"
            " lc_step\n"
            " lc_close_first %%(lc_r + 8)\n"
            " .if %c[closing_steps] > %c[rows]\n  lc_step\n .endif\n"
            " lc_close_second %%(lc_r + 8), %%(lc_r * 256)\n"
            " .set lc_r, lc_r + 1\n"
            ".endr\n"
            ".set lc_r, 0\n"
            ".rept 4\n lc_step\n lc_digits %%(lc_r)\n .set lc_r, lc_r + 1\n .endr\n"
            "sub $%c[closing_steps] + 4, %[left]\n"
            "3:\n"
            "add $16, %[s]\n"
            "test %[left], %[left]\n"
            "jz 6f\n"
            "4:\n"
            "lc_step\n"
            "dec %[left]\n"
            "jnz 4b\n"
            "6:\n"
            ".set lc_i, 0\n"
            ".rept %c[rows]\n lc_turn %%(lc_i), %%(lc_i + 8)\n .set lc_i, lc_i + 1\n .endr\n"
            "mov %[tile], %[closing]\n"
            "add $64, %[tile]\n"
            "sub %[span], %[w]\n"
            "add $64, %[w]\n"
            "mov %[tile], %[left]\n"
            "sub %[totals], %[left]\n"
            "cmp $256, %[left]\n"
            "jne 2b\n"
            "lea -192(%[w], %[span]), %[w]\n"
            "mov %[p], %[a]\n"
            "decq %[groups]\n"
            "jnz 1b\n"
            "jmp 7f\n"
            "5:\n"  // the last group is so short that all is closed before
            "lc_close_all\n"
            ".set lc_r, 0\n"
            ".rept 4\n lc_digits %%(lc_r)\n .set lc_r, lc_r + 1\n .endr\n"
            "jmp 3b\n"
            "7:\n"
            "lc_close_all\n"
            ".purgem lc_start\n.purgem lc_dot\n.purgem lc_step\n.purgem lc_close_first\n.purgem lc_close_second\n.purgem "
            "lc_close_all\n.purgem lc_zero\n.purgem lc_turn\n.purgem lc_shift\n.purgem lc_next\n.purgem lc_digits\n"
            ".noaltmacro\n"
            : [w] "+r"(w), [a] "+r"(a), [groups] "+m"(groups), [left] "=&r"(left), [span] "=&r"(span), [of] "=&r"(of), [p] "=&r"(p),
              [s] "=&r"(s), [tile] "=&r"(tile), [closing] "=&r"(closing)
            : [delta] "r"(delta), [steps] "m"(steps), [last] "m"(last_steps), [totals] "r"(totals), [numbers] "m"(kNumbers),
              [ones] "m"(kOnes), [rows] "i"(R), [closing_steps] "i"(kClosingSteps), [fetch] "i"(Fetch ? 1 : 0)
            : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
              "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
              "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
    }
};

}  // namespace
}  // namespace longcat
