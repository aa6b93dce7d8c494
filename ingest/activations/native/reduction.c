/* The functions of `ingest.activations.reduction` for processors, each reading every value once.

   Compiled on the user's machine by `ingest.activations.native.library`. All sums are those that METHODS §5
   defines and the plain functions spell out; what differs is only the order of the work. Each
   neuron is computed by itself, in the order of texts and positions, so that results do not depend
   on how neurons are shared out to threads or vectors. Arrays are contiguous; shapes stand in the
   comments, with neurons last. Vectors are those of GCC and Clang.
*/

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
#define QUANTITIES 4          /* hook_post, hook_pre_linear, hook_pre, swish; at most so many cases */

typedef float Floats __attribute__((vector_size(BYTES)));
typedef int32_t Ints __attribute__((vector_size(BYTES)));
typedef float HalfFloats __attribute__((vector_size(BYTES / 2)));
typedef int32_t HalfInts __attribute__((vector_size(BYTES / 2)));
typedef double Doubles __attribute__((vector_size(BYTES)));
typedef int64_t Longs __attribute__((vector_size(BYTES)));

#define inlined static inline __attribute__((always_inline))

typedef struct {
    const float *post, *in, *gate, *swish; /* texts, positions, neurons; gate NULL: ungated; swish may be */
    const float *sign;                     /* neurons */
    const uint8_t *counted;                /* texts, positions */
    int64_t texts, positions, neurons;
} Batch;

typedef struct {
    int32_t *usable;    /* neurons */
    int32_t *positive;  /* 2, neurons: hook_pre, hook_post */
    int32_t *in_case;   /* cases, neurons */
    double *powers;     /* 2, 4, neurons */
    double *sum;        /* cases, quantities, neurons */
    float *low, *high;  /* cases, quantities, neurons */
    float *peaks;       /* lists, texts, neurons */
    int32_t *places;    /* lists, texts, neurons: the first position of each peak, 0 of none */
} Sums;

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

/* --- the reduction of a batch ------------------------------------------------------------ */

/* What is known of one vector of neurons so far; `least` and `most` are of the present text. */
typedef struct {
    Floats low[4][QUANTITIES], high[4][QUANTITIES], least[4][QUANTITIES], most[4][QUANTITIES], sign;
    Ints largest[4][QUANTITIES], place[4][QUANTITIES], count[4], usable, positive[2];
    Doubles powers[2][2][4];
    double sum[4][QUANTITIES][LANES], centre[2][LANES];
    int64_t start;
    int width;
} State;

inlined void begin(State *s, const Batch *b, const double *about, int64_t start, int width) {
    memset(s, 0, sizeof *s);
    s->start = start;
    s->width = width;
    s->sign = load(b->sign + start, width);
    for (int row = 0; row < 2; row++)
        memcpy(s->centre[row], about + row * b->neurons + start, width * sizeof(double));
    for (int c = 0; c < 4; c++)
        for (int q = 0; q < QUANTITIES; q++)
            s->low[c][q] = splat(INFINITY), s->high[c][q] = splat(-INFINITY);
}

inlined void begin_text(State *s) {
    for (int c = 0; c < 4; c++)
        for (int q = 0; q < QUANTITIES; q++)
            s->least[c][q] = splat(INFINITY), s->most[c][q] = splat(-INFINITY),
            s->largest[c][q] = (Ints){0} + INT32_MIN;
    memset(s->place, 0, sizeof s->place);
}

/* Numbers in the order of the values' sizes; of v and -v, the positive one is the larger. */
inlined Ints order_by_size(Floats values) { return rotate((Ints)values) ^ (INT32_MIN | 1); }

inlined Floats undo_order(Ints order) { return (Floats)rotate_back(order ^ (INT32_MIN | 1)); }

/* swish has lists where the gate is negative only: elsewhere it has the extremes of hook_pre. */
inlined int has_list(int list_case, int quantity) { return quantity != 3 || list_case >= 2; }

