// How a kernel reports bad input: a code and a sentence that names the input, its value and what was expected.
// No kernel throws, allocates a message or ends the process.
#pragma once

namespace longcat {

enum class StatusCode {
    kOk = 0,
    kInvalidArgument,  // a shape or an attribute does not fit the others
    kOutOfRange,       // a value (token id, page, position, row) lies outside what the other inputs allow
    kUnsupported,      // this processor or this build lacks what was asked for
};

struct Status {
    StatusCode code = StatusCode::kOk;
    char message[320] = {};

    bool ok() const { return code == StatusCode::kOk; }

    // printf-style; a longer message is cut.
    [[gnu::format(printf, 2, 3)]] static Status Error(StatusCode code, const char* format, ...);
};

}  // namespace longcat
