// Direct convolution, NCHW in and out.
//
// An output row is laid `pitch` positions wide, as wide as the input that its taps reach, so that a tap is one constant
// offset for all positions of a tile; the positions between the output's width and the pitch are computed and dropped.
// With a stride the input is copied by phase: phase (a, b) holds rows a, a + stride, ... and columns b, b + stride, ...
// of the padded input, and within a phase the convolution has stride 1.

#include <stdatomic.h>
#include <stdlib.h>

#include "panel.h"

enum {
    LONG_TILE = 4 * SLRK_TILE,
    LONG_TILE_SUMS = 1 << 16,
};

struct phase {
    int64_t row, col; // of the padded input
    int64_t reach;    // largest offset of a tap
    int64_t base;     // first float within a channel of the buffer
};

struct conv {
    const struct slrk_header *header;
    const float *x;
    float *y;
    int64_t height, width, out_height, out_width, pitch;
    int64_t stride_h, stride_w, padding_h, padding_w;
    struct phase *phases;
    int64_t phase_count;
    const struct slrk_isa *isa;
};

struct notes {
    int64_t in_count, out_count;
    struct slrk_copy *in, *out;
};

static struct slrk_copy *add_input_rows(const struct conv *c, const struct phase *phase, int64_t first, int64_t count,
                                   struct slrk_copy *next) {
    int64_t row = first / c->pitch, col = first % c->pitch;
    int64_t to = phase->base;
    // Columns of the phase that lie within the input.
    int64_t low = slrk_max(0, slrk_ceil_div(slrk_max(c->padding_w - phase->col, 0), c->stride_w));
    int64_t high = slrk_ceil_div(slrk_max(c->width + c->padding_w - phase->col, 0), c->stride_w);
    for (; count > 0; row++) {
        int64_t run = slrk_min(c->pitch - col, count);
        int64_t y = row * c->stride_h + phase->row - c->padding_h;
        int64_t from = slrk_max(low, col), end = slrk_min(high, col + run);
        if (y >= 0 && y < c->height && from < end) {
            int64_t x = from * c->stride_w + phase->col - c->padding_w;
            *next++ = (struct slrk_copy){to + from - col, y * c->width + x, end - from};
        }
        to += run, count -= run, col = 0;
    }
    return next;
}

static void prepare(void *context, struct slrk_part *part) {
    const struct conv *c = context;
    struct notes *notes = part->notes;
    int64_t floats = part->vectors * c->isa->lanes;
    notes->in = (struct slrk_copy *)(notes + 1);
    struct slrk_copy *next = notes->in;
    for (int64_t i = 0; i < c->phase_count; i++)
        next = add_input_rows(c, &c->phases[i], part->first, floats + c->phases[i].reach, next);
    notes->in_count = next - notes->in;
    notes->out = next;
    int64_t row = part->first / c->pitch, col = part->first % c->pitch;
    for (int64_t done = 0; done < floats && row < c->out_height; row++, col = 0) {
        int64_t run = slrk_min(c->pitch - col, floats - done), wanted = slrk_min(run, c->out_width - col);
        if (wanted > 0) *next++ = (struct slrk_copy){row * c->out_width + col, done, wanted};
        done += run;
    }
    notes->out_count = next - notes->out;
}

static void copy_in(void *context, const struct slrk_part *part, int64_t channel, int64_t channels, float *buffer) {
    const struct conv *c = context;
    const struct notes *notes = part->notes;
    int64_t plane = c->height * c->width;
    int64_t stride = c->phases[c->phase_count].base; // one past the last phase: floats per channel
    const float *from = c->x + (part->image * c->header->channels + channel) * plane;
    c->isa->copy_planes(notes->in, notes->in_count, c->stride_w, from, plane, buffer, stride, channels);
}

static void copy_out(void *context, const struct slrk_part *part, int64_t row, int64_t rows, const float *sums) {
    const struct conv *c = context;
    const struct notes *notes = part->notes;
    int64_t plane = c->out_height * c->out_width, floats = part->vectors * c->isa->lanes;
    float *to = c->y + (part->image * c->header->rows + row) * plane;
    c->isa->copy_planes(notes->out, notes->out_count, 1, sums, floats, to, plane, rows);
}

