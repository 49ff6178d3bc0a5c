#include "attention_pattern.h"

namespace longcat::ops {

StreamingPattern ReadPattern(const Attributes& attributes) {
    std::string pattern = attributes.String("pattern");
    if (pattern == "full") {
        for (const char* name : {"block_size", "sink_blocks", "local_blocks"}) {
            if (int64_t value = attributes.Integer(name, 0); value != 0) {
                Fail("attribute %s is %lld with pattern 'full', expected none: it belongs to pattern 'streaming'", name,
                     static_cast<long long>(value));
            }
        }
        return {};
    }
    if (pattern != "streaming") {
        Fail("attribute pattern is '%s', expected 'full' or 'streaming'", pattern.c_str());
    }
    StreamingPattern result;
    result.block_size = attributes.Positive("block_size");
    result.local_blocks = attributes.Positive("local_blocks");
    int64_t sinks = attributes.Integer("sink_blocks");
    if (sinks < 0 || sinks > INT32_MAX) {
        Fail("attribute sink_blocks is %lld, expected 0..%d", static_cast<long long>(sinks), INT32_MAX);
    }
    result.sink_blocks = static_cast<int>(sinks);
    return result;
}

}  // namespace longcat::ops
