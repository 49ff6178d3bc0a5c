// The instruction set of the integer kernels within CpuPath::kAvx512: processors with AVX-512 but without VNNI take the path of AVX2.
#pragma once

namespace longcat {

bool HasAvx512Vnni();

}  // namespace longcat
