// One implementation for all processors: the time is that of the memory's answer.
#include "longcat/int8_embedding.h"

#include "../common/numbers.h"
#include "../common/parallel.h"
#include "longcat/w8a8_matmul.h"

namespace longcat {
namespace {

constexpr int64_t kStep = 4, kStepBytes = kStep * kW8A8PanelColumns;
constexpr int64_t kAhead = 32;  // steps that are on their way: the processor follows no stream that takes 4 bytes of every fourth line

Status Check(const Int8EmbeddingArguments& p) {
    using L = long long;
    if (p.tokens < 0 || p.hidden < 0 || p.hidden > INT32_MAX || p.vocabulary < 0 || p.vocabulary > INT32_MAX) {
        return Status::Error(StatusCode::kInvalidArgument, "%lld tokens, %lld rows of %lld: expected 0 or more, at most 2^31 - 1 rows and columns",
                             L{p.tokens}, L{p.vocabulary}, L{p.hidden});
    }
    if (p.tokens > 0 && (p.ids == nullptr || p.scale == nullptr || (p.hidden > 0 && (p.weights == nullptr || p.y == nullptr)))) {
        return Status::Error(StatusCode::kInvalidArgument, "ids, weights, scale and y must not be null");
    }
    for (int64_t t = 0; t < p.tokens; t++) {
        if (p.ids[t] < 0 || p.ids[t] >= p.vocabulary) {
            return Status::Error(StatusCode::kOutOfRange, "ids[%lld] is token %lld, expected 0..%lld (the rows of the table)", L{t}, L{p.ids[t]},
                                 L{p.vocabulary - 1});
        }
    }
    return {};
}

void Row(const uint8_t* from, int64_t hidden, float scale, float* y) {
    const int64_t steps = hidden / kStep;
    for (int64_t step = 0; step < steps && step < kAhead; step++) {
        __builtin_prefetch(from + step * kStepBytes);
    }
    for (int64_t step = 0; step < steps; step++, from += kStepBytes, y += kStep) {
        __builtin_prefetch(from + kAhead * kStepBytes);
        for (int64_t j = 0; j < kStep; j++) {
            y[j] = static_cast<float>(from[j] - 128) * scale;
        }
    }
    for (int64_t j = 0; j < hidden % kStep; j++) {
        y[j] = static_cast<float>(from[j] - 128) * scale;
    }
}

}  // namespace

Status Int8Embedding(const Int8EmbeddingArguments& p, const ParallelFor& parallel) {
    if (Status status = Check(p); !status.ok()) {
        return status;
    }
    const int64_t panel = W8A8PanelBytes(p.hidden);
    For(Unless(p.tokens * p.hidden < kInlineWork, parallel), static_cast<size_t>(p.tokens), [&](size_t index) {
        int64_t t = static_cast<int64_t>(index), id = p.ids[t];
        Row(p.weights + id / kW8A8PanelColumns * panel + id % kW8A8PanelColumns * kStep, p.hidden, p.scale[id], p.y + t * p.hidden);
    });
    return {};
}

}  // namespace longcat