/* The sign that a case gives a quantity by its definition; 0: the activation function does. */
inlined int find_sign(int gated, int list_case, int quantity) {
    if (!gated) return quantity == 0 ? 0 : list_case == 0 ? 1 : -1;
    if (quantity == 1) return list_case % 2 == 0 ? 1 : -1;
    return quantity != 2 ? 0 : list_case < 2 ? 1 : -1;
}

/* The running sum and extremes of one quantity in one case, and where the peak stands: the first of
   the largest. */
typedef struct {
    Floats sum, least, most;
    Ints largest, place;
} Running;

inlined void add_value(Running *r, Mask inside, Floats value, Ints here, int sign, int listed) {
    r->sum = add_where(inside, r->sum, value);
    if (sign > 0) r->place = set_where(above_where(inside, value, r->most), r->place, here);
    if (sign < 0) r->place = set_where(above_where(inside, r->least, value), r->place, here);
    if (sign == 0 && listed) {
        const Ints order = order_by_size(value);
        const Mask larger = above_as_ints(inside, order, r->largest);
        r->largest = set_where(larger, r->largest, order);
        r->place = set_where(larger, r->place, here);
    }
    r->least = min_where(inside, r->least, value);
    r->most = max_where(inside, r->most, value);
}

/* Adds all quantities of a chunk in one case. */
inlined void add_case(State *s, const Chunk *k, int gated, int c, const int32_t *places) {
    const int quantities = gated ? 4 : 2;
    Running r[QUANTITIES];
    for (int q = 0; q < quantities; q++)
        r[q] = (Running){splat(0), s->least[c][q], s->most[c][q], s->largest[c][q], s->place[c][q]};
    for (int i = 0; i < k->n; i++) {
        const Mask inside = k->inside[c][i];
        const Ints here = (Ints){0} + places[i];
        for (int q = 0; q < quantities; q++)
            add_value(&r[q], inside, k->value[q][i], here, find_sign(gated, c, q), has_list(c, q));
    }
    for (int q = 0; q < quantities; q++) {
        add_wide(s->sum[c][q], r[q].sum);
        s->least[c][q] = r[q].least, s->most[c][q] = r[q].most;
        s->largest[c][q] = r[q].largest, s->place[c][q] = r[q].place;
    }
}

inlined void add_chunk(State *s, const Chunk *k, int gated, const int32_t *places) {
    const int cases = gated ? 4 : 2;
    const Floats *both[2] = {k->value[gated ? 2 : 1], k->value[0]};
    for (int i = 0; i < k->n; i++) {
        s->usable = count_where(k->usable[i], s->usable);
        for (int c = 0; c < cases; c++) s->count[c] = count_where(k->inside[c][i], s->count[c]);
        for (int row = 0; row < 2; row++)
            s->positive[row] =
                count_where(above(both[row][i], splat(0)) & k->usable[i], s->positive[row]);
    }
    for (int row = 0; row < 2; row++) {
        if (k->all_usable) add_powers(k, 1, both[row], s->centre[row], s->powers[row]);
        else add_powers(k, 0, both[row], s->centre[row], s->powers[row]);
    }
    add_case(s, k, gated, 0, places); /* one by one, so that each is compiled for its signs */
    add_case(s, k, gated, 1, places);
    if (gated) add_case(s, k, gated, 2, places);
    if (gated) add_case(s, k, gated, 3, places);
}

/* The peaks of a text, 0 where it has none. */
inlined Floats find_peaks(const State *s, int gated, int c, int q) {
    const int sign = find_sign(gated, c, q);
    Floats peak = sign > 0 ? s->most[c][q] : s->least[c][q];
    if (sign == 0) peak = undo_order(s->largest[c][q]);
    return add_where(is_finite(peak), splat(0), peak);
}

