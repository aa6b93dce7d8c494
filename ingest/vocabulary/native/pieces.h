#pragma once

/* Vectors in pieces, packed as blocks are multiplied: numbers of bfloat16, or bytes.

   A piece of 32 numbers of bfloat16, or of 64 bytes, is as wide as a register: 16 vectors of that
   are a tile. */

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 16,           /* rows, and tokens, of a tile */
    WIDTH = 64,          /* bytes of a vector that a tile holds */
    TILE = SIDE * WIDTH, /* bytes of a tile */
    BLOCK = 2 * SIDE     /* neurons, and tokens, of a block */
};

/* Packed vectors: two pieces `stride` bytes apart, and for pieces of bytes what they are worth. */
typedef struct {
    uint8_t *tiles;
    int64_t stride;
    float *units;    /* a vector's numbers are so many times 256 first + second; NULL for bfloat16 */
    int32_t *totals; /* the sums of a neuron's first pieces and of its second */
} Packed;

/* --- numbers of bfloat16 ---------------------------------------------------------------- */

/* Rounds to the nearest bfloat16, ties to even; NaN stays NaN. */
static inline uint16_t round_number(float number) {
    uint32_t bits;
    memcpy(&bits, &number, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded;
}

static inline float widen(uint16_t number) {
    uint32_t bits = (uint32_t)number << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

static void split_into_halves(const float *row, int64_t d, int pieces, uint16_t *first,
                              uint16_t *second) {
    for (int64_t i = 0; i < d; i++) first[i] = round_number(row[i]);
    if (pieces > 1)
        for (int64_t i = 0; i < d; i++) second[i] = round_number(row[i] - widen(first[i]));
}

/* --- bytes ------------------------------------------------------------------------------ */

static const float LARGEST = 127 * 256; /* of the integers that a vector's numbers are in units */
static const float LEAST = 0x1p-100f;   /* a vector of smaller numbers counts as zero */
enum { OFFSET = 128 };                  /* what a token's bytes are raised by, to have no sign */

static inline __m512 load_numbers(const float *row, int64_t i, int64_t d) {
    return _mm512_maskz_loadu_ps(d - i >= SIDE ? 0xffff : (1u << (d - i)) - 1, row + i);
}

/* Returns the unit of a vector's integers: 0 for zeros, NaN where a number is not finite. */
static float find_unit(const float *row, int64_t d) {
    __m512 largest = _mm512_setzero_ps(), nothing = _mm512_setzero_ps();
    for (int64_t i = 0; i < d; i += SIDE) {
        __m512 x = load_numbers(row, i, d);
        largest = _mm512_max_ps(largest, _mm512_abs_ps(x));
        nothing = _mm512_fmadd_ps(x, _mm512_setzero_ps(), nothing);
    }
    float most = _mm512_reduce_max_ps(largest), lacking = _mm512_reduce_add_ps(nothing);
    if (lacking != 0) return NAN;
    return most < LEAST ? 0 : most / LARGEST;
}

/* Splits integers of 16 bits into two bytes with a sign each, raised by `offset`. */
static float split_into_bytes(const float *row, int64_t d, int offset, int8_t *first,
                              int8_t *second, int32_t *totals) {
    float unit = find_unit(row, d);
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i raised = _mm512_set1_epi32(offset);
    for (int64_t i = 0; i < d; i += SIDE) {
        __m512i whole = _mm512_setzero_si512();
        if (unit > 0)
            whole = _mm512_cvtps_epi32(_mm512_div_ps(load_numbers(row, i, d), _mm512_set1_ps(unit)));
        __m512i high = _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(128)), 8);
        __m512i low = _mm512_sub_epi32(whole, _mm512_slli_epi32(high, 8));
        sums[0] = _mm512_add_epi32(sums[0], high);
        sums[1] = _mm512_add_epi32(sums[1], low);
        __mmask16 there = d - i >= SIDE ? 0xffff : (1u << (d - i)) - 1;
        _mm512_mask_cvtepi32_storeu_epi8(first + i, there, _mm512_add_epi32(high, raised));
        _mm512_mask_cvtepi32_storeu_epi8(second + i, there, _mm512_add_epi32(low, raised));
    }
    for (int piece = 0; piece < 2; piece++) totals[piece] = _mm512_reduce_add_epi32(sums[piece]);
    return unit;
}

/* --- packing ---------------------------------------------------------------------------- */

/* Packs the groups of 16 rows from `first` to before `end`, rows beyond `n` zero, as tiles.

   A tile of neurons has a row a neuron; a tile of tokens has a row for four bytes of the vectors,
   and in it those of each token. Tiles of a group lie one after another, then the groups, then the
   pieces. */
void pack(const float *rows, int64_t n, int64_t d, int pieces, int of_tokens, const Packed *out,
          int64_t first, int64_t end) {
    int in_bytes = out->units != NULL;
    int64_t steps = ((in_bytes ? d : 2 * d) + WIDTH - 1) / WIDTH, width = steps * WIDTH;
    int64_t apart = 2 * width + WIDTH; /* no power of two: rows would share a set of the cache */
    uint8_t *split = calloc(SIDE, apart);
    __m512i every_row = _mm512_mullo_epi32(
        _mm512_set1_epi32((int)(apart / 4)),
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    for (int64_t group = first; group < end; group++) {
        for (int r = 0; r < SIDE; r++) {
            uint8_t *into = split + r * apart;
            int64_t row = group * SIDE + r;
            if (row >= n) {
                memset(into, 0, 2 * width);
                if (in_bytes) out->units[row] = NAN; /* whose scores are in no list */
            } else if (in_bytes)
                out->units[row] =
                    split_into_bytes(rows + row * d, d, of_tokens ? OFFSET : 0, (int8_t *)into,
                                     (int8_t *)into + width, out->totals + 2 * row);
            else
                split_into_halves(rows + row * d, d, pieces, (uint16_t *)into,
                                  (uint16_t *)(into + width));
        }
        for (int piece = 0; piece < pieces; piece++)
            for (int64_t step = 0; step < steps; step++) {
                uint8_t *tile = out->tiles + piece * out->stride + (group * steps + step) * TILE;
                const uint8_t *from = split + piece * width + step * WIDTH;
                for (int r = 0; r < SIDE; r++) {
                    __m512i words = of_tokens
                                        ? _mm512_i32gather_epi32(every_row, (const int *)from + r, 4)
                                        : _mm512_loadu_si512(from + r * apart);
                    _mm512_storeu_si512(tile + r * WIDTH, words);
                }
            }
    }
    free(split);
}
