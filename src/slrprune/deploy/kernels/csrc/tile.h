// One register tile, R rows by T vectors; tiles.c includes this file once for each R, T and U. U nonzeros are taken at
// a time, each into its own accumulators, where R * T alone would leave the multiply-add units waiting for results.
//
// The macros unroll by hand since GCC keeps an array in registers only if its indices are constants from the start.

#define ADD GLUE5(add_, WAY, R, x, T)
#define RUN GLUE5(WAY, _, R, x, T)
#define EACH(M) GLUE2(ROWS_, R)(M, T)

// Column by column: with four rows and seven columns, 28 of 32 registers are sums.
INLINE void ADD(vec a[R][T], const float *x, const float *w) {
#if R == 4
    vec w0 = splat(w[0]), w1 = splat(w[1]), w2 = splat(w[2]), w3 = splat(w[3]);
#define COLUMN(r, t) {                                                                   \
        vec column = load(x + t * LANES);                                                \
        a[0][t] += w0 * column, a[1][t] += w1 * column, a[2][t] += w2 * column, a[3][t] += w3 * column; \
    }
#else
#define COLUMN(r, t) a[0][t] += w[0] * load(x + t * LANES);
#endif
    GLUE2(COLS_, T)(COLUMN, 0)
#undef COLUMN
}

static void RUN(const struct slrk_segments *s, const float *input, int64_t last, float *acc) {
    // Copies, since the compiler must assume that sums are written over what `s` points to.
    const uint16_t *const taps = s->taps;
    const float *const values = s->values, *const bias = s->bias;
    const int64_t *const table = s->table, step = s->step, stride = s->stride;
    (void)table, (void)step;
    for (int64_t i = 0, count = s->count; i < count; i++) {
        int64_t k = s->ptr[i], end = s->ptr[i + 1];
        if (k == end && !bias && !s->relu) continue;
        int64_t row = (int64_t)s->group[i] * R;
        float *out = acc + row * stride;
        vec a[U][R][T];
        if (bias) {
#define START(r, t) a[0][r][t] = splat(bias[row + r]);
            EACH(START)
#undef START
        } else {
#define RESUME(r, t) a[0][r][t] = load(out + r * stride + t * LANES);
            EACH(RESUME)
#undef RESUME
        }
#define TAKE(u) ADD(a[u], input + PLACE(k + u), values + (k + u) * R);
#if U > 1
#define ZERO(r, t) a[1][r][t] = splat(0);
        EACH(ZERO)
#undef ZERO
#if U > 2
#define ZERO(r, t) a[2][r][t] = splat(0), a[3][r][t] = splat(0);
        EACH(ZERO)
#undef ZERO
#endif
        for (; k + U <= end; k += U) { GLUE2(TIMES_, U)(TAKE) }
#endif
        for (; k < end; k++) { TAKE(0) }
#undef TAKE
#if U > 2
#define FOLD(r, t) a[0][r][t] += a[2][r][t], a[1][r][t] += a[3][r][t];
        EACH(FOLD)
#undef FOLD
#endif
#if U > 1
#define FOLD(r, t) a[0][r][t] += a[1][r][t];
        EACH(FOLD)
#undef FOLD
#endif
        if (s->relu) {
#define RELU(r, t) a[0][r][t] = relu(a[0][r][t]);
            EACH(RELU)
#undef RELU
        }
#define FINISH(r, t)                                                                    \
    if (t == T - 1 && last < LANES) store_first(out + r * stride + t * LANES, a[0][r][t], last); \
    else store(out + r * stride + t * LANES, a[0][r][t]);
        EACH(FINISH)
#undef FINISH
    }
}

#undef ADD
#undef RUN
#undef EACH
#undef R
#undef T
#undef U
