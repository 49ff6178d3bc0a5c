// The attributes pattern, block_size, sink_blocks and local_blocks, which both attentions have.
#pragma once

#include "../ort/kernel.h"
#include "longcat/streaming.h"

namespace longcat::ops {

// `full`, or `streaming` with the three integers; a Failure names what is missing, wrong or has no meaning.
StreamingPattern ReadPattern(const Attributes& attributes);

}  // namespace longcat::ops
