// y = x W^T + b for a batch: the batch is the vector dimension, so x is transposed on the way in and y on the way out.

#include <stdatomic.h>
#include <string.h>

#include "panel.h"

enum { GROUPS_PER_THREAD = 16 };

struct batch {
    const float *x;
    float *y;
    int64_t batch, inputs, outputs, stride;
    const struct slrk_isa *isa;
};

static void prepare(void *context, struct slrk_part *part) { (void)context, (void)part; }

static int64_t samples(const struct batch *b, const struct slrk_part *part) {
    return slrk_min(part->vectors * b->isa->lanes, b->batch - part->first);
}

static void copy_in(void *context, const struct slrk_part *part, int64_t channel, int64_t channels, float *buffer) {
    const struct batch *b = context;
    const float *from = b->x + part->first * b->inputs + channel;
    b->isa->transpose(from, b->inputs, buffer, b->stride, samples(b, part), channels);
}

static void copy_out(void *context, const struct slrk_part *part, int64_t row, int64_t rows, const float *sums) {
    const struct batch *b = context;
    float *to = b->y + part->first * b->outputs + row;
    b->isa->transpose(sums, part->vectors * b->isa->lanes, to, b->outputs, rows, samples(b, part));
}

int slrk_panel_linear(const struct slrk_header *h, const float *x, float *y, int64_t batch, int relu, int threads) {
    const struct slrk_isa *isa = slrk_current_isa();
    int64_t tiles = slrk_ceil_div(slrk_round_up(batch, isa->lanes), SLRK_TILE);
    struct batch b = {x, y, batch, h->channels, h->rows, slrk_tile_positions(isa, batch, tiles), isa};
    struct slrk_panel panel = {
        .header = h, .isa = isa, .channel_stride = b.stride, .images = 1, .positions = batch, .tiles = tiles,
        .relu = relu, .context = &b, .prepare = prepare, .copy_in = copy_in, .copy_out = copy_out,
    };
    return slrk_run_panel(&panel, threads);
}

struct few {
    const struct slrk_header *header;
    const struct slrk_isa *isa;
    const float *tables;
    float *y;
    int64_t batch, parts, table_floats;
    int relu;
};

static void run_groups(void *context, int64_t part) {
    const struct few *f = context;
    const struct slrk_header *h = f->header;
    // Group by group, so that a group is read from afar once for the whole batch.
    for (int64_t g = part * h->lookup_groups / f->parts; g < (part + 1) * h->lookup_groups / f->parts; g++)
        for (int64_t i = 0; i < f->batch; i++)
            f->isa->lookup(h, f->tables + i * f->table_floats, f->y + i * h->rows, g, f->relu);
}

// Lays 31 inputs and a zero after each other, as the lookup layout counts them.
static void fill_tables(const float *x, int64_t inputs, float *tables) {
    for (; inputs > 0; inputs -= SLRK_TABLE_INPUTS, x += SLRK_TABLE_INPUTS, tables += SLRK_TABLE) {
        if (inputs >= SLRK_TABLE_INPUTS) {
            memcpy(tables, x, SLRK_TABLE_INPUTS * sizeof *x);
            tables[SLRK_TABLE_INPUTS] = 0;
        } else {
            memset(tables, 0, SLRK_TABLE * sizeof *x);
            memcpy(tables, x, inputs * sizeof *x);
        }
    }
}

static int lookup_linear(const struct slrk_header *h, const float *x, float *y, int64_t batch, int relu, int threads) {
    struct few f = {.header = h, .isa = slrk_current_isa(), .y = y, .batch = batch, .relu = relu};
    f.table_floats = slrk_tables(h) * SLRK_TABLE;
    float *tables = slrk_scratch(batch * f.table_floats * sizeof *tables);
    if (!tables) return SLRK_NO_MEMORY;
    for (int64_t i = 0; i < batch; i++) fill_tables(x + i * h->channels, h->channels, tables + i * f.table_floats);
    f.tables = tables;
    threads = (int)slrk_min(threads, slrk_ceil_div(batch * h->lookup_groups, GROUPS_PER_THREAD));
    f.parts = threads > 1 ? slrk_min(4 * threads, h->lookup_groups) : 1;
    slrk_parallel(run_groups, &f, f.parts, threads);
    return SLRK_OK;
}

__attribute__((visibility("default"))) int slrk_linear(const void *packed, const float *x, float *y, int64_t batch,
                                                       int relu, int threads) {
    const struct slrk_header *h = packed;
    if (h->lookup_groups > 0 && batch <= slrk_current_isa()->single_batch)
        return lookup_linear(h, x, y, batch, relu, threads);
    return slrk_panel_linear(h, x, y, batch, relu, threads);
}