inlined void end_text(State *s, const Batch *b, int gated, int64_t text, const Sums *o) {
    const int cases = gated ? 4 : 2, quantities = gated ? 4 : 2;
    int64_t at = text * b->neurons + s->start;
    for (int c = 0; c < cases; c++)
        for (int q = 0; q < quantities; q++) {
            s->low[c][q] = MIN(s->low[c][q], s->least[c][q]);
            s->high[c][q] = MAX(s->high[c][q], s->most[c][q]);
            if (!has_list(c, q)) continue;
            Floats peak = find_peaks(s, gated, c, q);
            memcpy(o->peaks + at, &peak, s->width * sizeof(float));
            memcpy(o->places + at, &s->place[c][q], s->width * sizeof(int32_t));
            at += b->texts * b->neurons;
        }
}

inlined void end(const State *s, int gated, int64_t neurons, const Sums *o) {
    const int cases = gated ? 4 : 2, quantities = gated ? 4 : 2;
    const int64_t start = s->start, floats = s->width * sizeof(float), doubles = 2 * floats;
    memcpy(o->usable + start, &s->usable, floats);
    for (int row = 0; row < 2; row++) {
        memcpy(o->positive + row * neurons + start, &s->positive[row], floats);
        for (int k = 0; k < 4; k++) {
            Doubles both[2] = {s->powers[row][0][k], s->powers[row][1][k]};
            memcpy(o->powers + (row * 4 + k) * neurons + start, both, doubles);
        }
    }
    for (int c = 0; c < cases; c++) {
        memcpy(o->in_case + c * neurons + start, &s->count[c], floats);
        for (int q = 0; q < quantities; q++) {
            int64_t at = (c * quantities + q) * neurons + start;
            memcpy(o->sum + at, s->sum[c][q], doubles);
            memcpy(o->low + at, &s->low[c][q], floats);
            memcpy(o->high + at, &s->high[c][q], floats);
        }
    }
}

inlined void reduce_tile(const Batch *b, int gated, const double *about, const Sums *o,
                        int64_t start, int64_t stop) {
    State states[TILE];
    int n = 0;
    for (; start < stop; start += LANES)
        begin(&states[n++], b, about, start, stop - start < LANES ? (int)(stop - start) : LANES);
    for (int64_t text = 0; text < b->texts; text++) {
        for (int i = 0; i < n; i++) begin_text(&states[i]);
        for (int64_t position = 0; position < b->positions;) {
            int64_t rows[CHUNK];
            int32_t places[CHUNK];
            int counted = next_rows(b, text, &position, rows, places);
            Chunk chunks[TILE];
            Mask usable[TILE];
            for (int i = 0; i < n; i++) usable[i] = is_finite(splat(0));
            for (int row = 0; row < counted; row++)
                for (int i = 0; i < n; i++) {
                    const State *s = &states[i];
                    const int64_t at = rows[row] * b->neurons + s->start;
                    usable[i] &= s->width == LANES
                                     ? read_row(&chunks[i], row, b, gated, at, LANES, s->sign)
                                     : read_row(&chunks[i], row, b, gated, at, s->width, s->sign);
                }
            for (int i = 0; i < n; i++) {
                chunks[i].n = counted;
                chunks[i].all_usable = is_everywhere(usable[i]);
                add_chunk(&states[i], &chunks[i], gated, places);
            }
        }
        for (int i = 0; i < n; i++) end_text(&states[i], b, gated, text, o);
    }
    for (int i = 0; i < n; i++) end(&states[i], gated, b->neurons, o);
}

/* Sums over a batch, and each text's peaks, of the neurons from `first` up to `last`. */
void reduce_batch(const Batch *b, const double *about, const Sums *o, int64_t first, int64_t last) {
    for (int64_t start = first; start < last; start += TILE * LANES) {
        int64_t stop = last - start < TILE * LANES ? last : start + TILE * LANES;
        if (b->gate) reduce_tile(b, 1, about, o, start, stop);
        else reduce_tile(b, 0, about, o, start, stop);
    }
}

/* --- sums by text ------------------------------------------------------------------------ */

