#pragma once

#include "longcat/matmul.h"

namespace longcat {

void MatMulReference(const MatMulArguments& arguments, const ParallelFor& parallel);
void MatMulAvx2(const MatMulArguments& arguments, const ParallelFor& parallel);
void MatMulAvx512(const MatMulArguments& arguments, const ParallelFor& parallel);
void MatMulNeon(const MatMulArguments& arguments, const ParallelFor& parallel);

}  // namespace longcat
