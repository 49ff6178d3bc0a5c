#include "../simd/avx2.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LoraMatMulAvx2(const LoraMatMulArguments& arguments, const LoraTiles& tiles, const ParallelFor& parallel) {
    LoraMatMulVectorised(arguments, tiles, parallel);
}

}  // namespace longcat
