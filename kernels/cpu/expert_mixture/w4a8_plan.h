// Where the vectorised paths of W4A8 experts keep what, and in which order they work.
#pragma once

#include "../common/numbers.h"
#include "routing.h"

namespace longcat {

// Some of one expert's tokens, few enough to stay in the second-level cache while its panels pass.
struct ExpertPart {
    int32_t expert, first, rows;  // pairs [first, first + rows)
    int32_t unfinished;           // tasks that still write its inner activations
};

constexpr int64_t kPartRows = 96;

struct W4A8MixturePlan {
    int64_t x_words = 0, x_groups = 0, x_stride = 0;              // of x: words of an interleaved row, groups, bytes of a plain row
    int64_t inner_words = 0, inner_groups = 0, inner_stride = 0;  // of the inner activations
    size_t parts = 0, order = 0;
    size_t x = 0, x_scale = 0, x_sums = 0, x_rows = 0, rows = 0, row_scale = 0;  // x_rows: every token by itself; rows: those of parts
    size_t inner = 0, inner_scale = 0, inner_sums = 0, inner_rows = 0, bytes = 0;
};

W4A8MixturePlan PlanW4A8Mixture(const ExpertMixtureArguments& arguments);

// Cuts every expert's tokens into parts, ascending; order receives them again, those with the most rows first. Returns how many.
int64_t CutIntoParts(const ExpertMixtureArguments& arguments, const Routing& routing, ExpertPart* parts, int32_t* order);

}  // namespace longcat
