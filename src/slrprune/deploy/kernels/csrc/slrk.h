// Sparse CPU kernels of slrprune: what the files in this folder share.
//
// A packed weight is one block of bytes, written by layout.py and checked by slrk_check before its first use: a header
// of 64-bit integers, then arrays at the byte offsets that the header names. Two layouts of the same weight live in it.
//
// Panel layout (convolution, and linear with a batch). Input channels are cut into blocks of `block` channels, outputs
// into row groups of `rows_per_group`, row groups into chunks of `chunk`. A segment holds the nonzeros of one row group
// in one block. Segments are stored chunk by chunk, in a chunk block by block, and there from the shortest to the
// longest, so that the trip count of the inner loop rarely changes and the branch predictor follows it.
//
// Lookup layout (linear, batch 1 or a few). Sixteen outputs per group; 31 inputs and one zero fill a table of two AVX-512
// registers. Each group takes up to `width` nonzeros per output from each table, found by a register permutation instead
// of a gather: slot k holds the k-th nonzero of each of the sixteen outputs. The first `full` slots store a value for
// every output, the others only those that exist, with a mask. Nonzeros beyond `width` are listed apart.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    SLRK_MAGIC = 0x534c524b,      // "SLRK"
    SLRK_LAYOUT = 1,              // raised when the arrays change
    SLRK_TILE = 112,              // output positions of the widest register tile: 7 AVX-512 registers
    SLRK_LANES = 16,              // outputs per group of the lookup layout
    SLRK_TABLE = 32,              // entries of a lookup table
    SLRK_TABLE_INPUTS = 31,       // of which inputs; the last entry is zero, and unused slots point there
    SLRK_WORD_SLOTS = 6,          // five-bit table indices per 32-bit word
    SLRK_MAX_WIDTH = 12,
    SLRK_ALIGN = 64,
};

enum { SLRK_OK = 0, SLRK_NO_MEMORY = 1, SLRK_TOO_LARGE = 2 };

struct slrk_header {
    int64_t magic, layout, bytes;
    int64_t rows, channels, kernel_h, kernel_w;
    int64_t rows_per_group, block, chunk, entries;
    int64_t bias;        // float[groups * rows_per_group]
    int64_t seg_ptr;     // int32[groups * blocks + 1]: first entry of each segment
    int64_t seg_group;   // uint16[groups * blocks]: row group of each segment, counted within its chunk
    int64_t taps;        // uint16[entries]: channel within the block * kernel_h * kernel_w + position in the kernel
    int64_t values;      // float[entries][rows_per_group]
    int64_t lookup_groups;
    int64_t row_of_lane; // int32[lookup_groups][16]: output of each lane, -1 where there is none
    int64_t lane_bias;   // float[lookup_groups][16]: zero where there is no output
    int64_t width;       // int32[lookup_groups]
    int64_t full;        // int32[lookup_groups]
    int64_t word_ptr;    // int32[lookup_groups + 1]: first vector of 16 index words
    int64_t words;       // uint32[][16]: six five-bit indices each, by table and then slot
    int64_t mask_ptr;    // int32[lookup_groups + 1]
    int64_t masks;       // uint16[]: lanes of the slots that are not full, by table and then slot
    int64_t slot_ptr;    // int32[lookup_groups + 1]
    int64_t slots;       // float[], 16 more than slot_ptr says
    int64_t extra_ptr;   // int32[lookup_groups + 1]
    int64_t extra_input; // uint16[]: position in the tables laid end to end
    int64_t extra_lane;  // uint16[]
    int64_t extra_value; // float[]
};

#define SLRK_AT(header, type, field) ((const type *)((const char *)(header) + (header)->field))

static inline int64_t slrk_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t slrk_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t slrk_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t slrk_round_up(int64_t a, int64_t b) { return slrk_ceil_div(a, b) * b; }
static inline int64_t slrk_groups(const struct slrk_header *h) { return slrk_ceil_div(h->rows, h->rows_per_group); }
static inline int64_t slrk_blocks(const struct slrk_header *h) { return slrk_ceil_div(h->channels, h->block); }
static inline int64_t slrk_tables(const struct slrk_header *h) { return slrk_ceil_div(h->channels, SLRK_TABLE_INPUTS); }

// The segments of one chunk in one block, as the register tiles take them.
struct slrk_segments {
    const int32_t *ptr; // count + 1
    const uint16_t *group;
    int64_t count;
    const uint16_t *taps;
    const float *values;
    const float *bias; // of the chunk's first row; NULL after the first block
    int relu;          // set in the last block
    const int64_t *table; // floats from the start of the input to that of each tap
    int64_t stride; // floats from one row of sums to the next
    int64_t step;      // floats between channels where each has one tap, which then needs no table; otherwise zero
};

struct slrk_copy { // `count` floats within a plane, read from every step-th place
    int64_t to, from, count;
};

// One instruction set. `tile` adds the segments to the sums at `acc`: `vectors` vectors for each row of the chunk. Of the
// last vector the first `last` floats are written.
struct slrk_isa {
    const char *name;
    int lanes;
    int single_batch; // up to this batch the lookup layout is the faster one
    int expands;      // whether slots that are not full cost little
    void (*tile)(const struct slrk_segments *s, int64_t rows_per_group, const float *input, int64_t vectors,
                 int64_t last, float *acc);
    void (*lookup)(const struct slrk_header *h, const float *tables, float *y, int64_t group, int relu);
    void (*transpose)(const float *from, int64_t from_stride, float *to, int64_t to_stride, int64_t rows, int64_t cols);
    void (*copy_planes)(const struct slrk_copy *copies, int64_t count, int64_t step, const float *from,
                        int64_t from_stride, float *to, int64_t to_stride, int64_t planes);
    float (*fma_probe)(int64_t rounds);
    float (*read_probe)(const float *from, int64_t count);
};

const struct slrk_isa *slrk_current_isa(void);

// Calls run(context, item) for every item, on up to `threads` threads, this one among them. Returns when all are done.
void slrk_parallel(void (*run)(void *context, int64_t item), void *context, int64_t items, int threads);

// At least `bytes` bytes of this thread's own memory, aligned for vectors, valid until its next call; NULL: none left.
void *slrk_scratch(size_t bytes);