// Finds the phases that taps use, and the offset of every tap of a block.
static void place_taps(struct conv *c, int64_t dilation_h, int64_t dilation_w, int64_t floats, int64_t *offsets) {
    const struct slrk_header *h = c->header;
    int64_t taps = h->kernel_h * h->kernel_w;
    for (int64_t t = 0; t < taps; t++) {
        int64_t y = t / h->kernel_w * dilation_h, x = t % h->kernel_w * dilation_w, i = 0;
        struct phase phase = {.row = y % c->stride_h, .col = x % c->stride_w};
        int64_t offset = y / c->stride_h * c->pitch + x / c->stride_w;
        while (i < c->phase_count && (c->phases[i].row != phase.row || c->phases[i].col != phase.col)) i++;
        if (i == c->phase_count) c->phases[c->phase_count++] = phase;
        c->phases[i].reach = slrk_max(c->phases[i].reach, offset);
        offsets[t] = offset + (i << 40); // the phase's base is not known yet
    }
    for (int64_t i = 0; i < c->phase_count; i++)
        c->phases[i + 1].base = c->phases[i].base + slrk_round_up(floats + c->phases[i].reach, SLRK_LANES);
    int64_t channels = slrk_min(h->block, h->channels), stride = c->phases[c->phase_count].base;
    for (int64_t t = 0; t < taps; t++)
        offsets[t] = (offsets[t] & ((1LL << 40) - 1)) + c->phases[offsets[t] >> 40].base;
    for (int64_t i = taps; i < channels * taps; i++) offsets[i] = offsets[i - taps] + stride;
}

// Long tiles share more of the rows that lie between them, but must leave something to do for every thread, and their
// sums must stay in the second-level cache.
static int64_t choose_tiles(const struct slrk_header *h, int64_t positions, int64_t images, int64_t threads) {
    int64_t longest = h->kernel_h * h->kernel_w > 1 ? LONG_TILE : SLRK_TILE;
    longest = slrk_max(SLRK_TILE, slrk_min(longest, LONG_TILE_SUMS / h->rows / SLRK_TILE * SLRK_TILE));
    while (longest > SLRK_TILE && threads > 1 && images * slrk_ceil_div(positions, longest) < 2 * threads)
        longest -= SLRK_TILE;
    return slrk_ceil_div(positions, longest);
}

__attribute__((visibility("default"))) int slrk_conv2d(const void *packed, const float *x, float *y, int64_t images,
                                                       int64_t height, int64_t width, int64_t stride_h,
                                                       int64_t stride_w, int64_t padding_h, int64_t padding_w,
                                                       int64_t dilation_h, int64_t dilation_w, int relu, int threads) {
    const struct slrk_header *h = packed;
    const struct slrk_isa *isa = slrk_current_isa();
    int64_t taps = h->kernel_h * h->kernel_w, block_taps = slrk_min(h->block, h->channels) * taps;
    if (taps == 1 && height * width == 1 && padding_h + padding_w == 0) // images in the vector, not one position
        return slrk_panel_linear(h, x, y, images, relu, threads);
    struct conv c = {.header = h, .x = x, .y = y, .height = height, .width = width, .isa = isa};
    c.stride_h = stride_h, c.stride_w = stride_w, c.padding_h = padding_h, c.padding_w = padding_w;
    c.out_height = (height + 2 * padding_h - dilation_h * (h->kernel_h - 1) - 1) / stride_h + 1;
    c.out_width = (width + 2 * padding_w - dilation_w * (h->kernel_w - 1) - 1) / stride_w + 1;
    c.pitch = c.out_width + (h->kernel_w - 1) * dilation_w / stride_w;
    int64_t positions = (c.out_height - 1) * c.pitch + c.out_width;
    int64_t tiles = choose_tiles(h, positions, images, threads);
    int64_t floats = slrk_tile_positions(isa, positions, tiles);

    int64_t *offsets = malloc(block_taps * sizeof *offsets);
    c.phases = calloc(taps + 1, sizeof *c.phases);
    int status = SLRK_NO_MEMORY;
    if (offsets && c.phases) {
        place_taps(&c, dilation_h, dilation_w, floats, offsets);
        int64_t rows = slrk_ceil_div(floats, c.pitch) + 2;
        for (int64_t i = 0; i < c.phase_count; i++) rows += slrk_ceil_div(floats + c.phases[i].reach, c.pitch) + 2;
        struct slrk_panel panel = {
            .header = h, .isa = isa, .offsets = offsets, .channel_stride = c.phases[c.phase_count].base,
            .images = images, .positions = positions, .tiles = tiles, .relu = relu,
            .y = c.pitch == c.out_width ? y : NULL,
            .note_bytes = sizeof(struct notes) + rows * (int64_t)sizeof(struct slrk_copy),
            .context = &c, .prepare = prepare, .copy_in = copy_in, .copy_out = copy_out,
        };
        status = slrk_run_panel(&panel, threads);
    }
    free(offsets);
    free(c.phases);
    return status;
}
