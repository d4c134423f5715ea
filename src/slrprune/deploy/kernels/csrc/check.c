// Whether a packed weight can be used without reading or writing outside its arrays.

#include <stdlib.h>
#include <string.h>

#include "slrk.h"

#define LARGEST_DIMENSION (1LL << 30)

static int array_fits(const struct slrk_header *h, int64_t offset, int64_t count, int64_t size) {
    return offset >= (int64_t)sizeof *h && offset % SLRK_ALIGN == 0 && count >= 0 &&
           count <= h->bytes / size && offset <= h->bytes - count * size;
}

static int grows_to(const int32_t *ptr, int64_t count, int64_t last) {
    if (ptr[0] != 0 || ptr[count] != last) return 0;
    for (int64_t i = 0; i < count; i++)
        if (ptr[i] > ptr[i + 1]) return 0;
    return 1;
}

static int dimensions_fit(const struct slrk_header *h) {
    const int64_t sizes[] = {h->rows, h->channels, h->kernel_h, h->kernel_w, h->block, h->chunk};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1 || sizes[i] > LARGEST_DIMENSION) return 0;
    if (h->kernel_h > 65536 || h->kernel_w > 65536 || h->block > 65536) return 0;
    return (h->rows_per_group == 1 || h->rows_per_group == 4) && h->chunk <= 65536 && h->entries >= 0 &&
           h->entries <= INT32_MAX && h->kernel_h * h->kernel_w <= 65536 / h->block &&
           slrk_groups(h) <= INT32_MAX / slrk_blocks(h);
}

// Every row group must appear once per chunk and block: the sums of one that does not are never started.
static int segments_fit(const struct slrk_header *h, uint8_t *seen) {
    const int32_t *ptr = SLRK_AT(h, int32_t, seg_ptr);
    const uint16_t *group = SLRK_AT(h, uint16_t, seg_group), *taps = SLRK_AT(h, uint16_t, taps);
    int64_t groups = slrk_groups(h), blocks = slrk_blocks(h), kernel = h->kernel_h * h->kernel_w;
    for (int64_t first = 0; first < groups; first += h->chunk) {
        int64_t count = slrk_min(h->chunk, groups - first);
        for (int64_t block = 0; block < blocks; block++) {
            int64_t segment = first * blocks + block * count;
            int64_t limit = slrk_min(h->block, h->channels - block * h->block) * kernel;
            memset(seen, 0, count);
            for (int64_t i = segment; i < segment + count; i++) {
                if (group[i] >= count || seen[group[i]]++) return 0;
                for (int64_t k = ptr[i]; k < ptr[i + 1]; k++)
                    if (taps[k] >= limit) return 0;
            }
        }
    }
    return 1;
}

static int panel_fits(const struct slrk_header *h) {
    int64_t segments = slrk_groups(h) * slrk_blocks(h), padded = slrk_groups(h) * h->rows_per_group;
    if (!array_fits(h, h->bias, padded, 4) || !array_fits(h, h->seg_ptr, segments + 1, 4) ||
        !array_fits(h, h->seg_group, segments, 2) || !array_fits(h, h->taps, h->entries, 2) ||
        !array_fits(h, h->values, h->entries * h->rows_per_group, 4) ||
        !grows_to(SLRK_AT(h, int32_t, seg_ptr), segments, h->entries))
        return 0;
    uint8_t *seen = malloc(slrk_min(h->chunk, slrk_groups(h)));
    int fits = seen && segments_fit(h, seen);
    free(seen);
    return fits;
}

// The values of a group: sixteen for a full slot, as many as its mask has lanes for another.
static int64_t slot_floats(const struct slrk_header *h, int64_t g) {
    const int32_t *mask_ptr = SLRK_AT(h, int32_t, mask_ptr);
    const uint16_t *masks = SLRK_AT(h, uint16_t, masks);
    int64_t floats = slrk_tables(h) * SLRK_AT(h, int32_t, full)[g] * SLRK_LANES;
    for (int64_t i = mask_ptr[g]; i < mask_ptr[g + 1]; i++) floats += __builtin_popcount(masks[i]);
    return floats;
}