inlined void sum_texts(const Batch *b, int gated, double *sums, int64_t start, int width) {
    const double zero[LANES] = {0};
    const int64_t of_row = b->texts * b->neurons, doubles = width * sizeof(double);
    Floats sign = load(b->sign + start, width);
    for (int64_t text = 0; text < b->texts; text++) {
        Doubles powers[2][2][4];
        Ints counts[3] = {{0}};
        memset(powers, 0, sizeof powers);
        for (int64_t position = 0; position < b->positions;) {
            int64_t rows[CHUNK];
            int32_t places[CHUNK];
            Chunk k;
            int n = next_rows(b, text, &position, rows, places);
            read_chunk(&k, b, gated, rows, n, start, width, sign);
            const Floats *both[2] = {k.value[gated ? 2 : 1], k.value[0]};
            for (int row = 0; row < 2; row++) add_powers(&k, 0, both[row], zero, powers[row]);
            for (int i = 0; i < n; i++) {
                counts[0] = count_where(k.usable[i], counts[0]);
                for (int row = 0; row < 2; row++)
                    counts[1 + row] =
                        count_where(above(both[row][i], splat(0)) & k.usable[i], counts[1 + row]);
            }
        }
        double *to = sums + text * b->neurons + start;
        for (int row = 0; row < 3; row++)
            for (int i = 0; i < width; i++) to[row * of_row + i] = counts[row][i];
        for (int row = 0; row < 4; row++) {
            Doubles wide[2] = {powers[row / 2][0][row % 2], powers[row / 2][1][row % 2]};
            memcpy(to + (3 + row) * of_row, wide, doubles);
        }
    }
}

/* Of each text (7, texts, neurons): tokens, positive hook_pre and hook_post, hook_pre and its
   square, hook_post and its square. */
void sum_by_text(const Batch *b, double *sums, int64_t first, int64_t last) {
    for (int64_t start = first; start < last; start += LANES) {
        int width = last - start < LANES ? (int)(last - start) : LANES;
        if (b->gate) sum_texts(b, 1, sums, start, width);
        else sum_texts(b, 0, sums, start, width);
    }
}

/* --- centres of powers ------------------------------------------------------------------ */

#define WIDTH 256 /* neurons whose sums stay in the nearest cache */

/* Means of hook_pre and hook_post (2, neurons) over some rows (texts x positions), where all values
   are finite; 0 where none are. Sums go by sixteen rows, as PyTorch's of so few do. */
void find_centres(const Batch *b, const int64_t *rows, int64_t n_rows, double *centres,
                  int64_t first, int64_t last) {
    for (int64_t start = first; start < last; start += WIDTH) {
        const int width = last - start < WIDTH ? (int)(last - start) : WIDTH;
        double part[2][WIDTH] = {{0}}, sum[2][WIDTH] = {{0}};
        int32_t n[WIDTH] = {0};
        for (int64_t row = 0; row < n_rows; row++) {
            const int64_t at = rows[row] * b->neurons + start;
            const float *post = b->post + at, *in = b->in + at, *pre = b->gate ? b->gate + at : in;
            for (int i = 0; i < width; i++) {
                int usable = (fabsf(post[i]) < INFINITY) & (fabsf(in[i]) < INFINITY) &
                             (fabsf(pre[i]) < INFINITY);
                part[0][i] += usable ? pre[i] : 0;
                part[1][i] += usable ? post[i] : 0;
                n[i] += usable;
            }
            if (row % 16 != 15) continue;
            for (int q = 0; q < 2; q++)
                for (int i = 0; i < width; i++) sum[q][i] += part[q][i], part[q][i] = 0;
        }
        for (int i = 0; i < width; i++) {
            const double sign = b->gate ? b->sign[start + i] : 1, of = n[i] ? n[i] : 1;
            centres[start + i] = (part[0][i] + sum[0][i]) / of;
            centres[b->neurons + start + i] = sign * (part[1][i] + sum[1][i]) / of;
        }
    }
}

/* Means, and sums of the second to fourth power of deviations from them (4, 2, neurons), from sums
   of powers (2, 4, neurons) about some centres (2, neurons), as `compute_batch_totals` has them. */
