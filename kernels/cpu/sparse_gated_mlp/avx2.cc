#include "../simd/avx2.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void SparseChannelsAvx2(const SparseGatedMlpArguments& arguments, const LiveChannels& live, const ParallelFor& parallel) {
    SparseChannelsVectorised(arguments, live, parallel);
}

}  // namespace longcat
