// What the operators of 8-bit activations share: their attributes, and the three outputs of those that make quantized rows.
#pragma once

#include "../ort/kernel.h"
#include "longcat/quantize_rows.h"

namespace longcat::ops {

// group_size: 0 (one group per row) or a multiple of 8; 0 where it is missing.
int64_t GroupSize(const Attributes& attributes);

// activation_scale: above 0 every row's scale, 0 or missing for dynamic ones.
float ActivationScale(const Attributes& attributes);

// in_features: 1..2^24, so that sums of 8-bit values fit 32 bits.
int64_t InFeatures(const Attributes& attributes);

// Values that share a group, of rows of k: for the kernels, which want a multiple of 8 that may be longer than the row.
inline int64_t GroupOf(int64_t group_size, int64_t k) { return group_size > 0 ? group_size : (k > 8 ? (k + 7) / 8 * 8 : 8); }

class RowQuantizer {
  public:
    explicit RowQuantizer(const Attributes& attributes);
    // Outputs 0..2 (y, y_scale, y_sums) of rows [m, k].
    QuantizedRows Outputs(const Context& context, int64_t m, int64_t k) const;

  private:
    int64_t group_size_;
    float static_scale_;
};

}  // namespace longcat::ops