void find_moments(const int32_t *usable, const double *powers, const double *centres,
                  double *moments, int64_t neurons, int64_t first, int64_t last) {
    for (int row = 0; row < 2; row++) {
        const double *s1 = powers + row * 4 * neurons, *s2 = s1 + neurons;
        const double *s3 = s2 + neurons, *s4 = s3 + neurons, *centre = centres + row * neurons;
        double *mean = moments + row * neurons, *second = mean + 2 * neurons;
        double *third = second + 2 * neurons, *fourth = third + 2 * neurons;
        for (int64_t i = first; i < last; i++) {
            const double n = usable[i] ? usable[i] : 1, d = s1[i] / n, square = d * d;
            mean[i] = centre[i] + d;
            second[i] = fmax(s2[i] - n * square, 0);
            third[i] = s3[i] - 3 * d * s2[i] + 2 * n * square * d;
            fourth[i] = fmax(
                s4[i] - 4 * d * s3[i] + 6 * square * s2[i] - 3 * n * square * square, 0);
        }
    }
}

/* --- histograms -------------------------------------------------------------------------- */

/* The bins of some values, each half an octave wide, outwards from the middle; mirrored without a
   branch. */
inlined Ints find_bins(Floats values, int32_t innermost, int32_t a_side) {
    Ints outwards = (((Ints)values & 0x7fffffff) >> 22) - (innermost - 1);
    outwards &= outwards > 0;
    Ints most = (Ints){0} + (a_side - 1), beyond = outwards > most;
    outwards = (outwards & ~beyond) | (most & beyond);
    return a_side + (outwards ^ (Ints)(values < 0));
}

inlined void count_row(const Batch *b, int gated, int64_t row, int32_t innermost, int32_t a_side,
                       int64_t *counts, int64_t first, int64_t last) {
    const int64_t bins = 2 * a_side, of_quantity = b->neurons * bins;
    for (int64_t n = first; n < last; n += LANES) {
        const int width = last - n < LANES ? (int)(last - n) : LANES;
        const int64_t at = row * b->neurons + n;
        Floats post = load(b->post + at, width), in = load(b->in + at, width), pre = in;
        if (gated) {
            Floats sign = load(b->sign + n, width);
            pre = load(b->gate + at, width);
            post *= sign;
            in *= sign;
        }
        Ints usable = is_number(post) & is_number(in) & is_number(pre);
        Ints of_post = find_bins(post, innermost, a_side), of_in = find_bins(in, innermost, a_side);
        Ints of_pre = find_bins(pre, innermost, a_side);
        int64_t *to = counts + n * bins;
        for (int lane = 0; lane < width; lane++, to += bins) {
            const int one = usable[lane] & 1;
            to[of_post[lane]] += one;
            to[of_quantity + of_in[lane]] += one;
            if (gated) to[2 * of_quantity + of_pre[lane]] += one;
        }
    }
}

/* Counts some rows (texts × positions) of a batch into `counts` (quantities, neurons, bins), a few
   neurons at a time, whose bins stay in the cache. */
void count_bins(const Batch *b, const int64_t *rows, int64_t n_rows, int32_t innermost,
                int32_t a_side, int64_t *counts, int64_t first, int64_t last) {
    for (int64_t start = first; start < last; start += 64) {
        int64_t stop = last - start < 64 ? last : start + 64;
        for (int64_t i = 0; i < n_rows; i++) {
            if (b->gate) count_row(b, 1, rows[i], innermost, a_side, counts, start, stop);
            else count_row(b, 0, rows[i], innermost, a_side, counts, start, stop);
        }
    }
}

/* --- sums by token ----------------------------------------------------------------------- */

/* As `cut_sums` of by_token.py: multiples of 2^-10, and of 2^-48 the rest. */
inlined void add_cut(double total, double *high, double *low) {
    const double high_shift = 1.5 * 0x1p42, low_shift = 1.5 * 0x1p4;
    double coarse = (total + high_shift) - high_shift;
    *high += coarse;
    *low += ((total - coarse) + low_shift) - low_shift;
}

