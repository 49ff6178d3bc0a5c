// W4A8 experts. Include after bytes_avx2.h and ints_avx2.h, or after the same two of another instruction set.
//
// (1) route; tokens to integers, once each; a part's rows (w4a8_plan.h) interleaved as its tiles read them
// (2) tasks of one part and a few panels of gate and up, the longest parts first: products, silu(gate) ⊙ up while both are in the cache;
//     who ends a part's last task turns its inner activations into integers
// (3) tasks of a few panels of all experts' down, parts ascending: every element of y is added to by one task in the order of the experts
#pragma once

#include "../common/parallel.h"
#include "../simd/quantize.h"
#include "../simd/w4a8_panels.h"
#include "activate.h"
#include "low_rank.h"
#include "router.h"
#include "w4a8_plan.h"

namespace longcat {
namespace {

// Panels of gate and of up per task, of down per task and expert. Wide tasks read longer pieces of memory, which two cores need more than
// one does; narrow ones, which come last, let all threads end together. With many pairs narrow tasks are long enough.
constexpr int64_t kGatePanels = 8, kLastGatePanels = 4;
constexpr int64_t kDownPanels = 8, kLastDownPanels = 2;
constexpr int64_t kManyPairs = 256;
constexpr int64_t kDownShare = 4;  // a task takes at most one part in so many of the panels that are left

class W4A8Mixture {
  public:
    W4A8Mixture(const ExpertMixtureArguments& arguments, const Routing& routing, float* activation, void* workspace,
                const ParallelFor& parallel)
        : p(arguments),
          r(routing),
          experts(*arguments.w4a8),
          plan_(PlanW4A8Mixture(arguments)),
          gate_(GateLayout(arguments)),
          down_(DownLayout(arguments)),
          activation_(activation),
          memory_(static_cast<char*>(workspace)),
          parallel_(parallel) {}

    void Run() {
        Route(p, r, parallel_);
        int64_t gate_panels = CeilDivide(p.intermediate, kW4A8PanelColumns);
        count_ = CutIntoParts(p, r, Parts(), Order());
        GateTasks gates(gate_panels, count_);
        for (int64_t part = 0; part < count_; part++) {
            Parts()[Order()[part]].unfinished = static_cast<int32_t>(gates.OfPart(part));
        }
        int64_t pairs = r.first[p.experts];
        bool small = pairs * p.hidden * p.intermediate < 8 * kInlineWork;
        For(Unless(p.tokens * p.hidden < kInlineWork, parallel_), static_cast<size_t>(p.tokens),
            [&](size_t t) { QuantizeToken(static_cast<int64_t>(t)); });
        For(Unless(pairs * p.hidden < kInlineWork, parallel_), static_cast<size_t>(count_),
            [&](size_t part) { InterleavePart(Parts()[Order()[part]]); });
        if (p.adapters != nullptr) {
            auto token_of = [&](int64_t pair) { return p.x + r.token[pair] * p.hidden; };
            MakeRanks(p, r, p.adapters->gate, p.hidden, token_of, r.gate_ranks, parallel_);
            MakeRanks(p, r, p.adapters->up, p.hidden, token_of, r.up_ranks, parallel_);
        }
        InOrder(Unless(small, parallel_), gates.count, [&](int64_t index, int64_t next) {
            GateTask task = gates.At(index), after = gates.At(Smaller(next, gates.count - 1));
            ExpertPart& part = Parts()[Order()[task.part]];
            const uint8_t* ahead = next < gates.count ? GatePanel(experts.gate, Parts()[Order()[after.part]], after.first) : nullptr;
            MakeInner(part, task.first, task.last, ahead);
            if (__atomic_sub_fetch(&part.unfinished, 1, __ATOMIC_ACQ_REL) == 0) {
                QuantizeInner(part);
            }
        });
        if (p.adapters != nullptr) {
            auto inner_of = [&](int64_t pair) { return activation_ + pair * p.intermediate; };
            MakeRanks(p, r, p.adapters->down, p.intermediate, inner_of, r.gate_ranks, parallel_);
        }
        int64_t down_panels = CeilDivide(p.hidden, kW4A8PanelColumns), width = pairs >= kManyPairs ? kLastDownPanels : kDownPanels;
        int64_t down_tasks = 0;
        for (int64_t first = 0; first < down_panels; first = AfterDown(first, down_panels, width)) {
            down_tasks++;
        }
        InOrder(Unless(small, parallel_), down_tasks, [&](int64_t task, int64_t next) {
            int64_t first = FirstDown(task, down_panels, width);
            AddDown(first, AfterDown(first, down_panels, width), next < down_tasks ? FirstDown(next, down_panels, width) : -1);
        });
    }

  private:
    struct GateTask {
        int64_t part, first, last;  // in the order of the parts; panels
    };
    // The parts of the last quarter are cut narrowly.
    struct GateTasks {
        int64_t panels, wide, wide_tasks, last_tasks, count;

