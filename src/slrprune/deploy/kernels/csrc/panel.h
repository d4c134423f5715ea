// What convolution and linear share: input copied block by block into a small buffer, register tiles over the row
// groups, results copied out. They differ in the copies only.
#pragma once

#include "slrk.h"

struct slrk_part { // one item of work: a run of output positions of one image, for a range of chunks
    int64_t image, first, vectors;
    int64_t first_chunk, last_chunk;
    int64_t stride, last; // floats from one row of sums to the next; floats of the last vector that are wanted
    void *notes; // `note_bytes` bytes for the functions below
};

struct slrk_panel {
    const struct slrk_header *header;
    const struct slrk_isa *isa;
    const int64_t *offsets; // of each tap in the copied block; not used where each channel has one tap
    int64_t channel_stride; // floats per channel of the copied block
    int64_t images, positions; // output positions per image
    int64_t tiles;             // into which the positions are cut
    int64_t note_bytes;
    int relu;
    float *y; // the output where it holds the positions of each row one after another, as sums do; otherwise NULL
    void *context;
    // Called once per part, before the first block. The buffer is all zeros then, and holds the last block later.
    void (*prepare)(void *context, struct slrk_part *part);
    void (*copy_in)(void *context, const struct slrk_part *part, int64_t channel, int64_t channels, float *buffer);
    void (*copy_out)(void *context, const struct slrk_part *part, int64_t row, int64_t rows, const float *sums);

    int direct; // whether sums are written to the output without a copy; this and the next filled in by slrk_run_panel
    int64_t splits, chunks;
    _Atomic int status;
};

int slrk_run_panel(struct slrk_panel *panel, int threads);
// Positions of the widest of `tiles` tiles, in whole vectors.
int64_t slrk_tile_positions(const struct slrk_isa *isa, int64_t positions, int64_t tiles);

// Linear with a batch; the weight has one tap per channel.
int slrk_panel_linear(const struct slrk_header *h, const float *x, float *y, int64_t batch, int relu, int threads);