inlined void add_segment(const Batch *b, int gated, int finite, const int64_t *rows, int64_t n,
                         double *high, double *low, int32_t *positive, int32_t *nonfinite,
                         int64_t start, int width) {
    double sums[WIDTH] = {0};
    int32_t opened[WIDTH] = {0}, left_out[WIDTH] = {0};
    for (int64_t row = 0; row < n; row++) {
        const int64_t at = rows[row] * b->neurons + start;
        const float *post = b->post + at, *in = b->in + at, *opens = gated ? b->gate + at : post;
        for (int i = 0; i < width; i++) {
            float value = post[i];
            int usable = finite || (fabsf(value) < INFINITY && fabsf(in[i]) < INFINITY &&
                                    fabsf(opens[i]) < INFINITY);
            sums[i] += usable ? value : 0;
            opened[i] += (opens[i] > 0) & usable;
            if (!finite) left_out[i] += !usable;
        }
    }
    for (int i = 0; i < width; i++) {
        add_cut(gated ? sums[i] * b->sign[start + i] : sums[i], high + i, low + i);
        positive[i] += opened[i];
        if (!finite) nonfinite[i] += left_out[i];
    }
}

/* Adds the rows (texts x positions) of each segment, which end at `ends`, to its row of the tables
   (segments, neurons): the two parts of the sum of hook_post, the counts of positive gates, and of
   what is not finite; that is NULL where everything is. */
void sum_by_token(const Batch *b, const int64_t *rows, const int64_t *segments,
                  const int64_t *ends, int64_t n_segments, double *high, double *low,
                  int32_t *positive, int32_t *nonfinite, int64_t first, int64_t last) {
    for (int64_t start = first; start < last; start += WIDTH) {
        const int width = last - start < WIDTH ? (int)(last - start) : WIDTH;
        for (int64_t i = 0, from = 0; i < n_segments; from = ends[i++]) {
            const int64_t to = segments[i] * b->neurons + start, n = ends[i] - from;
            double *h = high + to, *l = low + to;
            int32_t *p = positive + to;
            if (nonfinite && b->gate)
                add_segment(b, 1, 0, rows + from, n, h, l, p, nonfinite + to, start, width);
            else if (nonfinite)
                add_segment(b, 0, 0, rows + from, n, h, l, p, nonfinite + to, start, width);
            else if (b->gate) add_segment(b, 1, 1, rows + from, n, h, l, p, NULL, start, width);
            else add_segment(b, 0, 1, rows + from, n, h, l, p, NULL, start, width);
        }
    }
}

/* --- lists of texts ---------------------------------------------------------------------- */

/* Every element one place on; the first stays where it is. */
#if BYTES == 64
#define ONE_ON 0, 0, 1, 2, 3, 4, 5, 6
#elif BYTES == 32
#define ONE_ON 0, 0, 1, 2
#else
#define ONE_ON 0, 0
#endif
#if defined(__clang__)
#define MOVE_ON(v) __builtin_shufflevector(v, v, ONE_ON)
#else
#define MOVE_ON(v) __builtin_shuffle(v, (__typeof__(v)){ONE_ON})
#endif

/* The places of a list from `at` on, as many as Longs has, after an offer: what is smaller goes one
   place on. In descending order of `at`, so that what is read has not been written. */
