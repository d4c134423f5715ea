// Vectors of floats as wide as the instruction set, through the vector extensions of GCC and Clang.
#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef float vec_any __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); // at any address
typedef float vec4 __attribute__((vector_size(16)));
typedef float vec4_any __attribute__((vector_size(16), aligned(4), may_alias));
typedef float vec8_any __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t ivec4 __attribute__((vector_size(16)));

INLINE vec load(const float *p) { return *(const vec_any *)p; }
INLINE void store(float *p, vec v) { *(vec_any *)p = v; }
// The first `count` lanes only.
INLINE void store_first(float *p, vec v, int64_t count) {
    float lanes[LANES];
    store(lanes, v);
    for (int64_t i = 0; i < count; i++) p[i] = lanes[i];
}
INLINE vec splat(float s) { return s - (vec){0}; }
// Keeps NaN, as torch.relu does.
INLINE vec relu(vec v) { return (vec)((ivec)v & ~(v < 0)); }

// Lanes of two vectors by number; `order` is the vector type of the numbers.
#ifdef __clang__
#define SHUFFLE(order, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(order, a, b, ...) __builtin_shuffle(a, b, (order){__VA_ARGS__})
#endif
