// How a kernel reports bad input: a code and a sentence that names the input, its value and what was expected.
// No kernel throws, allocates a message or ends the process.
#pragma once

// The compiler checks a printf-style call. On Windows "printf" would mean Microsoft's, without %zu; the library calls mingw-w64's own.
#if defined(__MINGW32__)
#define LONGCAT_PRINTF_FORMAT(text, first) gnu::format(gnu_printf, text, first)
#else
#define LONGCAT_PRINTF_FORMAT(text, first) gnu::format(printf, text, first)
#endif

namespace longcat {

enum class StatusCode {
    kOk = 0,
    kInvalidArgument,  // a shape or an attribute does not fit the others
    kOutOfRange,       // a value (token id, page, position, row) lies outside what the other inputs allow
    kUnsupported,      // this processor or this build lacks what was asked for
    kDeviceFailure,    // a GPU's runtime reported an error
};

struct Status {
    StatusCode code = StatusCode::kOk;
    char message[320] = {};

    bool ok() const { return code == StatusCode::kOk; }

    // printf-style; a longer message is cut.
    [[LONGCAT_PRINTF_FORMAT(2, 3)]] static Status Error(StatusCode code, const char* format, ...);
};

}  // namespace longcat