inlined void shift_places(int64_t *key, int32_t *position, float *value, int64_t at, Longs offer,
                          int32_t offered_position, float offered_value) {
    Longs here, before;
    HalfInts place, place_before, number, number_before; /* of a value, its bits */
    int32_t bits;
    memcpy(&bits, &offered_value, sizeof bits);
    memcpy(&here, key + at, sizeof here);
    memcpy(&place, position + at, sizeof place);
    memcpy(&number, value + at, sizeof number);
    if (at) {
        memcpy(&before, key + at - 1, sizeof before);
        memcpy(&place_before, position + at - 1, sizeof place);
        memcpy(&number_before, value + at - 1, sizeof number);
    } else {
        before = MOVE_ON(here) | (Longs){INT64_MAX}; /* nothing comes from before the first */
        place_before = MOVE_ON(place);
        number_before = MOVE_ON(number);
    }
    const Longs goes = here < offer, comes = before < offer;
    const HalfInts goes_half = __builtin_convertvector(goes, HalfInts);
    const HalfInts comes_half = __builtin_convertvector(comes, HalfInts);
    here = (here & ~goes) | (goes & ((before & comes) | (offer & ~comes)));
    place = (place & ~goes_half) |
            (goes_half & ((place_before & comes_half) | (offered_position & ~comes_half)));
    number = (number & ~goes_half) |
             (goes_half & ((number_before & comes_half) | (bits & ~comes_half)));
    memcpy(key + at, &here, sizeof here);
    memcpy(position + at, &place, sizeof place);
    memcpy(value + at, &number, sizeof number);
}

/* Puts an offer where it belongs in a list, the last of which goes. */
inlined void insert_one(int64_t k, int64_t *key, int32_t *position, float *value, int64_t offer,
                        int32_t offered_position, float offered_value) {
    const int64_t at_once = LANES / 2;
    if (k % at_once == 0) {
        for (int64_t at = k - at_once; at >= 0; at -= at_once)
            shift_places(key, position, value, at, (Longs){0} + offer, offered_position,
                         offered_value);
        return;
    }
    int64_t place = k - 1;
    for (; place > 0 && key[place - 1] < offer; place--) {
        key[place] = key[place - 1];
        position[place] = position[place - 1];
        value[place] = value[place - 1];
    }
    key[place] = offer;
    position[place] = offered_position;
    value[place] = offered_value;
}

/* What a batch offers to lists: scores (lists, texts, neurons), 0 no offer; values and positions
   likewise; ordinals (texts). And the lists, key, position and value (lists, neurons, k), largest
   key first. */
typedef struct {
    const int32_t *scores;
    const float *values;
    const int32_t *positions;
    const int64_t *ordinals;
    int64_t *key;
    int32_t *position;
    float *value;
    int64_t lists, texts, neurons, k, last_ordinal;
} Offers;

/* Offers all texts to one list of a few neurons. Most soon are below its last place. */
inlined void insert_texts(const Offers *o, int64_t k, int64_t list, int64_t start, int width) {
    const int64_t begin = (list * o->neurons + start) * k;
    Ints last = {0}; /* no offer gets in with a smaller score */
    for (int lane = 0; lane < width; lane++)
        last[lane] = (int32_t)(o->key[begin + (lane + 1) * k - 1] >> 32);
    for (int64_t text = 0; text < o->texts; text++) {
        const int64_t at = (list * o->texts + text) * o->neurons + start;
        Ints scores = {0};
        memcpy(&scores, o->scores + at, width * sizeof(int32_t));
        uint32_t enters = list_lanes(at_least(scores, last) & at_least(scores, (Ints){0} + 1));
        for (; enters; enters &= enters - 1) {
            const int lane = __builtin_ctz(enters);
            const int64_t offer =
                (int64_t)o->scores[at + lane] << 32 | (o->last_ordinal - o->ordinals[text]);
            int64_t *key = o->key + begin + lane * k;
            if (offer <= key[k - 1]) continue;
            insert_one(k, key, o->position + begin + lane * k, o->value + begin + lane * k, offer,
                       o->positions[at + lane], o->values[at + lane]);
            last[lane] = (int32_t)(key[k - 1] >> 32);
        }
    }
}

/* Offers every text to every list of the neurons from `first` up to `last`. */
void insert(const Offers *o, int64_t first, int64_t last) {
    for (int64_t list = 0; list < o->lists; list++)
        for (int64_t start = first; start < last; start += LANES) {
            const int width = last - start < LANES ? (int)(last - start) : LANES;
            if (o->k == 16) insert_texts(o, 16, list, start, width);
            else insert_texts(o, o->k, list, start, width);
        }
}
