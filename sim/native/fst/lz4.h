// The two LZ4 functions that Verilator's FST writer calls, so that waves need no liblz4-dev.
// The output is a valid LZ4 block of literals: readable by every FST reader, not made smaller.
#ifndef HARDWIRE_FST_LZ4_H
#define HARDWIRE_FST_LZ4_H

#include <cstring>

static inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

static inline int LZ4_compress_default(const char* from, char* to, int size, int capacity) {
    if (capacity < LZ4_compressBound(size)) return 0;
    char* at = to;
    *at++ = static_cast<char>((size < 15 ? size : 15) << 4);
    if (size >= 15) {
        int rest = size - 15;
        for (; rest >= 255; rest -= 255) *at++ = static_cast<char>(255);
        *at++ = static_cast<char>(rest);
    }
    std::memcpy(at, from, size);
    return static_cast<int>(at - to) + size;
}

#endif
