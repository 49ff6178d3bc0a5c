#include "longcat/cuda/ngram_embedding.h"

#include "../common/launch.h"
#include "kernels.cuh"

namespace longcat::cuda {
namespace {

constexpr int64_t kLargest = int64_t{1} << 31;       // so that products of ids and powers fit int64
constexpr int64_t kMostTokens = int64_t{1} << 20;    // blocks over tokens

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }
int64_t Ceil(int64_t value, int64_t by) { return (value + by - 1) / by; }
size_t Rounded(int64_t bytes) { return (static_cast<size_t>(bytes) + 255) / 256 * 256; }
int64_t Tables(const NGramEmbeddingArguments& a) { return int64_t{a.split_num} * (a.neighbor_num - 1); }

Status CheckSizes(const NGramEmbeddingArguments& a) {
    using L = long long;
    if (a.tokens < 0 || a.tokens > kMostTokens || a.sequences < 0 || a.sequences > INT32_MAX || a.hidden < 1 || a.hidden > INT32_MAX || a.table_width < 1 ||
        a.vocabulary < 1 || a.vocabulary > kLargest) {
        return Status::Error(StatusCode::kInvalidArgument,
                             "%lld tokens, %lld sequences, word of %lld rows of %lld, table rows of %lld: expected at most 2^20 tokens, widths of 1 or more and 1..2^31 "
                             "words",
                             L{a.tokens}, L{a.sequences}, L{a.vocabulary}, L{a.hidden}, L{a.table_width});
    }
    if (a.neighbor_num < 2 || a.split_num < 1 || a.hash_vocab_size < 1 || a.hash_vocab_size > kLargest) {
        return Status::Error(StatusCode::kInvalidArgument, "neighbor_num %d, split_num %d, hash_vocab_size %lld: expected at least 2, at least 1, 1..2^31",
                             a.neighbor_num, a.split_num, L{a.hash_vocab_size});
    }
    if (Tables(a) > kMostNGramTables) {
        return Status::Error(StatusCode::kUnsupported, "%lld tables (split_num %d x orders 2..%d), expected at most %d on a GPU", L{Tables(a)}, a.split_num,
                             a.neighbor_num, kMostNGramTables);
    }
    if (a.table_width % 8 != 0 || a.table_width > INT32_MAX / 2) {
        return Status::Error(StatusCode::kUnsupported, "table rows of %lld, expected a multiple of 8 on a GPU", L{a.table_width});
    }
    return {};
}

struct Plan {
    int64_t splits = 1;
    size_t rows = 0, scales = 0, partial = 0;  // bytes of scratch
};

Plan PlanOf(const Device& device, const NGramEmbeddingArguments& a) {
    Plan plan;
    int64_t blocks = Ceil(a.hidden, kProjectColumns) * Ceil(LargerOf(a.tokens, 1), kProjectTokens), wanted = 4 * LargerOf(device.multiprocessors, 1);
    plan.splits = LargerOf(1, SmallerOf(wanted / blocks, Tables(a)));
    plan.rows = Rounded(a.tokens * Tables(a) * a.table_width * 2), plan.scales = Rounded(a.tokens * Tables(a) * 4);
    plan.partial = plan.splits == 1 ? 0 : Rounded(plan.splits * a.tokens * a.hidden * 4);
    return plan;
}

}  // namespace

size_t NGramEmbeddingWorkspace(const Device& device, const NGramEmbeddingArguments& a) {
    if (!CheckSizes(a).ok()) {
        return 0;  // NGramEmbedding refuses them before it touches the workspace
    }
    Plan plan = PlanOf(device, a);
    return plan.rows + plan.scales + plan.partial;
}