static int lookup_groups_fit(const struct slrk_header *h, uint8_t *seen) {
    const int32_t *row = SLRK_AT(h, int32_t, row_of_lane);
    const int32_t *width = SLRK_AT(h, int32_t, width), *full = SLRK_AT(h, int32_t, full);
    const int32_t *word_ptr = SLRK_AT(h, int32_t, word_ptr), *mask_ptr = SLRK_AT(h, int32_t, mask_ptr);
    const int32_t *slot_ptr = SLRK_AT(h, int32_t, slot_ptr);
    int64_t tables = slrk_tables(h), rows = 0;
    for (int64_t i = 0; i < h->lookup_groups * SLRK_LANES; i++) {
        if (row[i] == -1) continue;
        if (row[i] < 0 || row[i] >= h->rows || seen[row[i]]++) return 0;
        rows++;
    }
    for (int64_t g = 0; g < h->lookup_groups; g++) {
        if (width[g] < 0 || width[g] > SLRK_MAX_WIDTH || full[g] < 0 || full[g] > width[g]) return 0;
        if (word_ptr[g + 1] - word_ptr[g] != tables * slrk_ceil_div(width[g], SLRK_WORD_SLOTS)) return 0;
        if (mask_ptr[g + 1] - mask_ptr[g] != tables * (width[g] - full[g])) return 0;
        if (slot_ptr[g + 1] - slot_ptr[g] != slot_floats(h, g)) return 0;
    }
    return rows == h->rows;
}

// Whether the pointers of an array of the lookup layout grow, and the array holds what they say and `more` entries.
static int pointed_fits(const struct slrk_header *h, int64_t pointers, int64_t array, int64_t size, int64_t more) {
    int64_t groups = h->lookup_groups;
    if (!array_fits(h, pointers, groups + 1, 4)) return 0;
    const int32_t *ptr = (const int32_t *)((const char *)h + pointers);
    return ptr[groups] >= 0 && grows_to(ptr, groups, ptr[groups]) && array_fits(h, array, ptr[groups] + more, size);
}

static int lookup_fits(const struct slrk_header *h) {
    int64_t groups = h->lookup_groups, tables = slrk_tables(h);
    if (groups == 0) return 1;
    if (groups < 0 || groups > h->rows || tables * SLRK_TABLE > 65536 || h->kernel_h * h->kernel_w != 1) return 0;
    if (!array_fits(h, h->row_of_lane, groups * SLRK_LANES, 4) || !array_fits(h, h->width, groups, 4) ||
        !array_fits(h, h->lane_bias, groups * SLRK_LANES, 4) || !array_fits(h, h->full, groups, 4) || !pointed_fits(h, h->word_ptr, h->words, 4 * SLRK_LANES, 0) ||
        !pointed_fits(h, h->mask_ptr, h->masks, 2, 0) || !pointed_fits(h, h->slot_ptr, h->slots, 4, SLRK_LANES) ||
        !pointed_fits(h, h->extra_ptr, h->extra_input, 2, 0) || !pointed_fits(h, h->extra_ptr, h->extra_lane, 2, 0) ||
        !pointed_fits(h, h->extra_ptr, h->extra_value, 4, 0))
        return 0;
    const uint16_t *input = SLRK_AT(h, uint16_t, extra_input), *lane = SLRK_AT(h, uint16_t, extra_lane);
    for (int64_t k = 0; k < SLRK_AT(h, int32_t, extra_ptr)[groups]; k++)
        if (input[k] >= tables * SLRK_TABLE || lane[k] >= SLRK_LANES) return 0;
    uint8_t *seen = calloc(h->rows, 1);
    int fits = seen && lookup_groups_fit(h, seen);
    free(seen);
    return fits;
}

// `packed` must be aligned for 64-bit integers.
__attribute__((visibility("default"))) int slrk_check(const void *packed, int64_t bytes) {
    const struct slrk_header *h = packed;
    return bytes >= (int64_t)sizeof *h && h->magic == SLRK_MAGIC && h->layout == SLRK_LAYOUT && h->bytes == bytes &&
           dimensions_fit(h) && panel_fits(h) && lookup_fits(h);
}
