#pragma once

/* The values of a batch, read some counted positions at a time. */

#include "lanes.h"

typedef struct {
    const float *post, *in, *gate, *swish; /* texts, positions, neurons; gate NULL: ungated; swish may be */
    const float *sign;                     /* neurons */
    const uint8_t *counted;                /* texts, positions */
    int64_t texts, positions, neurons;
} Batch;

/* One vector of neurons at some counted positions of a text. */
typedef struct {
    Floats value[QUANTITIES][CHUNK];
    Mask inside[QUANTITIES][CHUNK], usable[CHUNK];
    int n, all_usable; /* that may be 0 where all are */
} Chunk;

inlined Floats load(const float *from, int width) {
    if (width == LANES) {
        Floats found;
        memcpy(&found, from, sizeof found);
        return found;
    }
    Floats found = {0};
    memcpy(&found, from, width * sizeof(float));
    return found;
}

/* Rows and positions of a text's next counted tokens, at most CHUNK; moves `position` on. */
inlined int next_rows(const Batch *b, int64_t text, int64_t *position, int64_t *rows,
                      int32_t *places) {
    int n = 0;
    for (; *position < b->positions && n < CHUNK; ++*position) {
        int64_t row = text * b->positions + *position;
        if (!b->counted[row]) continue;
        rows[n] = row;
        places[n++] = (int32_t)*position;
    }
    return n;
}

/* Reads the i-th position of a chunk from one row; returns where its values are usable. */
inlined Mask read_row(Chunk *c, int i, const Batch *b, int gated, int64_t at, int width,
                      Floats sign) {
    const Floats zero = splat(0);
    const int64_t ahead = at + AHEAD * b->neurons;
    Floats post = load(b->post + at, width), in = load(b->in + at, width), pre = in;
    Mask usable = is_finite(post) & is_finite(in);
    __builtin_prefetch(b->post + ahead); /* beyond the end it does nothing */
    __builtin_prefetch(b->in + ahead);
    if (gated) {
        pre = load(b->gate + at, width);
        usable &= is_finite(pre);
        post *= sign;
        in *= sign;
        c->value[1][i] = in;
        __builtin_prefetch(b->gate + ahead);
        if (b->swish) {
            c->value[3][i] = load(b->swish + at, width);
            __builtin_prefetch(b->swish + ahead);
        }
    }
    c->value[0][i] = post;
    c->value[gated ? 2 : 1][i] = pre;
    c->usable[i] = usable;
    const Mask up = above(pre, zero) & usable, down = above(zero, pre) & usable;
    if (gated) {
        const Mask in_up = above(in, zero), in_down = above(zero, in);
        c->inside[0][i] = up & in_up;
        c->inside[1][i] = up & in_down;
        c->inside[2][i] = down & in_up;
        c->inside[3][i] = down & in_down;
    } else {
        c->inside[0][i] = up;
        c->inside[1][i] = down;
    }
    return usable;
}

inlined void read_chunk(Chunk *c, const Batch *b, int gated, const int64_t *rows, int n,
                        int64_t start, int width, Floats sign) {
    c->n = n;
    c->all_usable = 0;
    for (int i = 0; i < n; i++)
        read_row(c, i, b, gated, rows[i] * b->neurons + start, width, sign);
}

/* Adds the first four powers of deviations from `about`. */
inlined void add_powers(const Chunk *c, int all_usable, const Floats *value, const double *about,
                        Doubles powers[2][4]) {
    for (int half = 0; half < 2; half++) {
        Doubles centre, *sums = powers[half];
        Doubles s1 = sums[0], s2 = sums[1], s3 = sums[2], s4 = sums[3];
        memcpy(&centre, about + half * LANES / 2, sizeof centre);
        for (int i = 0; i < c->n; i++) {
            Mask usable = all_usable ? is_finite(splat(0)) : c->usable[i];
            Doubles d = deviate(usable, &value[i], half, centre), square = d * d;
            s1 += d;
            s2 += square;
            s3 += square * d;
            s4 += square * square;
        }
        sums[0] = s1, sums[1] = s2, sums[2] = s3, sums[3] = s4;
    }
}

inlined void add_wide(double *sum, Floats part) {
    for (int half = 0; half < 2; half++) {
        Doubles s;
        memcpy(&s, sum + half * LANES / 2, sizeof s);
        s += widen(part, half);
        memcpy(sum + half * LANES / 2, &s, sizeof s);
    }
}
