// Linear, batch 1 or a few: sixteen outputs at a time, inputs looked up in tables that fit registers.

#include "isa.h"

#if LANES > 4
#include <immintrin.h>
#endif

typedef uint32_t word __attribute__((vector_size(4 * LANES)));
typedef uint32_t word_any __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); // at any address

// struct table: thirty-two floats. look_up: entries of it by the low five bits of each lane of `index`.
// expand: the first floats of `p` in the lanes that `mask` names, zeros elsewhere; may read LANES floats.
#if LANES == 16
struct table { vec low, high; };
INLINE struct table read_table(const float *p) { return (struct table){load(p), load(p + 16)}; }
INLINE vec look_up(struct table t, word index) {
    return (vec)_mm512_permutex2var_ps((__m512)t.low, (__m512i)index, (__m512)t.high);
}
INLINE vec expand(const float *p, unsigned mask) { return (vec)_mm512_maskz_expandloadu_ps((__mmask16)mask, p); }
#elif LANES == 8
struct table { vec part[4]; };
INLINE struct table read_table(const float *p) {
    return (struct table){{load(p), load(p + 8), load(p + 16), load(p + 24)}};
}
INLINE vec look_up(struct table t, word index) {
    // Bits 0 to 2 choose within each part; a blend takes the sign bit, to which bits 3 and 4 are moved.
    __m256 bit3 = (__m256)(index << 28), bit4 = (__m256)(index << 27);
    __m256 p0 = _mm256_permutevar8x32_ps((__m256)t.part[0], (__m256i)index);
    __m256 p1 = _mm256_permutevar8x32_ps((__m256)t.part[1], (__m256i)index);
    __m256 p2 = _mm256_permutevar8x32_ps((__m256)t.part[2], (__m256i)index);
    __m256 p3 = _mm256_permutevar8x32_ps((__m256)t.part[3], (__m256i)index);
    return (vec)_mm256_blendv_ps(_mm256_blendv_ps(p0, p1, bit3), _mm256_blendv_ps(p2, p3, bit3), bit4);
}
#else
struct table { const float *entries; };
INLINE struct table read_table(const float *p) { return (struct table){p}; }
INLINE vec look_up(struct table t, word index) {
    index &= SLRK_TABLE - 1;
    return (vec){t.entries[index[0]], t.entries[index[1]], t.entries[index[2]], t.entries[index[3]]};
}
#endif
#if LANES < 16
INLINE vec expand(const float *p, unsigned mask) {
    float lanes[LANES];
    for (int l = 0; l < LANES; l++) {
        lanes[l] = mask >> l & 1 ? *p : 0;
        p += mask >> l & 1;
    }
    return load(lanes);
}
#endif

// The sum of a group's slots, for LANES of its sixteen lanes, the first of which is `lane`. Width and number of full slots
// are constants in the usual cases, so that the loops over the slots of a table unroll.
INLINE vec sum_slots(const struct slrk_header *h, int64_t group, const float *x, int lane, int width, int full) {
    const uint32_t *words = SLRK_AT(h, uint32_t, words) + (int64_t)SLRK_AT(h, int32_t, word_ptr)[group] * SLRK_LANES;
    const uint16_t *masks = SLRK_AT(h, uint16_t, masks) + SLRK_AT(h, int32_t, mask_ptr)[group];
    const float *slots = SLRK_AT(h, float, slots) + SLRK_AT(h, int32_t, slot_ptr)[group];
    vec from_full = splat(0), from_compressed = splat(0); // two sums, since an addition waits for the one before it
    for (int64_t tables = slrk_tables(h); tables > 0; tables--, x += SLRK_TABLE) {
        struct table t = read_table(x);
        word index = {0};
#define SLOT(k)                                                                                   \
    if (k < width) {                                                                              \
        if (k % SLRK_WORD_SLOTS == 0) index = *(const word_any *)(words + lane), words += SLRK_LANES; \
        if (k < full) {                                                                           \
            from_full += load(slots + lane) * look_up(t, index);                                  \
            slots += SLRK_LANES;                                                                  \
        } else {                                                                                  \
            unsigned mask = *masks++;                                                             \
            const float *own = slots + (lane ? __builtin_popcount(mask & ((1u << lane) - 1)) : 0); \
            from_compressed += expand(own, mask >> lane & ((1u << LANES) - 1)) * look_up(t, index); \
            slots += __builtin_popcount(mask);                                                    \
        }                                                                                         \
        index >>= 5;                                                                              \
    }
        SLOT(0) SLOT(1) SLOT(2) SLOT(3) SLOT(4) SLOT(5) SLOT(6) SLOT(7) SLOT(8) SLOT(9) SLOT(10) SLOT(11)
#undef SLOT
    }
    return from_full + from_compressed;
}

static vec sum_group(const struct slrk_header *h, int64_t group, const float *x, int lane) {
    int width = SLRK_AT(h, int32_t, width)[group], full = SLRK_AT(h, int32_t, full)[group];
#define CASE(w, f) if (width == w && full == f) return sum_slots(h, group, x, lane, w, f);
#define CASES(w) CASE(w, 0) CASE(w, 1) CASE(w, 2) CASE(w, 3) CASE(w, w)
    CASES(1) CASES(2) CASES(3) CASES(4) CASES(5) CASES(6)
#undef CASES
#undef CASE
    return sum_slots(h, group, x, lane, width, full);
}

void ISA(lookup)(const struct slrk_header *h, const float *x, float *y, int64_t group, int with_relu) {
    float sums[SLRK_LANES] __attribute__((aligned(64)));
    memcpy(sums, SLRK_AT(h, float, lane_bias) + group * SLRK_LANES, sizeof sums);

    const int32_t *extra_ptr = SLRK_AT(h, int32_t, extra_ptr);
    const uint16_t *input = SLRK_AT(h, uint16_t, extra_input), *lane = SLRK_AT(h, uint16_t, extra_lane);
    const float *value = SLRK_AT(h, float, extra_value);
    // Listed round-robin over the lanes, so that an addition need not wait for the one before it.
    for (int64_t k = extra_ptr[group]; k < extra_ptr[group + 1]; k++) sums[lane[k]] += value[k] * x[input[k]];

    for (int l = 0; l < SLRK_LANES; l += LANES) {
        vec slots = sum_group(h, group, x, l);
        vec sum = load(sums + l) + slots;
        store(sums + l, with_relu ? relu(sum) : sum);
    }
    const int32_t *row_of_lane = SLRK_AT(h, int32_t, row_of_lane) + group * SLRK_LANES;
    for (int l = 0; l < SLRK_LANES; l++)
        if (row_of_lane[l] >= 0) y[row_of_lane[l]] = sums[l];
}
