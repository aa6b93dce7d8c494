#pragma once

/* Vectors of neurons, and which of them something is done to. Vectors are those of GCC and Clang. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define BYTES 64
#define MIN(a, b) ((Floats)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MAX(a, b) ((Floats)_mm512_max_ps((__m512)(a), (__m512)(b)))
#elif defined(__AVX2__)
#include <immintrin.h>
#define BYTES 32
#define MIN(a, b) ((Floats)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MAX(a, b) ((Floats)_mm256_max_ps((__m256)(a), (__m256)(b)))
#else
#define BYTES 16
#define MIN(a, b) choose((a) < (b), (a), (b))
#define MAX(a, b) choose((a) > (b), (a), (b))
#endif

#define LANES (BYTES / 4)     /* neurons of a vector */
#define TILE (64 / LANES)     /* vectors that are read together: four cache lines of each row */
#define CHUNK 16              /* positions whose sum is taken in float32 before it is widened */
#define AHEAD 8               /* rows whose values are sent for before they are read */
#define WIDTH 256             /* neurons whose sums stay in the nearest cache */
#define QUANTITIES 4          /* hook_post, hook_pre_linear, hook_pre, swish; at most so many cases */

typedef float Floats __attribute__((vector_size(BYTES)));
typedef int32_t Ints __attribute__((vector_size(BYTES)));
typedef float HalfFloats __attribute__((vector_size(BYTES / 2)));
typedef int32_t HalfInts __attribute__((vector_size(BYTES / 2)));
typedef double Doubles __attribute__((vector_size(BYTES)));
typedef int64_t Longs __attribute__((vector_size(BYTES)));

#define inlined static inline __attribute__((always_inline))

inlined Floats splat(float value) { return (Floats){0} + value; }

inlined Floats choose(Ints mask, Floats a, Floats b) {
    return (Floats)(((Ints)a & mask) | ((Ints)b & ~mask));
}

inlined Ints is_number(Floats values) { return ((Ints)values & 0x7fffffff) < 0x7f800000; }

/* Which of some neurons: a bit for each where the processor has masks of its own, which then come
   at no cost with any operation; else all ones or zeros. */
#if defined(__AVX512F__) && defined(__AVX512DQ__)
typedef __mmask16 Mask;

inlined Mask above(Floats a, Floats b) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
}

inlined Mask above_where(Mask where, Floats a, Floats b) {
    return _mm512_mask_cmp_ps_mask(where, (__m512)a, (__m512)b, _CMP_GT_OQ);
}

inlined Mask above_as_ints(Mask where, Ints a, Ints b) {
    return _mm512_mask_cmpgt_epi32_mask(where, (__m512i)a, (__m512i)b);
}

inlined int is_everywhere(Mask where) { return where == 0xffff; }

inlined Mask is_finite(Floats values) {
    __m512i size = (__m512i)((Ints)values & 0x7fffffff);
    return _mm512_cmplt_epi32_mask(size, _mm512_set1_epi32(0x7f800000));
}

inlined Floats add_where(Mask where, Floats sum, Floats value) {
    return (Floats)_mm512_mask_add_ps((__m512)sum, where, (__m512)sum, (__m512)value);
}

inlined Floats min_where(Mask where, Floats least, Floats value) {
    return (Floats)_mm512_mask_min_ps((__m512)least, where, (__m512)least, (__m512)value);
}

inlined Floats max_where(Mask where, Floats most, Floats value) {
    return (Floats)_mm512_mask_max_ps((__m512)most, where, (__m512)most, (__m512)value);
}

inlined Mask at_least(Ints a, Ints b) { return _mm512_cmpge_epi32_mask((__m512i)a, (__m512i)b); }

inlined uint32_t list_lanes(Mask where) { return where; }

inlined Ints count_where(Mask where, Ints count) {
    return (Ints)_mm512_mask_add_epi32((__m512i)count, where, (__m512i)count, _mm512_set1_epi32(1));
}

inlined Ints set_where(Mask where, Ints before, Ints value) {
    return (Ints)_mm512_mask_mov_epi32((__m512i)before, where, (__m512i)value);
}

inlined Ints rotate(Ints bits) { return (Ints)_mm512_rol_epi32((__m512i)bits, 1); }
inlined Ints rotate_back(Ints bits) { return (Ints)_mm512_ror_epi32((__m512i)bits, 1); }

inlined Doubles widen(Floats values, int half) {
    if (half) return (Doubles)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)values, 1));
    return (Doubles)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)values));
}

/* Deviations of half a vector from their centre, 0 where the mask is not. */
inlined Doubles deviate(Mask where, const Floats *values, int half, Doubles centre) {
    __m256 part = _mm256_loadu_ps((const float *)values + half * LANES / 2);
    __mmask8 of_half = (__mmask8)(where >> (half * LANES / 2));
    return (Doubles)_mm512_maskz_sub_pd(of_half, _mm512_cvtps_pd(part), (__m512d)centre);
}
#else
typedef Ints Mask;

inlined Mask above(Floats a, Floats b) { return a > b; }
inlined Mask above_where(Mask where, Floats a, Floats b) { return where & (a > b); }
inlined Mask above_as_ints(Mask where, Ints a, Ints b) { return where & (a > b); }
inlined int is_everywhere(Mask where) { return (void)where, 0; } /* to find out takes too long */
inlined Mask is_finite(Floats values) { return is_number(values); }

inlined Floats add_where(Mask where, Floats sum, Floats value) {
    return sum + (Floats)((Ints)value & where);
}

inlined Floats min_where(Mask where, Floats least, Floats value) {
    return MIN(least, choose(where, value, splat(INFINITY)));
}

inlined Floats max_where(Mask where, Floats most, Floats value) {
    return MAX(most, choose(where, value, splat(-INFINITY)));
}

inlined Mask at_least(Ints a, Ints b) { return a >= b; }

inlined uint32_t list_lanes(Mask where) {
    uint32_t lanes = 0;
    for (int lane = 0; lane < LANES; lane++) lanes |= (uint32_t)(where[lane] & 1) << lane;
    return lanes;
}

inlined Ints count_where(Mask where, Ints count) { return count - where; }

inlined Ints set_where(Mask where, Ints before, Ints value) {
    return (where & value) | (~where & before);
}

inlined Ints rotate(Ints bits) { return (bits << 1) | (bits >> 31 & 1); }
inlined Ints rotate_back(Ints bits) { return (bits >> 1 & INT32_MAX) | (bits << 31); }

inlined Doubles widen(Floats values, int half) {
    HalfFloats part;
    memcpy(&part, (const float *)&values + half * LANES / 2, sizeof part);
    return __builtin_convertvector(part, Doubles);
}

inlined Doubles deviate(Mask where, const Floats *values, int half, Doubles centre) {
    HalfFloats part;
    HalfInts of_half;
    memcpy(&part, (const float *)values + half * LANES / 2, sizeof part);
    memcpy(&of_half, (const int32_t *)&where + half * LANES / 2, sizeof of_half);
    part = (HalfFloats)((HalfInts)part & of_half); /* what is not finite makes no exception */
    Doubles deviations = __builtin_convertvector(part, Doubles) - centre;
    return (Doubles)((Longs)deviations & __builtin_convertvector(of_half, Longs));
}
#endif
