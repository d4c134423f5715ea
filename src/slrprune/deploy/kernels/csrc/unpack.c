// Reading the sparse file (docs/file_format.md): in one pass what numpy does in several. Nothing here trusts its input:
// wherever it points, nothing outside of the arrays given is read or written.

#include <string.h>

#include "slrk.h"

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { CAN_UNPACK = 1 };
#else
enum { CAN_UNPACK = 0 };  // numbers in the file are little-endian
#endif

enum { AHEAD = 1 << 16 };  // bytes zeroed at a time: the cache still holds them when values are written

struct positions {
    const uint8_t *bits;  // the first in the most significant place
    int64_t bytes;
    const uint8_t *low;   // `count` numbers of `low_width` bytes, or NULL for a mask
    int low_bits;
};

struct target {
    uint8_t *words;
    int64_t size, zeroed;  // in words
};

// Value i, rotated back by one bit; its columns are the lower half, half of the rest, and so on.
INLINE uint64_t word_at(const uint8_t *const column[4], int width, int64_t i) {
    uint16_t half;
    uint32_t quarter;
    switch (width) {
    case 1: {
        uint8_t word = column[0][i];
        return (uint8_t)(word >> 1 | word << 7);
    }
    case 2: {
        uint16_t word = (uint16_t)(column[0][i] | column[1][i] << 8);
        return (uint16_t)(word >> 1 | word << 15);
    }
    case 4: {
        memcpy(&half, column[0] + 2 * i, 2);
        uint32_t word = half | (uint32_t)column[1][i] << 16 | (uint32_t)column[2][i] << 24;
        return word >> 1 | word << 31;
    }
    default: {
        memcpy(&quarter, column[0] + 4 * i, 4);
        memcpy(&half, column[1] + 2 * i, 2);
        uint64_t word = quarter | (uint64_t)half << 32 | (uint64_t)column[2][i] << 48 | (uint64_t)column[3][i] << 56;
        return word >> 1 | word << 63;
    }
    }
}

INLINE uint64_t low_at(const uint8_t *low, int low_width, int64_t i) {
    uint16_t half;
    uint32_t word;
    switch (low_width) {
    case 1: return low[i];
    case 2: memcpy(&half, low + 2 * i, 2); return half;
    default: memcpy(&word, low + 4 * i, 4); return word;
    }
}

INLINE void zero_past(struct target *out, int64_t place, int width) {
    if (place < out->zeroed) return;
    int64_t end = place + AHEAD / width < out->size ? place + AHEAD / width : out->size;
    memset(out->words + out->zeroed * width, 0, (size_t)((end - out->zeroed) * width));
    out->zeroed = end;
}

// The order of the bits in every byte turned round: with the bytes in the order of a little-endian load, the first bit
// of the vector is then the lowest one.
INLINE uint64_t turned(uint64_t bits) {
    bits = (bits >> 1 & 0x5555555555555555u) | (bits & 0x5555555555555555u) << 1;
    bits = (bits >> 2 & 0x3333333333333333u) | (bits & 0x3333333333333333u) << 2;
    return (bits >> 4 & 0x0f0f0f0f0f0f0f0fu) | (bits & 0x0f0f0f0f0f0f0f0fu) << 4;
}

// Of the 64 bits from byte `at` on, the first is the lowest; zeros behind the end.
INLINE uint64_t bits_at(const struct positions *where, int64_t at) {
    uint64_t bits = 0;
    if (at + 8 <= where->bytes)
        memcpy(&bits, where->bits + at, 8);
    else
        memcpy(&bits, where->bits + at, (size_t)(where->bytes - at));
    return turned(bits);
}

INLINE int unpack(struct target *out, int width, const struct positions *where, int low_width,
                  const uint8_t *const column[4], int64_t count) {
    int64_t done = 0;
    for (int64_t at = 0; at < where->bytes; at += 8) {
        uint64_t bits = bits_at(where, at);
        for (; bits; bits &= bits - 1, done++) {
            uint64_t place = (uint64_t)(8 * at + __builtin_ctzll(bits));
            if (low_width) {
                place = (place - (uint64_t)done) << where->low_bits;
                if (done < count) place += low_at(where->low, low_width, done);
            }
            if (done >= count || place >= (uint64_t)out->size) return 0;
            zero_past(out, (int64_t)place, width);
            uint64_t word = word_at(column, width, done);
            memcpy(out->words + (int64_t)place * width, &word, (size_t)width);
        }
    }
    if (out->size) zero_past(out, out->size - 1, width);
    return done == count;
}

INLINE int unpack_width(struct target *out, int width, const struct positions *where, int low_width,
                        const uint8_t *const column[4], int64_t count) {
    switch (low_width) {
    case 0: return unpack(out, width, where, 0, column, count);
    case 1: return unpack(out, width, where, 1, column, count);
    case 2: return unpack(out, width, where, 2, column, count);
    default: return unpack(out, width, where, 4, column, count);
    }
}

// Writes a coded tensor: `size` words of `width` bytes, of which `count` are stored. Returns 0 where the parts
// contradict each other (the words then hold anything), or on a machine that is not little-endian.
EXPORT int slrk_unpack(void *words, int64_t size, int width, const uint8_t *bits, int64_t bytes, const uint8_t *low,
                       int low_width, int low_bits, const uint8_t *const *column, int64_t count) {
    if (!CAN_UNPACK || low_bits < 0 || low_bits > 32 || size > (int64_t)1 << 48) return 0;
    struct target out = {words, size, 0};
    struct positions where = {bits, bytes, low, low_bits};
    const uint8_t *const columns[4] = {column[0], column[1], column[2], column[3]};
    switch (width) {
    case 1: return unpack_width(&out, 1, &where, low_width, columns, count);
    case 2: return unpack_width(&out, 2, &where, low_width, columns, count);
    case 4: return unpack_width(&out, 4, &where, low_width, columns, count);
    case 8: return unpack_width(&out, 8, &where, low_width, columns, count);
    default: return 0;
    }
}

// Bits that are set.
EXPORT int64_t slrk_count_ones(const uint8_t *bytes, int64_t count) {
    int64_t ones = 0, at = 0;
    for (uint64_t word; at + 8 <= count; at += 8) {
        memcpy(&word, bytes + at, 8);
        ones += __builtin_popcountll(word);
    }
    for (; at < count; at++) ones += __builtin_popcount(bytes[at]);
    return ones;
}

// `count` numbers below 256 from `bits` packed vectors of (count + 7) / 8 bytes, the lowest bit of all numbers first.
EXPORT void slrk_join_bits(uint8_t *out, int64_t count, const uint8_t *vectors, int bits) {
    int64_t length = (count + 7) / 8;
    for (int64_t at = 0; at < length; at++) {
        uint64_t numbers = 0;
        for (int bit = 0; bit < bits; bit++) {
            // Byte j of the product is the byte; of it, byte j of the mask leaves the bit of number j.
            uint64_t eight = (vectors[bit * length + at] * 0x0101010101010101u) & 0x0102040810204080u;
            numbers |= ((eight + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u) << bit;
        }
        if (8 * at + 8 <= count)
            memcpy(out + 8 * at, &numbers, 8);
        else
            memcpy(out + 8 * at, &numbers, (size_t)(count - 8 * at));
    }
}
