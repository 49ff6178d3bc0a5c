#pragma once

#include "../common/int8_row.h"
#include "../common/numbers.h"
#include "../common/sparse_blocks.h"
#include "../common/streaming.h"
#include "longcat/paged_attention.h"

namespace longcat {

void PagedAttentionReference(const PagedAttentionArguments& arguments, const ParallelFor& parallel);
void PagedAttentionAvx2(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);
void PagedAttentionAvx512(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);
void PagedAttentionAvx512Bf16(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);  // bfloat16 caches
void PagedAttentionNeon(const PagedAttentionArguments& arguments, void* workspace, const ParallelFor& parallel);

size_t PagedAttentionScratch(const PagedAttentionArguments& arguments);  // of the vectorised paths

// Shared by all paths, so that they fill the cache alike.

// cosine[i], sine[i] for i < rotary_dim / 2, rope_multiplier included.
void HeadRotation(const PagedAttentionArguments& arguments, int64_t position, float* cosine, float* sine);
// One head of a query or key: norm (null: none), rotation.
void PrepareHead(const PagedAttentionArguments& arguments, const float* source, const float* norm, const float* cosine, const float* sine,
                 float* to);
// Keys and values of token t of sequence s into its page.
void StoreToken(const PagedAttentionArguments& arguments, int64_t sequence, int64_t token, const float* cosine, const float* sine);
// The mean of the keys of a sequence's page, all of whose slots are written, by kv head.
void StoreMean(const PagedAttentionArguments& arguments, int64_t sequence, int64_t column);

namespace {

// The largest head_dim: heads are prepared on the stack.
constexpr int kMostHeadDim = 1024;
// The largest number of heads.
constexpr int kMostHeads = 32'768;
// Keys of one panel.
constexpr int64_t kPanel = 16;

// Where the elements of a token lie: element i of its key at key + i · stride, of its value at value + i. int8: the bytes where the scales of
// both begin.
struct Slot {
    int64_t key, stride, value, key_scale, value_scale;
};

// The slots of one kv head from a position on; it divides only where it begins.
class Walk {
  public:
    Walk(const PagedAttentionArguments& p, int64_t sequence, int64_t position, int64_t kv_head)
        : page_(p.block_table + sequence * p.block_table_width + position / p.page_size),
          slot_(position % p.page_size),
          page_size_(p.page_size),
          head_dim_(p.head_dim),
          head_stride_(p.page_size * (2 * p.head_dim + (p.cache_type == CacheType::kInt8 ? 8 : 0))),
          page_stride_(p.num_kv_heads * head_stride_),
          offset_(kv_head * head_stride_),
          head_(*page_ * page_stride_ + offset_) {}

    // This position's; then the next is this position. A page is looked up when its first slot is asked for.
    Slot Next() {
        if (slot_ == page_size_) {
            slot_ = 0;
            head_ = *++page_ * page_stride_ + offset_;
        }
        int64_t slot = slot_++, panel = slot / kPanel * kPanel;
        int64_t scales = head_ + 2 * page_size_ * head_dim_ + slot * 4;
        return {head_ + panel * head_dim_ + slot - panel, Smaller(kPanel, page_size_ - panel), head_ + (page_size_ + slot) * head_dim_,
                scales, scales + page_size_ * 4};
    }
    // The first slot of a panel that this position begins, in pages of whole panels; then the next panel's.
    Slot NextPanel() {
        Slot slot = Next();
        slot_ += kPanel - 1;
        return slot;
    }

  private:
    const int32_t* page_;
    int64_t slot_, page_size_, head_dim_, head_stride_, page_stride_, offset_, head_;
};

inline Slot SlotOf(const PagedAttentionArguments& p, int64_t sequence, int64_t position, int64_t kv_head) {
    return Walk(p, sequence, position, kv_head).Next();
}

// Where the keys begin that a query at this position sees, the sinks of a streaming pattern left out.
inline int64_t FirstVisible(const PagedAttentionArguments& p, int64_t position) {
    return p.window > 0 ? Larger(0, position - p.window + 1) : LocalBegin(p.streaming, position);
}

}  // namespace
}  // namespace longcat
