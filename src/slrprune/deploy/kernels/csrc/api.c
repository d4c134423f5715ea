// Choice of the instruction set, and the probes for Python.

#include <stdatomic.h>
#include <string.h>

#include "slrk.h"

#define EXPORT __attribute__((visibility("default")))

extern const struct slrk_isa slrk_table_baseline;
#ifdef SLRK_X86
extern const struct slrk_isa slrk_table_avx2, slrk_table_avx512;
#endif

static const struct slrk_isa *_Atomic current = &slrk_table_baseline;

const struct slrk_isa *slrk_current_isa(void) { return atomic_load_explicit(&current, memory_order_relaxed); }

static int supported(const struct slrk_isa *isa) {
#ifdef SLRK_X86
    __builtin_cpu_init();
    if (isa == &slrk_table_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (isa == &slrk_table_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return isa == &slrk_table_baseline;
}

static const struct slrk_isa *const sets[] = {
#ifdef SLRK_X86
    &slrk_table_avx512, &slrk_table_avx2,
#endif
    &slrk_table_baseline,
};
enum { SETS = sizeof sets / sizeof *sets };

// Name of the i-th instruction set, fastest first, of those that this machine has; NULL after the last.
EXPORT const char *slrk_isa_name(int i) {
    for (int k = 0; k < SETS; k++)
        if (supported(sets[k]) && i-- == 0) return sets[k]->name;
    return NULL;
}

EXPORT const char *slrk_current_isa_name(void) { return slrk_current_isa()->name; }

// Whether the lookup layout should leave out the empty lanes of its slots.
EXPORT int slrk_expands(void) { return slrk_current_isa()->expands; }

// Returns 0 where this machine has no such set.
EXPORT int slrk_use_isa(const char *name) {
    for (int k = 0; k < SETS; k++) {
        if (strcmp(sets[k]->name, name) == 0 && supported(sets[k])) {
            atomic_store(&current, sets[k]);
            return 1;
        }
    }
    return 0;
}

__attribute__((constructor)) static void use_fastest(void) {
    int k = 0;
    while (!supported(sets[k])) k++;
    atomic_store(&current, sets[k]);
}

// Makes `rounds` * 12 * lanes multiply-adds; returns lanes. What it computes is of no interest, but must be used.
EXPORT int slrk_fma_probe(int64_t rounds, float *sink) {
    *sink = slrk_current_isa()->fma_probe(rounds);
    return slrk_current_isa()->lanes;
}

EXPORT void slrk_read_probe(const float *from, int64_t count, float *sink) {
    *sink = slrk_current_isa()->read_probe(from, count);
}

// Sources that the library was built from, so that a stale one is noticed.
EXPORT const char *slrk_sources(void) { return SLRK_SOURCES; }
