#pragma once

#include "../common/numbers.h"
#include "longcat/quantize_rows.h"

namespace longcat {

constexpr int64_t kRowTasks = 64;  // tasks that share the rows, each with memory for the floats of one

static inline int64_t FloatsOfRow(int64_t k) { return CeilDivide(k, 16) * 16; }

void QuantizeRowsReference(const QuantizeRowsArguments& arguments, const ParallelFor& parallel);
void QuantizeRowsAvx2(const QuantizeRowsArguments& arguments, const ParallelFor& parallel);
void QuantizeRowsAvx512(const QuantizeRowsArguments& arguments, const ParallelFor& parallel);
void QuantizeRowsNeon(const QuantizeRowsArguments& arguments, const ParallelFor& parallel);

void RmsNormQuantizeReference(const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);
void RmsNormQuantizeAvx2(const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);
void RmsNormQuantizeAvx512(const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);
void RmsNormQuantizeNeon(const RmsNormQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);

void SiluMulQuantizeReference(const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);
void SiluMulQuantizeAvx2(const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);
void SiluMulQuantizeAvx512(const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);
void SiluMulQuantizeNeon(const SiluMulQuantizeArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
