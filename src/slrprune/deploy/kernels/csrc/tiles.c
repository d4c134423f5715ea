// The register tiles of one instruction set, the work inside every kernel but the lookup one.

#include "isa.h"

#define GLUE2_(a, b) a##b
#define GLUE2(a, b) GLUE2_(a, b)
#define GLUE4_(a, b, c, d) a##b##c##d
#define GLUE4(a, b, c, d) GLUE4_(a, b, c, d)
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

#define R 1
#define T 1
#define U 4
#include "tile.h"
#define R 1
#define T 2
#define U 4
#include "tile.h"
#define R 1
#define T 3
#define U 2
#include "tile.h"
#define R 1
#define T 4
#define U 2
#include "tile.h"
#define R 1
#define T 5
#define U 1
#include "tile.h"
#define R 1
#define T 6
#define U 1
#include "tile.h"
#define R 1
#define T 7
#define U 1
#include "tile.h"
#define R 4
#define T 1
#define U 2
#include "tile.h"
#define R 4
#define T 2
#define U 1
#include "tile.h"
#if LANES == 16 // 28 accumulators and the operands fill 32 registers; with 16 registers two vectors are the most
#define R 4
#define T 3
#define U 1
#include "tile.h"
#define R 4
#define T 4
#define U 1
#include "tile.h"
#define R 4
#define T 5
#define U 1
#include "tile.h"
#define R 4
#define T 6
#define U 1
#include "tile.h"
#define R 4
#define T 7
#define U 1
#include "tile.h"
#define WIDEST_4 6
#else
#define WIDEST_4 2
#endif
#define WIDEST_1 7

typedef void (*tile_function)(const struct slrk_segments *, const float *, const int64_t *, int64_t, float *);

static const tile_function one_row[] = {NULL, run_1x1, run_1x2, run_1x3, run_1x4, run_1x5, run_1x6, run_1x7};
static const tile_function four_rows[] = {
    NULL, run_4x1, run_4x2,
#if WIDEST_4 > 2
    run_4x3, run_4x4, run_4x5, run_4x6, run_4x7,
#endif
};

void ISA(tile)(const struct slrk_segments *s, int64_t rows_per_group, const float *input, const int64_t *offset,
               int64_t vectors, float *acc) {
    const tile_function *functions = rows_per_group == 4 ? four_rows : one_row;
    int64_t passes = slrk_ceil_div(vectors, rows_per_group == 4 ? WIDEST_4 : WIDEST_1);
    for (int64_t done = 0; passes > 0; passes--) {
        int64_t now = slrk_ceil_div(vectors - done, passes);
        functions[now](s, input + done * LANES, offset, vectors * LANES, acc + done * LANES);
        done += now;
    }
}
