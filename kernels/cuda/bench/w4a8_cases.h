// W4A8MatMul against cuBLAS in bfloat16 and in int8, with the two floors: the bytes that must be read and the operations that must be done.
#pragma once

#include <cmath>
#include <cstdint>

#include "longcat/cuda/w4a8_matmul.h"
#include "timing.h"

namespace longcat::cuda::bench {

// The sum of products of one output, from the packed bytes.
inline int32_t ExpectedSum(const W4A8Layout& layout, const std::vector<uint8_t>& packed, const int8_t* x, int64_t output) {
    const uint8_t* panel = packed.data() + output / 64 * W4A8PanelBytes(layout);
    int64_t column = output % 64, at = 0;
    uint32_t total = 0;
    for (int64_t first = 0; first < layout.k; first += layout.group) {
        int64_t length = std::min(layout.group, layout.k - first);
        int32_t sum = 0;
        for (int64_t i = 0; i < length; i++) {
            uint8_t byte = panel[at + i / 8 * 256 + column * 4 + i % 4];
            sum += x[first + i] * ((i % 8 < 4 ? byte & 15 : byte >> 4) - 8);
        }
        at += (length + 7) / 8 * 256;
        int32_t scale = layout.group_scale_bytes == 0 ? 1 : static_cast<int8_t>(panel[at + column]);
        at += layout.group_scale_bytes * 64;
        total += static_cast<uint32_t>(sum) * static_cast<uint32_t>(scale);
    }
    return static_cast<int32_t>(total);
}

// False: an output is wrong.
inline bool W4A8Cases(const Execution& execution, const Cublas& cublas, const Ceilings& ceilings, bool quick) {
    struct Shape {
        const char* what;
        int64_t n, k;
    };
    // LongCat-Flash-Lite: hidden 3072, experts' inner width 1024 (gate and up are a product each), dense inner width 6144, query 24 heads of 192.
    std::vector<Shape> shapes = {{"8192 x 8192", 8192, 8192}, {"28672 x 4096", 28672, 4096}, {"LongCat 6144 x 3072", 6144, 3072}, {"LongCat 3072 x 6144", 3072, 6144},
                                 {"LongCat 4608 x 1536", 4608, 1536}};
    std::vector<int64_t> rows = {1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096};
    if (quick) {
        shapes.resize(2), rows = {1, 16, 64, 512};
    }
    bool right = true;
    std::printf("\nW4A8MatMul, groups of 128, one-byte group scales. floors: time of the weights' bytes at the measured bandwidth, of the operations at twice the\n"
                "measured bfloat16 rate; x bf16, x int8: time of cuBLAS over ours\n"
                "%-22s %5s %9s %8s %8s %7s %7s %9s %9s\n", "outputs x inputs", "M", "us", "GB/s", "TOPS", "bytes", "ops", "x bf16", "x int8");
    uint64_t state = 88172645463325252u;
    for (const Shape& shape : shapes) {
        W4A8Layout layout{shape.n, shape.k, 128, 1};
        std::vector<uint8_t> packed(static_cast<size_t>(W4A8PackedBytes(layout)));
        for (size_t i = 0; i + 8 <= packed.size(); i += 8) {
            uint64_t word = NextWord(state);
            std::memcpy(&packed[i], &word, 8);
        }
        int copies = Copies(packed.size());
        std::vector<std::unique_ptr<Array<uint8_t>>> weights, wide;
        for (int i = 0; i < copies; i++) {
            weights.push_back(std::make_unique<Array<uint8_t>>(packed));
        }
        int wide_copies = Copies(static_cast<size_t>(shape.n * shape.k) * 2);
        if (cublas.ready()) {
            std::vector<uint8_t> numbers(static_cast<size_t>(shape.n * shape.k) * 2);
            for (size_t i = 0; i + 8 <= numbers.size(); i += 8) {
                uint64_t word = (NextWord(state) & 0x807f807f807f807fu) | 0x3c003c003c003c00u;  // bfloat16 of about 2^-7
                std::memcpy(&numbers[i], &word, 8);
            }
            for (int i = 0; i < wide_copies; i++) {
                wide.push_back(std::make_unique<Array<uint8_t>>(numbers));
            }
        }
        std::vector<float> scale(static_cast<size_t>(shape.n), 0.001f);
        Array<float> device_scale(scale);
        for (int64_t m : rows) {
            std::vector<int8_t> x(static_cast<size_t>(m * shape.k));
            for (int8_t& value : x) {
                value = static_cast<int8_t>(static_cast<int64_t>(NextWord(state) >> 40) % 255 - 127);
            }
            std::vector<float> x_scale(static_cast<size_t>(m), 0.01f);
            Array<int8_t> device_x(x);
            Array<float> device_x_scale(x_scale), y(static_cast<size_t>(m * shape.n));
            W4A8MatMulArguments a;
            a.m = m, a.layout = layout, a.xq = device_x.get(), a.x_scale = device_x_scale.get(), a.scale = device_scale.get(), a.y = y.get();
            Array<uint8_t> workspace(W4A8MatMulWorkspace(execution.device, a));
            auto call = [&](int i) {
                a.weights = weights[static_cast<size_t>(i)]->get();
                if (Status status = W4A8MatMul(execution, a, workspace.get()); !status.ok()) {
                    std::printf("%s\n", status.message);
                    std::exit(1);
                }
            };
            y.Fill(0xff);
            double time = Microseconds(execution, copies, call);
            std::vector<float> got = y.Values();
            for (int sample = 0; sample < 64; sample++) {
                int64_t token = static_cast<int64_t>(NextWord(state) >> 20) % m, output = static_cast<int64_t>(NextWord(state) >> 20) % shape.n;
                float want = static_cast<float>(ExpectedSum(layout, packed, x.data() + token * shape.k, output)) * (0.01f * 0.001f);
                float is = got[static_cast<size_t>(token * shape.n + output)];
                if (want != is && right) {
                    std::printf("WRONG: %s, M %d: y[%d, %d] is %g, expected %g\n", shape.what, (int)m, (int)token, (int)output, is, want);
                    right = false;
                }
            }
            double bytes = static_cast<double>(packed.size()), operations = 2.0 * static_cast<double>(m * shape.n) * static_cast<double>(shape.k);
            double bf16 = 0, int8 = 0;
            if (cublas.ready()) {
                Array<uint8_t> wide_x(static_cast<size_t>(m * shape.k) * 2), wide_y(static_cast<size_t>(m * shape.n) * 4);
                wide_x.Fill(0x3c);
                if (cublas.BFloat16((int)m, (int)shape.n, (int)shape.k, wide_x.get(), wide[0]->get(), wide_y.get())) {
                    bf16 = Microseconds(execution, wide_copies, [&](int i) {
                        cublas.BFloat16((int)m, (int)shape.n, (int)shape.k, wide_x.get(), wide[static_cast<size_t>(i)]->get(), wide_y.get());
                    });
                }
                if (m >= 64 && cublas.Int8((int)m, (int)shape.n, (int)shape.k, wide_x.get(), wide[0]->get(), wide_y.get())) {
                    int8 = Microseconds(execution, wide_copies, [&](int i) {
                        cublas.Int8((int)m, (int)shape.n, (int)shape.k, wide_x.get(), wide[static_cast<size_t>(i)]->get(), wide_y.get());
                    });
                }
            }
            double byte_floor = bytes / ceilings.bytes_per_second * 1e6;
            double operation_floor = ceilings.operations_per_second > 0 ? operations / (2 * ceilings.operations_per_second) * 1e6 : 0;
            std::printf("%-22s %5d %9.2f %8.0f %8.1f %6.0f%% %6.0f%% %9.2f %9.2f\n", shape.what, (int)m, time, bytes / time / 1e3, operations / time / 1e6,
                        100 * byte_floor / time, 100 * operation_floor / time, bf16 / time, int8 / time);
            std::fflush(stdout);
        }
    }
    return right;
}

}  // namespace longcat::cuda::bench
