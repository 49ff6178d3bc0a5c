#include "w4a8_plan.h"

#include <algorithm>

namespace longcat {

W4A8MixturePlan PlanW4A8Mixture(const ExpertMixtureArguments& p) {
    W4A8MixturePlan plan;
    W4A8Layout gate = GateLayout(p), down = DownLayout(p);
    auto up = [](int64_t value, int64_t to) { return CeilDivide(value, to) * to; };
    plan.x_groups = CeilDivide(p.hidden, gate.group), plan.inner_groups = CeilDivide(p.intermediate, down.group);
    plan.x_words = up(p.hidden, kW4A8StepDepth) / 4 + plan.x_groups;
    plan.inner_words = up(p.intermediate, kW4A8StepDepth) / 4 + plan.inner_groups;
    plan.x_stride = up(p.hidden, 64), plan.inner_stride = up(p.intermediate, 64);
    int64_t pairs = p.tokens * p.top_k, parts = Smaller(pairs, p.experts + pairs / kPartRows);
    size_t at = 0;
    auto take = [&](int64_t bytes) {
        size_t here = at;
        at += static_cast<size_t>(up(bytes, 64));
        return here;
    };
    plan.parts = take(parts * static_cast<int64_t>(sizeof(ExpertPart)));
    plan.order = take(parts * 4);
    plan.x = take(p.tokens * plan.x_stride);
    plan.x_scale = take(p.tokens * 4);
    plan.x_sums = take(p.tokens * plan.x_groups * 4);
    plan.x_rows = take(p.tokens * plan.x_words * 4);
    plan.rows = take(pairs * plan.x_words * 4);
    plan.row_scale = take(pairs * 4);
    plan.inner = take(pairs * plan.inner_stride);
    plan.inner_scale = take(pairs * 4);
    plan.inner_sums = take(pairs * plan.inner_groups * 4);
    plan.inner_rows = take(pairs * plan.inner_words * 4);
    plan.bytes = at;
    return plan;
}

int64_t CutIntoParts(const ExpertMixtureArguments& p, const Routing& r, ExpertPart* parts, int32_t* order) {
    int64_t count = 0;
    for (int32_t e = 0; e < p.experts; e++) {
        int64_t pairs = r.first[e + 1] - r.first[e], cuts = CeilDivide(pairs, kPartRows);
        for (int64_t cut = 0; cut < cuts; cut++) {
            int32_t from = static_cast<int32_t>(pairs * cut / cuts), to = static_cast<int32_t>(pairs * (cut + 1) / cuts);
            order[count] = static_cast<int32_t>(count);
            parts[count++] = {e, r.first[e] + from, to - from, 0};
        }
    }
    std::sort(order, order + count,
              [&](int32_t a, int32_t b) { return parts[a].rows != parts[b].rows ? parts[a].rows > parts[b].rows : a < b; });
    return count;
}

}  // namespace longcat
