// Rows of integers with room between them, for kernels that read 16 bytes at a time.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/quantize_rows.h"

namespace longcat::cuda {

// As QuantizeRows, a row every `pitch` bytes, zeros behind its k values. The arguments have been checked.
Status QuantizeRowsPitched(const Execution& execution, const QuantizeRowsArguments& arguments, int64_t pitch);

}  // namespace longcat::cuda
