#!/usr/bin/env python3
"""Which instructions run beside vpdpbusd for nothing, and which take its place.

    python3 kernels/lab/W4A8/ports.py > /tmp/ports.c && gcc -O2 -mavx512f /tmp/ports.c -o /tmp/ports && taskset -c 1 /tmp/ports

Each line: cycles of the instruction alone, of 16 dot products with 16 of it, of 16 dot products with 4 of it; a cycle is the time of one
512-bit dot product. 16.0 means free, 32.0 that each takes the place of one dot product.
"""
OPERATIONS = ["vpmulld", "vpmullw", "vpmaddwd", "vpmaddubsw", "vpmuludq", "vpmadd52luq", "vpdpwssd", "vgf2p8mulb", "vmulps", "vpermb", "vpshufb",
              "vpaddd", "vpsubd", "vpandd", "vpmaxsd", "vpsllvd", "vaddps"]
FORMS = {name: f"{name} %%zmm28, %%zmm29, %%zmm{{}}" for name in OPERATIONS}
FORMS |= {"vpsrlw": "vpsrlw $4, %%zmm29, %%zmm{}", "vcvtdq2ps": "vcvtdq2ps %%zmm29, %%zmm{}", "vpmovsxbd load": "vpmovsxbd (%%rsi), %%zmm{}",
          "load": "vmovdqu64 (%%rsi), %%zmm{}", "broadcast": "vpbroadcastd (%%rsi), %%zmm{}"}
CLOBBERS = ", ".join(f'"xmm{i}"' for i in range(32))
DOTS = [f"vpdpbusd %%zmm31, %%zmm30, %%zmm{i}" for i in range(16)]


def function(name, lines):
    body = "\\n\\t".join(lines)
    return (f'static void {name}(long count) {{ asm volatile("1:\\n\\t{body}\\n\\tdec %0\\n\\tjnz 1b" : "+r"(count) : "S"(memory) : '
            f'"cc", "memory", {CLOBBERS}); }}')


print('''#include <stdint.h>
#include <stdio.h>
#include <time.h>
static uint8_t memory[4096] __attribute__((aligned(64)));
static double now() { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static double best(void (*run)(long)) {
    double least = 1e9;
    for (int i = 0; i < 20; i++) { double start = now(); run(20000); double time = (now() - start) / 20000; least = time < least ? time : least; }
    return least;
}''')
print(function("dots", DOTS))
for index, form in enumerate(FORMS.values()):
    lines = [form.format(16 + i % 8) for i in range(16)]
    print(function(f"alone{index}", lines))
    print(function(f"all{index}", [line for pair in zip(DOTS, lines) for line in pair]))
    print(function(f"some{index}", [line for i, pair in enumerate(zip(DOTS, lines)) for line in (pair if i % 4 == 0 else pair[:1])]))
print("int main() {\n    double cycle = best(dots) / 16;")
for index, name in enumerate(FORMS):
    print(f'    printf("%-16s alone %.2f, 16 dots and 16: %.1f, 16 dots and 4: %.1f\\n", "{name}", best(alone{index}) / cycle / 16, '
          f"best(all{index}) / cycle, best(some{index}) / cycle);")
print("}")
