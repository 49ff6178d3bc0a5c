// Rows of integers with room between them, for kernels that read 16 bytes at a time.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/quantize_rows.h"

namespace longcat::cuda {

// As QuantizeRows, a row every `pitch` bytes, zeros behind its k values. The arguments have been checked.
Status QuantizeRowsPitched(const Execution& execution, const QuantizeRowsArguments& arguments, int64_t pitch);

// As SiluMulQuantize, a row every `pitch` bytes, zeros behind its k values; of rows.m rows the first *count, a number on the device.
Status SiluMulQuantizePitched(const Execution& execution, const SiluMulQuantizeArguments& arguments, int64_t pitch, const int32_t* count);

}  // namespace longcat::cuda
