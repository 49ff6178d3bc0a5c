#include "paths.h"

namespace longcat {

Status MatMul(CpuPath path, const MatMulArguments& p, const ParallelFor& parallel) {
    if (p.m < 0 || p.n < 0 || p.k < 0) {
        return Status::Error(StatusCode::kInvalidArgument, "sizes m %lld, n %lld, k %lld must not be negative", static_cast<long long>(p.m),
                             static_cast<long long>(p.n), static_cast<long long>(p.k));
    }
    if (p.m == 0 || p.n == 0) {
        return {};
    }
    if (p.y == nullptr || (p.k > 0 && (p.a == nullptr || p.b.data == nullptr))) {
        return Status::Error(StatusCode::kInvalidArgument, "a, b and y must not be null");
    }
    switch (path) {
        case CpuPath::kReference:
            MatMulReference(p, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            MatMulAvx2(p, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            MatMulAvx512(p, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            MatMulNeon(p, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
