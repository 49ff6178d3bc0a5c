#include "packed_batch.h"

namespace longcat {

Status CheckQueryStart(const int32_t* query_start, int64_t sequences, int64_t tokens) {
    if (query_start[0] != 0) {
        return Status::Error(StatusCode::kInvalidArgument, "query_start[0] is %d, expected 0", query_start[0]);
    }
    for (int64_t s = 0; s < sequences; s++) {
        if (query_start[s + 1] < query_start[s]) {
            return Status::Error(StatusCode::kInvalidArgument, "query_start[%lld] is %d, below query_start[%lld] = %d; it must never fall",
                                 static_cast<long long>(s + 1), query_start[s + 1], static_cast<long long>(s), query_start[s]);
        }
    }
    if (query_start[sequences] != tokens) {
        return Status::Error(StatusCode::kInvalidArgument, "query_start[%lld] is %d, expected the number of tokens, %lld",
                             static_cast<long long>(sequences), query_start[sequences], static_cast<long long>(tokens));
    }
    return {};
}

}  // namespace longcat
