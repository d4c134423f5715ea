// The register tiles of one instruction set, the work inside every kernel but the lookup one.

#include "isa.h"

#define GLUE2_(a, b) a##b
#define GLUE2(a, b) GLUE2_(a, b)
#define GLUE5_(a, b, c, d, e) a##b##c##d##e
#define GLUE5(a, b, c, d, e) GLUE5_(a, b, c, d, e)
#define TIMES_2(M) M(0) M(1)
#define TIMES_4(M) M(0) M(1) M(2) M(3)
#define COLS_1(M, r) M(r, 0)
#define COLS_2(M, r) COLS_1(M, r) M(r, 1)
#define COLS_3(M, r) COLS_2(M, r) M(r, 2)
#define COLS_4(M, r) COLS_3(M, r) M(r, 3)
#define COLS_5(M, r) COLS_4(M, r) M(r, 4)
#define COLS_6(M, r) COLS_5(M, r) M(r, 5)
#define COLS_7(M, r) COLS_6(M, r) M(r, 6)
#define ROWS_1(M, cols) GLUE2(COLS_, cols)(M, 0)
#define ROWS_4(M, cols) \
    GLUE2(COLS_, cols)(M, 0) GLUE2(COLS_, cols)(M, 1) GLUE2(COLS_, cols)(M, 2) GLUE2(COLS_, cols)(M, 3)

// Where the input of a nonzero lies, in floats: by a table of all taps of a block, or, where each channel has one tap, by
// its number, which saves a load.
#define WAY table
#define PLACE(k) table[taps[k]]
#include "tile_list.h"
#define WAY step
#define PLACE(k) (taps[k] * step)
#include "tile_list.h"

#define WIDEST_1 7
#if LANES == 16
#define WIDEST_4 6
#else
#define WIDEST_4 2
#endif

typedef void (*tile_function)(const struct slrk_segments *, const float *, int64_t, float *);

#define ONE_ROW(way) NULL, way##_1x1, way##_1x2, way##_1x3, way##_1x4, way##_1x5, way##_1x6, way##_1x7
#if LANES == 16
#define FOUR_ROWS(way) NULL, way##_4x1, way##_4x2, way##_4x3, way##_4x4, way##_4x5, way##_4x6, way##_4x7
#else
#define FOUR_ROWS(way) NULL, way##_4x1, way##_4x2
#endif
static const tile_function one_row[2][8] = {{ONE_ROW(table)}, {ONE_ROW(step)}};
static const tile_function four_rows[2][8] = {{FOUR_ROWS(table)}, {FOUR_ROWS(step)}};

void ISA(tile)(const struct slrk_segments *s, int64_t rows_per_group, const float *input, int64_t vectors,
               int64_t last, float *acc) {
    const tile_function *functions = (rows_per_group == 4 ? four_rows : one_row)[s->step != 0];
    int64_t passes = slrk_ceil_div(vectors, rows_per_group == 4 ? WIDEST_4 : WIDEST_1);
    for (int64_t done = 0; passes > 0; passes--) {
        int64_t now = slrk_ceil_div(vectors - done, passes);
        functions[now](s, input + done * LANES, passes == 1 ? last : LANES, acc + done * LANES);
        done += now;
    }
}
