#pragma once

#include "longcat/lora_matmul.h"
#include "plan.h"

namespace longcat {

void LoraMatMulReference(const LoraMatMulArguments& arguments, const ParallelFor& parallel);
void LoraMatMulAvx2(const LoraMatMulArguments& arguments, const LoraTiles& tiles, const ParallelFor& parallel);
void LoraMatMulAvx512(const LoraMatMulArguments& arguments, const LoraTiles& tiles, const ParallelFor& parallel);
void LoraMatMulNeon(const LoraMatMulArguments& arguments, const LoraTiles& tiles, const ParallelFor& parallel);

}  // namespace longcat
