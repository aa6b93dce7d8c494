/* Sums over all scores of each neuron: of powers, and of exponentials. */

#include "pieces.h"

enum { POWERS = 4 };

/* Sums of the first four powers about a centre, and of exponentials of both signs. Lanes are
   partial sums in float32 of few tokens, which `flush` adds to those in float64. */
typedef struct {
    const float *centre;
    float *power_lanes; /* neurons x 4 x 16 */
    double *powers;     /* neurons x 4 */
    float *shift;       /* neurons x 2: what exponents are diminished by, the largest so far */
    float *exp_lanes;   /* neurons x 2 x 16 */
    double *exps;       /* neurons x 2 */
} Sums;

/* exp of numbers <= 0, to 2 units in the last place; below -87 as of that; of NaN, NaN. */
static inline __m512 exponential(__m512 x) {
    const __m512 log2_e = _mm512_set1_ps(1.44269504f);
    x = _mm512_max_ps(_mm512_set1_ps(-87), x);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, log2_e), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1)));
    return _mm512_scalef_ps(p, n);
}

static inline void add_powers(const Sums *sums, int64_t row, const __mmask16 *mask,
                              const __m512 *scores) {
    float *lanes = sums->power_lanes + row * POWERS * SIDE;
    __m512 centre = _mm512_set1_ps(sums->centre[row]);
    __m512 sum[POWERS];
    for (int p = 0; p < POWERS; p++) sum[p] = _mm512_loadu_ps(lanes + p * SIDE);
    for (int half = 0; half < 2; half++) {
        __m512 one = _mm512_maskz_sub_ps(mask[half], scores[half], centre);
        __m512 two = _mm512_mul_ps(one, one);
        sum[0] = _mm512_add_ps(sum[0], one);
        sum[1] = _mm512_add_ps(sum[1], two);
        sum[2] = _mm512_fmadd_ps(two, one, sum[2]);
        sum[3] = _mm512_fmadd_ps(two, two, sum[3]);
    }
    for (int p = 0; p < POWERS; p++) _mm512_storeu_ps(lanes + p * SIDE, sum[p]);
}

static inline void add_exponentials(const Sums *sums, int64_t row, int side,
                                    const __mmask16 *mask, const __m512 *scores) {
    float *lanes = sums->exp_lanes + (row * 2 + side) * SIDE, *shift = sums->shift + row * 2 + side;
    __m512 none = _mm512_set1_ps(-INFINITY), signed_[2];
    for (int half = 0; half < 2; half++)
        signed_[half] = _mm512_mask_sub_ps(
            none, mask[half], side ? _mm512_setzero_ps() : scores[half],
            side ? scores[half] : _mm512_setzero_ps());
    float largest = _mm512_reduce_max_ps(_mm512_max_ps(signed_[0], signed_[1]));
    __m512 sum = _mm512_loadu_ps(lanes);
    if (largest > *shift) {
        float factor = expf(*shift - largest);
        sum = _mm512_mul_ps(sum, _mm512_set1_ps(factor));
        sums->exps[row * 2 + side] *= factor;
        *shift = largest;
    }
    for (int half = 0; half < 2; half++)
        sum = _mm512_add_ps(
            sum, exponential(_mm512_sub_ps(signed_[half], _mm512_set1_ps(*shift))));
    _mm512_storeu_ps(lanes, sum);
}

static void flush(float *lanes, double *sums, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
        double sum = 0;
        for (int lane = 0; lane < SIDE; lane++) sum += lanes[i * SIDE + lane];
        sums[i] += sum;
        memset(lanes + i * SIDE, 0, SIDE * sizeof(float));
    }
}
