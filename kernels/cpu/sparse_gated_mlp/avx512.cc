#include "../simd/avx512.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void SparseChannelsAvx512(const SparseGatedMlpArguments& arguments, const LiveChannels& live, const ParallelFor& parallel) {
    SparseChannelsVectorised(arguments, live, parallel);
}

}  // namespace longcat
