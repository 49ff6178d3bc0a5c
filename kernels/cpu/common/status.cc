#include "longcat/status.h"

#include <cstdarg>
#include <cstdio>

namespace longcat {

Status Status::Error(StatusCode code, const char* format, ...) {
    Status status;
    status.code = code;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(status.message, sizeof(status.message), format, arguments);
    va_end(arguments);
    return status;
}

}  // namespace longcat
