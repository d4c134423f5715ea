// Transposition and copies, the table of one instruction set, and the probes that measure what the machine can do at best.

#include "isa.h"

void ISA(tile)(const struct slrk_segments *, int64_t, const float *, int64_t, int64_t, float *);
void ISA(lookup)(const struct slrk_header *, const float *, float *, int64_t, int);

#if LANES == 16
// Sixteen rows of sixteen; four rounds, each interleaving the first half of the rows with the second.
INLINE void transpose_block(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
    vec a[16], b[16];
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define READ(i) a[i] = load(from + i * from_stride);
#define ROUND_1(i) \
    b[2 * i] = SHUFFLE(ivec, a[i], a[i + 8], LOW); \
    b[2 * i + 1] = SHUFFLE(ivec, a[i], a[i + 8], HIGH);
#define ROUND_2(i) \
    a[2 * i] = SHUFFLE(ivec, b[i], b[i + 8], LOW); \
    a[2 * i + 1] = SHUFFLE(ivec, b[i], b[i + 8], HIGH);
#define WRITE(i) store(to + i * to_stride, a[i]);
#define EIGHT(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
    EIGHT(READ) READ(8) READ(9) READ(10) READ(11) READ(12) READ(13) READ(14) READ(15)
    EIGHT(ROUND_1) EIGHT(ROUND_2) EIGHT(ROUND_1) EIGHT(ROUND_2)
    EIGHT(WRITE) WRITE(8) WRITE(9) WRITE(10) WRITE(11) WRITE(12) WRITE(13) WRITE(14) WRITE(15)
#undef READ
#undef WRITE
}
#else
INLINE void transpose_four(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
    vec4 a = *(const vec4_any *)from, b = *(const vec4_any *)(from + from_stride);
    vec4 c = *(const vec4_any *)(from + 2 * from_stride), d = *(const vec4_any *)(from + 3 * from_stride);
    vec4 ac_low = SHUFFLE(ivec4, a, c, 0, 4, 1, 5), ac_high = SHUFFLE(ivec4, a, c, 2, 6, 3, 7);
    vec4 bd_low = SHUFFLE(ivec4, b, d, 0, 4, 1, 5), bd_high = SHUFFLE(ivec4, b, d, 2, 6, 3, 7);
    *(vec4_any *)to = SHUFFLE(ivec4, ac_low, bd_low, 0, 4, 1, 5);
    *(vec4_any *)(to + to_stride) = SHUFFLE(ivec4, ac_low, bd_low, 2, 6, 3, 7);
    *(vec4_any *)(to + 2 * to_stride) = SHUFFLE(ivec4, ac_high, bd_high, 0, 4, 1, 5);
    *(vec4_any *)(to + 3 * to_stride) = SHUFFLE(ivec4, ac_high, bd_high, 2, 6, 3, 7);
}

// Sixteen rows of sixteen; whole cache lines are written before the next are begun.
INLINE void transpose_block(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
    for (int c = 0; c < 16; c += 4)
        for (int r = 0; r < 16; r += 4)
            transpose_four(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
}
#endif

// to[c][r] = from[r][c]
static void transpose(const float *from, int64_t from_stride, float *to, int64_t to_stride, int64_t rows, int64_t cols) {
    int64_t whole_rows = rows / 16 * 16, whole_cols = cols / 16 * 16;
    for (int64_t r = 0; r < whole_rows; r += 16)
        for (int64_t c = 0; c < whole_cols; c += 16)
            transpose_block(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = r < whole_rows ? whole_cols : 0; c < cols; c++) to[c * to_stride + r] = from[r * from_stride + c];
}

INLINE void copy_floats(const float *from, float *to, int64_t count) {
    // The last vector may overlap the one before it.
    if (count >= LANES) {
        for (int64_t i = 0; i < count - LANES; i += LANES) store(to + i, load(from + i));
        store(to + count - LANES, load(from + count - LANES));
    } else if (LANES == 16 && count >= 8) {
        vec8_any first = *(const vec8_any *)from, last = *(const vec8_any *)(from + count - 8);
        *(vec8_any *)to = first, *(vec8_any *)(to + count - 8) = last;
    } else if (count >= 4) {
        vec4_any first = *(const vec4_any *)from, last = *(const vec4_any *)(from + count - 4);
        *(vec4_any *)to = first, *(vec4_any *)(to + count - 4) = last;
    } else {
        for (int64_t i = 0; i < count; i++) to[i] = from[i];
    }
}

// `count` floats, every second one from `from` on. The second vector of a pair begins one float early, so that nothing
// behind the last float is read.
INLINE void copy_even(const float *from, float *to, int64_t count) {
    int64_t i = 0;
#if LANES == 16
#define EVEN_16 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31
    for (; i + 16 <= count; i += 16) store(to + i, SHUFFLE(ivec, load(from + 2 * i), load(from + 2 * i + 15), EVEN_16));
#endif
    for (; i + 4 <= count; i += 4) {
        const float *f = from + 2 * i;
        *(vec4_any *)(to + i) = SHUFFLE(ivec4, *(const vec4_any *)f, *(const vec4_any *)(f + 3), 0, 2, 5, 7);
    }
    for (; i < count; i++) to[i] = from[2 * i];
}

// The same copies in each of several planes.
static void copy_planes(const struct slrk_copy *copies, int64_t count, int64_t step, const float *from,
                        int64_t from_stride, float *to, int64_t to_stride, int64_t planes) {
    for (; planes > 0; planes--, from += from_stride, to += to_stride) {
        for (const struct slrk_copy *c = copies; c < copies + count; c++) {
            if (step == 1) copy_floats(from + c->from, to + c->to, c->count);
            else if (step == 2) copy_even(from + c->from, to + c->to, c->count);
            else for (int64_t k = 0; k < c->count; k++) to[c->to + k] = from[c->from + step * k];
        }
    }
}

// 12 multiply-adds of one vector per round, none waiting for another.
static float fma_probe(int64_t rounds) {
    vec x = splat(0.999f), y = splat(1e-3f);
#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define DECLARE(i) vec a##i = splat(i);
    EACH(DECLARE)
    for (int64_t k = 0; k < rounds; k++) {
#define STEP(i) a##i = a##i * x + y;
        EACH(STEP)
    }
    float sum = 0;
#define ADD(i) sum += a##i[0];
    EACH(ADD)
    return sum;
#undef EACH
}

static float read_probe(const float *from, int64_t count) {
    vec a = splat(0), b = a, c = a, d = a;
    for (int64_t i = 0; i + 4 * LANES <= count; i += 4 * LANES) {
        a += load(from + i), b += load(from + i + LANES);
        c += load(from + i + 2 * LANES), d += load(from + i + 3 * LANES);
    }
    a += b + c + d;
    return a[0];
}

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const struct slrk_isa ISA(table) = {
    .name = STRING(SLRK_ISA),
    .lanes = LANES,
    .single_batch = LANES == 16 ? 7 : LANES == 8 ? 2 : 1, // measured at 90% zeros
    .expands = LANES == 16,
    .tile = ISA(tile),
    .lookup = ISA(lookup),
    .transpose = transpose,
    .copy_planes = copy_planes,
    .fma_probe = fma_probe,
    .read_probe = read_probe,
};
