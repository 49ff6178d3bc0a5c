// The packed layout of a step: T tokens of S sequences one after another.
#pragma once

#include <cstdint>

#include "longcat/status.h"

namespace longcat {

// query_start must be 0 = q[0] <= q[1] <= … <= q[sequences] = tokens.
Status CheckQueryStart(const int32_t* query_start, int64_t sequences, int64_t tokens);

}  // namespace longcat
