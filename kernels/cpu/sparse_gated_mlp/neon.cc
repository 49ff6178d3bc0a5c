#include "../simd/neon.h"

#include "paths.h"
#include "vectorised.h"

namespace longcat {

void SparseChannelsNeon(const SparseGatedMlpArguments& arguments, const LiveChannels& live, const ParallelFor& parallel) {
    SparseChannelsVectorised(arguments, live, parallel);
}

}  // namespace longcat
