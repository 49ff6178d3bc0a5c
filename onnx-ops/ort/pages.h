// What an operator knows of how weights in a mapped file are read, told to the system.
#pragma once

#include <cstddef>

namespace longcat::ops {

// Only scattered rows of this memory are read. Without being told, the system reads megabytes around the first touch of each page from the disk,
// and a table of which decoding needs kilobytes lies in memory whole. Small memory, other systems and failures are ignored: it is advice.
void ReadScattered(const void* data, size_t bytes);

}  // namespace longcat::ops
