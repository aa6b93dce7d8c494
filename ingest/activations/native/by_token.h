/* Sums by token, exact in any order. */

#include "batch.h"

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
