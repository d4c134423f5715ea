#include "panel.h"

#include <stdatomic.h>
#include <string.h>

enum {
    SUMS_AT_ONCE = 1 << 16,    // which stay in the second-level cache: 256 KiB
    WORK_PER_THREAD = 1 << 20, // multiply-adds that are worth waking a thread for
};

int64_t slrk_tile_positions(const struct slrk_isa *isa, int64_t positions, int64_t tiles) {
    return slrk_ceil_div(slrk_ceil_div(positions, isa->lanes), tiles) * isa->lanes;
}

static void run_segments(const struct slrk_panel *p, const struct slrk_part *part, int64_t chunk, int64_t block,
                         const float *buffer, float *sums) {
    const struct slrk_header *h = p->header;
    int64_t blocks = slrk_blocks(h), groups = slrk_groups(h), first_group = chunk * h->chunk;
    int64_t count = slrk_min(h->chunk, groups - first_group);
    int64_t segment = first_group * blocks + block * count;
    struct slrk_segments s = {
        .ptr = SLRK_AT(h, int32_t, seg_ptr) + segment,
        .group = SLRK_AT(h, uint16_t, seg_group) + segment,
        .count = count,
        .taps = SLRK_AT(h, uint16_t, taps),
        .values = SLRK_AT(h, float, values),
        .bias = block == 0 ? SLRK_AT(h, float, bias) + first_group * h->rows_per_group : NULL,
        .relu = p->relu && block == blocks - 1,
        .stride = part->stride,
        .table = p->offsets,
        .step = h->kernel_h * h->kernel_w == 1 ? p->channel_stride : 0,
    };
    p->isa->tile(&s, h->rows_per_group, buffer, part->vectors, part->last, sums);
}

static struct slrk_part find_part(const struct slrk_panel *p, int64_t item) {
    int64_t split = item % p->splits, tile = item / p->splits % p->tiles, lanes = p->isa->lanes;
    int64_t vectors = slrk_ceil_div(p->positions, lanes);
    // Tiles differ by one vector at most.
    int64_t first = tile * vectors / p->tiles, end = (tile + 1) * vectors / p->tiles;
    return (struct slrk_part){
        .image = item / p->splits / p->tiles,
        .first = first * lanes,
        .vectors = end - first,
        .first_chunk = split * p->chunks / p->splits,
        .last_chunk = (split + 1) * p->chunks / p->splits,
        .stride = p->direct ? p->positions : (end - first) * lanes,
        .last = p->direct ? slrk_min(lanes, p->positions - (end - 1) * lanes) : lanes,
    };
}

static void run_part(void *context, int64_t item) {
    struct slrk_panel *p = context;
    const struct slrk_header *h = p->header;
    struct slrk_part part = find_part(p, item);
    int64_t chunk_rows = h->chunk * h->rows_per_group, blocks = slrk_blocks(h);
    int64_t sum_floats = p->direct ? 0 : (part.last_chunk - part.first_chunk) * chunk_rows * part.stride;
    int64_t buffer_floats = slrk_min(h->block, h->channels) * p->channel_stride;
    sum_floats = slrk_round_up(sum_floats, SLRK_LANES), buffer_floats = slrk_round_up(buffer_floats, SLRK_LANES);
    float *memory = slrk_scratch((sum_floats + buffer_floats) * sizeof(float) + p->note_bytes);
    if (!memory) {
        atomic_store(&p->status, SLRK_NO_MEMORY);
        return;
    }
    float *sums = memory, *buffer = memory + sum_floats;
    if (p->direct) sums = p->y + (part.image * h->rows + part.first_chunk * chunk_rows) * p->positions + part.first;
    part.notes = buffer + buffer_floats;
    memset(buffer, 0, buffer_floats * sizeof(float));
    p->prepare(p->context, &part);
    for (int64_t block = 0; block < blocks; block++) {
        int64_t channel = block * h->block;
        p->copy_in(p->context, &part, channel, slrk_min(h->block, h->channels - channel), buffer);
        for (int64_t chunk = part.first_chunk; chunk < part.last_chunk; chunk++) {
            float *chunk_sums = sums + (chunk - part.first_chunk) * chunk_rows * part.stride;
            run_segments(p, &part, chunk, block, buffer, chunk_sums);
            int64_t row = chunk * chunk_rows;
            if (block == blocks - 1 && !p->direct)
                p->copy_out(p->context, &part, row, slrk_min(chunk_rows, h->rows - row), chunk_sums);
        }
    }
}

int slrk_run_panel(struct slrk_panel *p, int threads) {
    const struct slrk_header *h = p->header;
    p->chunks = slrk_ceil_div(slrk_groups(h), h->chunk);
    double work = (double)h->entries * h->rows_per_group * p->positions * p->images;
    if (work / WORK_PER_THREAD < threads) threads = 1 + (int)(work / WORK_PER_THREAD);
    // Where images and tiles are fewer than threads, the rows are split too; each split copies its input again.
    int64_t parts = p->images * p->tiles;
    int64_t splits = threads > 1 ? slrk_ceil_div(2 * threads, parts) : 1;
    int64_t tile = slrk_tile_positions(p->isa, p->positions, p->tiles);
    // With one block nothing is read back; a last group with rows beyond the last would write too far.
    p->direct = p->y && slrk_blocks(h) == 1 && h->rows % h->rows_per_group == 0;
    if (!p->direct) splits = slrk_max(splits, slrk_ceil_div(h->rows * tile, SUMS_AT_ONCE));
    p->splits = slrk_min(splits, p->chunks);
    atomic_store(&p->status, SLRK_OK);
    slrk_parallel(run_part, p, parts * p->splits, threads);
    return atomic_load(&p->status);
}
