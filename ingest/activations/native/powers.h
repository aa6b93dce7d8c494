/* Centres of powers before a batch, and moments from powers after all of them. */

#include "batch.h"

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
