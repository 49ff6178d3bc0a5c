#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void LoraMatMulNeon(const LoraMatMulArguments& arguments, const LoraTiles& tiles, const ParallelFor& parallel) {
    LoraMatMulVectorised(arguments, tiles, parallel);
}

}  // namespace longcat
