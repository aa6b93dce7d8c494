/* Histograms of a batch. */

#include "batch.h"

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
