#pragma once

#include "../common/numbers.h"
#include "longcat/w4a8_matmul.h"

namespace longcat {

// Where the parts of the workspace lie.
struct W4A8Plan {
    int64_t groups = 0, depth = 0;  // depth: k of the packed form, every group a multiple of 8
    size_t scales = 0, rows = 0, bytes = 0;
};

W4A8Plan PlanW4A8(const W4A8MatMulArguments& arguments);

void W4A8MatMulReference(const W4A8MatMulArguments& arguments, const ParallelFor& parallel);
void W4A8MatMulAvx2(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);
void W4A8MatMulAvxVnni(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);
void W4A8MatMulVnni(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);
void W4A8MatMulNeonDot(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
