#include "../common/numbers.h"
#include "../common/packed_batch.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kLargest = int64_t{1} << 31;  // so that products of ids and powers fit int64

int Tables(const NGramEmbeddingArguments& p) { return p.split_num * (p.neighbor_num - 1); }

Status Check(const NGramEmbeddingArguments& p) {
    using L = long long;
    if (p.tokens < 0 || p.sequences < 0 || p.hidden < 1 || p.table_width < 1 || p.vocabulary < 1 || p.vocabulary > kLargest) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "input_ids has %lld tokens, query_start %lld sequences, word %lld rows of %lld, table rows of %lld: expected "
                             "widths of 1 or more and 1..2^31 words",
                             L{p.tokens}, L{p.sequences}, L{p.vocabulary}, L{p.hidden}, L{p.table_width});
    }
    if (p.neighbor_num < 2 || p.split_num < 1 || p.hash_vocab_size < 1 || p.hash_vocab_size > kLargest) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "neighbor_num %d, split_num %d, hash_vocab_size %lld: expected at least 2, at least 1, 1..2^31",
                             p.neighbor_num, p.split_num, L{p.hash_vocab_size});
    }
    for (int i = 0; i < Tables(p); i++) {
        if (p.tables[i].modulus < 1 || p.tables[i].modulus > p.tables[i].row_count || p.tables[i].modulus > kLargest) {
            return Status::Error(StatusCode::kInvalidArgument, "table_rows[%d] is %lld, expected 1..%lld, the rows of that table", i,
                                 L{p.tables[i].modulus}, L{p.tables[i].row_count});
        }
        if (p.tables[i].projection.layout != p.tables[0].projection.layout) {
            return Status::Error(StatusCode::kInvalidArgument, "projections 0 and %d lie in different layouts, expected one for all", i);
        }
    }
    if (Status status = CheckQueryStart(p.query_start, p.sequences, p.tokens); !status.ok()) {
        return status;
    }
    for (int64_t t = 0; t < p.tokens; t++) {
        if (p.input_ids[t] < 0 || p.input_ids[t] >= p.vocabulary) {
            return Status::Error(StatusCode::kOutOfRange, "input_ids[%lld] is token %lld, expected 0..%lld (the rows of word)", L{t},
                                 L{p.input_ids[t]}, L{p.vocabulary - 1});
        }
    }
    int history = p.neighbor_num - 1;
    for (int64_t i = 0; i < p.sequences * history; i++) {
        if (p.ngram_context[i] < -1 || p.ngram_context[i] >= p.vocabulary) {
            return Status::Error(StatusCode::kOutOfRange, "ngram_context[%lld, %lld] is token %lld, expected -1..%lld", L{i / history},
                                 L{i % history}, L{p.ngram_context[i]}, L{p.vocabulary - 1});
        }
    }
    return {};
}

size_t IdBytes(const NGramEmbeddingArguments& p) { return (static_cast<size_t>(p.tokens) * Tables(p) * sizeof(int64_t) + 63) / 64 * 64; }

}  // namespace

size_t NGramEmbeddingWorkspace(const NGramEmbeddingArguments& p) {
    if (p.hidden < 1) {
        return 0;  // refused before the workspace is touched; without rows of projections their width takes no memory and can be anything
    }
    return IdBytes(p) + static_cast<size_t>(p.tokens) * Tables(p) * static_cast<size_t>(p.table_width) * sizeof(float);
}

void NGramIds(CpuPath path, const NGramEmbeddingArguments& p, int64_t* ids, [[maybe_unused]] const ParallelFor& parallel) {
    switch (path) {
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            NGramIdsAvx2(p, ids, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            NGramIdsAvx512(p, ids, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            NGramIdsNeon(p, ids, parallel);
            break;
#endif
        default:
            NGramIdsReference(p, ids);
            break;
    }
}

Status NGramEmbedding(CpuPath path, const NGramEmbeddingArguments& p, void* workspace, const ParallelFor& parallel) {
    if (Status status = Check(p); !status.ok()) {
        return status;
    }
    if (p.tokens == 0) {
        return {};
    }
    int64_t* ids = static_cast<int64_t*>(workspace);
    float* rows = reinterpret_cast<float*>(static_cast<char*>(workspace) + IdBytes(p));
    NGramIds(path, p, ids, parallel);
    switch (path) {
        case CpuPath::kReference:
            NGramProjectReference(p, ids, rows, parallel);
            break;
#if defined(LONGCAT_X86)
        case CpuPath::kAvx2:
        case CpuPath::kAvxVnni:
            NGramProjectAvx2(p, ids, rows, parallel);
            break;
        case CpuPath::kAvx512:
        case CpuPath::kAvx512Bf16:
            NGramProjectAvx512(p, ids, rows, parallel);
            break;
#elif defined(LONGCAT_ARM64)
        case CpuPath::kNeon:
            NGramProjectNeon(p, ids, rows, parallel);
            break;
#endif
        default:
            return Status::Error(StatusCode::kUnsupported, "path %s is not in this build", Name(path));
    }
    return {};
}

}  // namespace longcat
