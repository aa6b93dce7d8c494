/* The functions of `ingest.activations.reduction` for processors, each reading every value once.

   Compiled on the user's machine by `ingest.activations.native.library`. All sums are those that METHODS §5
   defines and the plain functions spell out; what differs is only the order of the work. Each
   neuron is computed by itself, in the order of texts and positions, so that results do not depend
   on how neurons are shared out to threads or vectors. Arrays are contiguous; shapes stand in the
   comments, with neurons last.
*/

#include "batch.h"
#include "by_token.h"
#include "histograms.h"
#include "lists.h"
#include "powers.h"

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
