// The exception of this library: it never leaves it. The functions that ONNX Runtime calls turn it into an OrtStatus.
#pragma once

#include <stdexcept>
#include <string>

#include "longcat/status.h"

namespace longcat::ops {

class Failure : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// printf-style.
[[noreturn, LONGCAT_PRINTF_FORMAT(1, 2)]] void Fail(const char* format, ...);

}  // namespace longcat::ops
