// The two zlib functions that Verilator's FST writer calls, so that waves need no zlib1g-dev.
// The output is a valid zlib stream of stored blocks (RFC 1950, RFC 1951 §3.2.4).
#ifndef HARDWIRE_FST_ZLIB_H
#define HARDWIRE_FST_ZLIB_H

#include <cstring>

typedef unsigned char Bytef;
typedef unsigned long uLong;
typedef unsigned long uLongf;
#define Z_OK 0
#define Z_BUF_ERROR (-5)

static inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

static inline int compress2(Bytef* to, uLongf* to_size, const Bytef* from, uLong size, int) {
    if (*to_size < compressBound(size)) return Z_BUF_ERROR;
    Bytef* at = to;
    *at++ = 0x78;
    *at++ = 0x01;
    uLong low = 1, high = 0;  // Adler-32
    uLong left = size;
    do {
        const uLong block = left < 65535 ? left : 65535;
        left -= block;
        *at++ = left == 0;
        *at++ = block & 0xff;
        *at++ = block >> 8;
        *at++ = ~block & 0xff;
        *at++ = (~block >> 8) & 0xff;
        std::memcpy(at, from, block);
        for (uLong i = 0; i < block; ++i) {
            low = (low + from[i]) % 65521;
            high = (high + low) % 65521;
        }
        at += block;
        from += block;
    } while (left);
    *at++ = high >> 8;
    *at++ = high & 0xff;
    *at++ = low >> 8;
    *at++ = low & 0xff;
    *to_size = at - to;
    return Z_OK;
}

#endif
