#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LoraMatMulAvx512(const LoraMatMulArguments& arguments, const LoraTiles& tiles, const ParallelFor& parallel) {
    LoraMatMulVectorised(arguments, tiles, parallel);
}

}  // namespace longcat
