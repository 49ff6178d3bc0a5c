// QuantizeRows, RmsNormQuantize and SiluMulQuantize on a GPU: what longcat/quantize_rows.h defines, all pointers to memory of the device.
//
// A block of 256 threads makes one row, in two passes over it (the second one finds it in a cache): the largest magnitude, in RmsNormQuantize with the
// sum of squares (double); then the integers, their sums and whatever else is asked for. The largest |v| of a norm needs no pass of its own: v is
// z · weight times a factor, and rounding never changes an order.
//
// QuantizeRows gives the CPU's bits. In the other two an integer on the edge between two may be the other one: the factor is rounded once in
// float32, and e^x is the GPU's 2^x, right to two units of its last place. A row is the same whatever other rows are there.
#pragma once

#include "longcat/cuda/device.h"
#include "longcat/quantize_rows.h"

namespace longcat::cuda {

// kInvalidArgument: as on the CPU, and a group that is neither a multiple of 8 nor k or more. kDeviceFailure: the launch failed.
Status QuantizeRows(const Execution& execution, const QuantizeRowsArguments& arguments);
Status RmsNormQuantize(const Execution& execution, const RmsNormQuantizeArguments& arguments);
Status SiluMulQuantize(const Execution& execution, const SiluMulQuantizeArguments& arguments);

}  // namespace longcat::cuda