        GateTasks(int64_t of, int64_t parts)
            : panels(of),
              wide(parts - CeilDivide(parts, 4)),
              wide_tasks(CeilDivide(of, kGatePanels)),
              last_tasks(CeilDivide(of, kLastGatePanels)),
              count(wide * wide_tasks + (parts - wide) * last_tasks) {}
        int64_t OfPart(int64_t part) const { return part < wide ? wide_tasks : last_tasks; }
        GateTask At(int64_t task) const {
            bool in_wide = task < wide * wide_tasks;
            int64_t at = in_wide ? task : task - wide * wide_tasks, tasks = in_wide ? wide_tasks : last_tasks;
            int64_t width = in_wide ? kGatePanels : kLastGatePanels, first = at % tasks * width;
            return {(in_wide ? 0 : wide) + at / tasks, first, Smaller(first + width, panels)};
        }
    };
    // Where the task ends that begins at a panel of down, and where a task begins.
    static int64_t AfterDown(int64_t first, int64_t panels, int64_t width) {
        int64_t share = (panels - first) / kDownShare / kLastDownPanels * kLastDownPanels;
        return Smaller(first + Larger(kLastDownPanels, Smaller(width, share)), panels);
    }
    static int64_t FirstDown(int64_t task, int64_t panels, int64_t width) {
        int64_t first = 0;
        for (; task > 0; task--) {
            first = AfterDown(first, panels, width);
        }
        return first;
    }

    template <class T>
    T* At(size_t offset) const {
        return reinterpret_cast<T*>(memory_ + offset);
    }
    ExpertPart* Parts() const { return At<ExpertPart>(plan_.parts); }
    int32_t* Order() const { return At<int32_t>(plan_.order); }

    // x [k] to integers and the sums of their groups; returns the row's scale.
    static float Quantize(const float* x, const W4A8Shape& shape, int8_t* a, int32_t* sums) {
        RowScale scale = RowScaleOfBits(LargestBits(x, shape.k), 0);
        QuantizeWith(FloatRow{x}, shape.k, scale, 0, a);
        GroupSums(a, shape.k, shape.group, sums);
        return scale.scale;
    }

    void QuantizeToken(int64_t t) {
        int8_t* a = At<int8_t>(plan_.x) + t * plan_.x_stride;
        int32_t* sums = At<int32_t>(plan_.x_sums) + t * plan_.x_groups;
        At<float>(plan_.x_scale)[t] = Quantize(p.x + t * p.hidden, gate_, a, sums);
        W4A8PutRow(gate_, W4A8Blocks(gate_, 1), 0, a, sums, At<int32_t>(plan_.x_rows) + t * plan_.x_words);
    }

    // A part of one row takes the token's own.
    void InterleavePart(const ExpertPart& part) {
        if (part.rows == 1) {
            return;
        }
        IntBlocks blocks = W4A8Blocks(gate_, part.rows);
        for (int64_t row = 0; row < part.rows; row++) {
            int64_t pair = part.first + row, token = r.token[pair];
            W4A8PutRow(gate_, blocks, row, At<int8_t>(plan_.x) + token * plan_.x_stride, At<int32_t>(plan_.x_sums) + token * plan_.x_groups,
                       At<int32_t>(plan_.rows) + part.first * plan_.x_words);
            At<float>(plan_.row_scale)[pair] = At<float>(plan_.x_scale)[token];
        }
    }

    IntRows TokensOf(const ExpertPart& part) const {
        if (part.rows == 1) {
            int64_t token = r.token[part.first];
            return {At<int32_t>(plan_.x_rows) + token * plan_.x_words, At<float>(plan_.x_scale) + token};
        }
        return {At<int32_t>(plan_.rows) + part.first * plan_.x_words, At<float>(plan_.row_scale) + part.first};
    }

    IntRows InnerOf(const ExpertPart& part) const {
        return {At<int32_t>(plan_.inner_rows) + part.first * plan_.inner_words, At<float>(plan_.inner_scale) + part.first};
    }

    const uint8_t* GatePanel(const uint8_t* stack, const ExpertPart& part, int64_t panel) const {
        return stack + (part.expert * CeilDivide(p.intermediate, kW4A8PanelColumns) + panel) * gate_.panel_bytes;
    }
    const uint8_t* DownPanel(const ExpertPart& part, int64_t panel) const {
        return experts.down + (part.expert * CeilDivide(p.hidden, kW4A8PanelColumns) + panel) * down_.panel_bytes;
    }

