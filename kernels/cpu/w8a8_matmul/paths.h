#pragma once

#include "../common/numbers.h"
#include "longcat/w8a8_matmul.h"

namespace longcat {

// Where the parts of the workspace lie.
struct W8A8Plan {
    int64_t depth = 0, digits = 1;  // depth: k filled up to whole steps
    size_t scales = 0, rows = 0, bytes = 0;
};

W8A8Plan PlanW8A8(const W8A8MatMulArguments& arguments);

void W8A8MatMulReference(const W8A8MatMulArguments& arguments, const ParallelFor& parallel);
void W8A8MatMulAvx2(const W8A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);
void W8A8MatMulAvxVnni(const W8A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);
void W8A8MatMulVnni(const W8A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);
void W8A8MatMulNeonDot(const W8A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel);

}  // namespace longcat