Status NGramEmbedding(const Execution& execution, const NGramEmbeddingArguments& a, void* workspace, int32_t* fault) {
    using L = long long;
    if (Status status = CheckSizes(a); !status.ok()) {
        return status;
    }
    if (a.tables == nullptr) {
        return Status::Error(StatusCode::kInvalidArgument, "tables must not be null");
    }
    NGramParameters p;
    p.tables = static_cast<int>(Tables(a));
    for (int i = 0; i < p.tables; i++) {
        const NGramTable& table = a.tables[i];
        if (table.modulus < 1 || table.modulus > table.row_count || table.modulus > kLargest) {
            return Status::Error(StatusCode::kInvalidArgument, "table_rows[%d] is %lld, expected 1..%lld, the rows of that table", i, L{table.modulus}, L{table.row_count});
        }
        bool scaled = table.scaled_rows != nullptr;
        if (table.projection.type != WeightType::kBFloat16 || table.projection.layout != WeightLayout::kRows || (!scaled && table.rows.type != WeightType::kBFloat16)) {
            return Status::Error(StatusCode::kUnsupported, "table %d or its projection is not bfloat16, or the projection lies in panels: expected bfloat16 on a GPU (tables: or "
                                 "8-bit rows), projections in rows", i);
        }
        if (table.projection.data == nullptr || !Aligned(table.projection.data) || (!scaled && (table.rows.data == nullptr || !Aligned(table.rows.data)))) {
            return Status::Error(StatusCode::kInvalidArgument, "table %d lies at %p, its projection at %p: expected addresses that are multiples of 16", i,
                                 scaled ? static_cast<const void*>(table.scaled_rows) : table.rows.data, table.projection.data);
        }
        p.table[i] = {static_cast<const uint16_t*>(table.rows.data), table.scaled_rows, static_cast<const uint16_t*>(table.projection.data), table.modulus};
    }
    if (a.tokens == 0 || a.sequences == 0) {
        return {};
    }
    if (a.input_ids == nullptr || a.query_start == nullptr || a.ngram_context == nullptr || a.word.data == nullptr || a.embedding == nullptr) {
        return Status::Error(StatusCode::kInvalidArgument, "input_ids, query_start, ngram_context, word and embedding must not be null");
    }
    Plan plan = PlanOf(execution.device, a);
    uint8_t* scratch = static_cast<uint8_t*>(workspace);
    p.tokens = a.tokens, p.sequences = a.sequences, p.vocabulary = a.vocabulary, p.hash_vocab_size = a.hash_vocab_size, p.eos_token_id = a.eos_token_id;
    p.hidden = static_cast<int>(a.hidden), p.width = static_cast<int>(a.table_width), p.neighbors = a.neighbor_num, p.per_order = a.split_num;
    p.splits = static_cast<int>(plan.splits), p.word_is_float = a.word.type == WeightType::kFloat32, p.input_ids = a.input_ids, p.query_start = a.query_start;
    p.context = a.ngram_context, p.word = a.word.data, p.embedding = a.embedding, p.fault = fault;
    p.rows = reinterpret_cast<uint16_t*>(scratch), p.scales = reinterpret_cast<float*>(scratch + plan.rows);
    p.partial = reinterpret_cast<float*>(scratch + plan.rows + plan.scales);

    LaunchShape gather, project, finish;
    gather.x = Ceil(a.tokens * p.tables, kGatherWarps), gather.threads = kGatherThreads;
    project.x = Ceil(a.hidden, kProjectColumns), project.y = Ceil(a.tokens, kProjectTokens), project.z = plan.splits;
    project.threads = kProjectThreads, project.shared = kProjectShared;
    finish.x = Ceil(a.hidden, kNGramFinishThreads), finish.y = a.tokens, finish.threads = kNGramFinishThreads;
    Status status = Start("NGramEmbedding (gather)", NGramGather, gather, p, execution);
    status = status.ok() ? Start("NGramEmbedding (project)", NGramProject, project, p, execution) : status;
    return status.ok() && plan.splits > 1 ? Start("NGramEmbedding (finish)", NGramFinish, finish, p, execution) : status;
}

}  // namespace longcat::cuda