    // silu(gate) ⊙ up of the panels [first, last); afterwards the thread reads `ahead`.
    void MakeInner(const ExpertPart& part, int64_t first, int64_t last, const uint8_t* ahead) {
        IntBlocks blocks = W4A8Blocks(gate_, part.rows);
        IntRows rows = TokensOf(part);
        alignas(64) float up[kPartRows * kW4A8PanelColumns];
        for (int64_t panel = first; panel < last; panel++) {
            const uint8_t *gate_panel = GatePanel(experts.gate, part, panel), *up_panel = GatePanel(experts.up, part, panel);
            const uint8_t* after = panel + 1 < last ? gate_panel + gate_.panel_bytes : ahead;
            int64_t column = panel * kW4A8PanelColumns;
            IntOutput gates, ups;
            gates.scale = experts.gate_scale + part.expert * p.intermediate + column;
            ups.scale = experts.up_scale + part.expert * p.intermediate + column;
            gates.y = activation_ + part.first * p.intermediate + column, gates.stride = p.intermediate;
            ups.y = up, ups.stride = kW4A8PanelColumns;
            gates.columns = ups.columns = Smaller(kW4A8PanelColumns, p.intermediate - column);
            W4A8PanelProduct(gate_, gate_panel, up_panel, blocks, 0, blocks.count, rows, gates);
            W4A8PanelProduct(gate_, up_panel, after, blocks, 0, blocks.count, rows, ups);
            for (int64_t row = 0; row < part.rows; row++) {
                float* gate = gates.y + row * gates.stride;
                if (p.adapters != nullptr) {
                    int64_t pair = part.first + row;
                    AddRanks(p, r, p.adapters->gate, p.intermediate, part.expert, pair, r.gate_ranks, column, gates.columns, gate);
                    AddRanks(p, r, p.adapters->up, p.intermediate, part.expert, pair, r.up_ranks, column, gates.columns, up + row * ups.stride);
                }
                Activate(gate, up + row * ups.stride, gates.columns, gate);
            }
        }
    }

    void QuantizeInner(const ExpertPart& part) {
        IntBlocks blocks = W4A8Blocks(down_, part.rows);
        for (int64_t row = 0; row < part.rows; row++) {
            int64_t pair = part.first + row;
            int8_t* a = At<int8_t>(plan_.inner) + pair * plan_.inner_stride;
            int32_t* sums = At<int32_t>(plan_.inner_sums) + pair * plan_.inner_groups;
            At<float>(plan_.inner_scale)[pair] = Quantize(activation_ + pair * p.intermediate, down_, a, sums);
            W4A8PutRow(down_, blocks, row, a, sums, At<int32_t>(plan_.inner_rows) + part.first * plan_.inner_words);
        }
    }

    // y of the panels [first, last) of all tokens; afterwards the thread begins at panel `next` (below 0: it is done).
    void AddDown(int64_t first, int64_t last, int64_t next) {
        int64_t column = first * kW4A8PanelColumns, columns = Smaller(last * kW4A8PanelColumns, p.hidden) - column;
        for (int64_t t = 0; t < p.tokens; t++) {
            std::memset(p.y + t * p.hidden + column, 0, static_cast<size_t>(columns) * sizeof(float));
        }
        alignas(64) float down[kPartRows * kW4A8PanelColumns];
        for (int64_t i = 0; i < count_; i++) {
            const ExpertPart& part = Parts()[i];
            IntBlocks blocks = W4A8Blocks(down_, part.rows);
            IntRows rows = InnerOf(part);
            const uint8_t* ahead = i + 1 < count_ ? DownPanel(Parts()[i + 1], first) : next >= 0 ? DownPanel(Parts()[0], next) : nullptr;
            for (int64_t panel = first; panel < last; panel++) {
                const uint8_t* weights = DownPanel(part, panel);
                IntOutput output;
                output.columns = Smaller(kW4A8PanelColumns, p.hidden - panel * kW4A8PanelColumns);
                output.scale = experts.down_scale + part.expert * p.hidden + panel * kW4A8PanelColumns;
                output.y = down, output.stride = kW4A8PanelColumns;
                const uint8_t* after = panel + 1 < last ? weights + down_.panel_bytes : ahead;
                W4A8PanelProduct(down_, weights, after, blocks, 0, blocks.count, rows, output);
                for (int64_t row = 0; row < part.rows; row++) {
                    float* y = p.y + r.token[part.first + row] * p.hidden + panel * kW4A8PanelColumns;
                    float weight = r.weight[part.first + row];
                    if (p.adapters != nullptr) {
                        AddRanks(p, r, p.adapters->down, p.hidden, part.expert, part.first + row, r.gate_ranks, panel * kW4A8PanelColumns,
                                 output.columns, down + row * kW4A8PanelColumns);
                    }
                    for (int64_t c = 0; c < output.columns; c++) {
                        y[c] += weight * down[row * kW4A8PanelColumns + c];
                    }
                }
            }
        }
        for (int64_t t = 0; t < p.tokens; t++) {
            for (int64_t c = column; c < column + columns; c++) {
                p.y[t * p.hidden + c] += r.identity[t] * p.x[t * p.hidden + c];
            }
        }
    }

    const ExpertMixtureArguments& p;
    const Routing& r;
    const W4A8Experts& experts;
    W4A8MixturePlan plan_;
    W4A8Shape gate_, down_;
    float* activation_;
    char* memory_;
    const ParallelFor& parallel_;
    int64_t count_ = 0;  // of parts
};

}  // namespace
}  // namespace longcat
