/* Sums of a layer's activations over the tokens that each of many tests holds for.

   Compiled on the user's machine by `ingest.compilation`. A test holds for few tokens, and a value
   belongs to one sign case at most: so values are laid out case by case, 0 where the case is
   another, and of each test only the rows of its tokens are added up, in float64. Neurons are taken
   in strips, whose values of all tokens stay in the second cache while tests pass by. Each strip is
   computed by itself, so that sums do not depend on how strips are shared out to threads. Vectors
   are those of GCC and Clang.
*/

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define STRIP 16 /* neurons whose sums are taken together: in half of the registers, case by case */
#define LANES 8  /* sums that a register has */
#elif defined(__AVX__)
#define STRIP 8
#define LANES 4
#else
#define STRIP 4
#define LANES 2
#endif
#define PARTS (STRIP / LANES)
#define NEIGHBOURS 64 /* neurons whose values are read together */
#define MOST_CASES 4

#define inlined static inline __attribute__((always_inline))

/* One number of each neuron of a strip. */
typedef float Floats __attribute__((vector_size(STRIP * 4), aligned(4)));
typedef float Part __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef double Lanes __attribute__((vector_size(LANES * 8), aligned(8)));
typedef struct { Lanes of[PARTS]; } Doubles;
typedef int32_t Whether __attribute__((vector_size(STRIP * 4), aligned(4))); /* all ones where so */

/* What a sign case asks: 1 that a value is above 0, -1 below, 0 nothing. */
typedef struct { float pre, in; } Case;

typedef struct {
    const float *gate, *in, *post; /* tokens × neurons; gate is NULL where there is none */
    const float *sign;             /* neurons: what in and post of gated ones are multiplied by */
    const int64_t *rows;           /* the tokens that count */
    const int64_t *starts;         /* of each test, where its tokens begin in `held`; and the end */
    const int32_t *held;           /* places in `rows` of the tokens that a test holds for */
    int64_t neurons, n_rows, positions, tests, n_cases;
    Case cases[MOST_CASES];
    double *by_test;               /* cases × tests × neurons */
    double *total, *square;        /* cases × neurons */
    int32_t *fires;                /* positions × neurons */
} Pass;

inlined void add_up(Doubles *sums, const Floats *values) {
    for (int p = 0; p < PARTS; p++) sums->of[p] += __builtin_convertvector(((const Part *)values)[p], Lanes);
}

inlined void add_squares(Doubles *sums, const Floats *values) {
    for (int p = 0; p < PARTS; p++) {
        Lanes wide = __builtin_convertvector(((const Part *)values)[p], Lanes);
        sums->of[p] += wide * wide;
    }
}

inlined Floats load(const float *from, int n) {
    Floats values = {0};
    if (n == STRIP) return *(const Floats *)from;
    memcpy(&values, from, n * sizeof(float));
    return values;
}

inlined void add(double *into, const Doubles *sums, int n) {
    for (int k = 0; k < n; k++) into[k] += sums->of[k / LANES][k % LANES];
}

/* Makes all sums of neurons NaN that were infinite, or no number, anywhere. */
static void spoil(const Pass *pass, int64_t first, int n, Whether infinite) {
    for (int k = 0; k < n; k++)
        for (int64_t c = 0; infinite[k] && c < pass->n_cases; c++) {
            int64_t neuron = first + k;
            pass->total[c * pass->neurons + neuron] = NAN;
            pass->square[c * pass->neurons + neuron] = NAN;
            for (int64_t test = 0; test < pass->tests; test++)
                pass->by_test[(c * pass->tests + test) * pass->neurons + neuron] = NAN;
        }
}

/* Lays out the values of n neurons from `first`, up to STRIP, as rows × cases × STRIP, each 0 where
   the case does not hold, and adds what needs no test. */
inlined void lay_out(const Pass *pass, int64_t first, int n, Floats *values, const int n_cases) {
    Doubles total[MOST_CASES] = {0}, square[MOST_CASES] = {0};
    Whether infinite = {0};
    Floats sign = pass->gate ? load(pass->sign + first, n) : (Floats){0} + 1;
    for (int64_t i = 0; i < pass->n_rows; i++) {
        int64_t at = pass->rows[i] * pass->neurons + first;
        Floats in = load(pass->in + at, n) * sign, post = load(pass->post + at, n) * sign;
        Floats pre = pass->gate ? load(pass->gate + at, n) : in;
        infinite |= ~((post < INFINITY) & (post > -INFINITY));
        for (int c = 0; c < n_cases; c++) {
            Floats of_pre = pre * pass->cases[c].pre, of_in = in * pass->cases[c].in;
            Whether holds = (of_pre > 0) & (pass->cases[c].in ? of_in > 0 : ~(Whether){0});
            *values = (Floats)((Whether)post & holds);
            add_up(&total[c], values);
            add_squares(&square[c], values++);
        }
        int32_t *fires = pass->fires + pass->rows[i] % pass->positions * pass->neurons + first;
        Whether fired = pre > 0;
        for (int k = 0; k < n; k++) fires[k] -= fired[k];
    }
    for (int c = 0; c < n_cases; c++) {
        add(pass->total + c * pass->neurons + first, &total[c], n);
        add(pass->square + c * pass->neurons + first, &square[c], n);
    }
    spoil(pass, first, n, infinite);
}

/* Adds the rows of each test's tokens. */
inlined void add_tests(const Pass *pass, int64_t first, int n, const Floats *values, const int n_cases) {
    for (int64_t test = 0; test < pass->tests; test++) {
        Doubles sums[MOST_CASES] = {0};
        for (int64_t i = pass->starts[test]; i < pass->starts[test + 1]; i++)
            for (int c = 0; c < n_cases; c++) add_up(&sums[c], &values[pass->held[i] * n_cases + c]);
        for (int c = 0; c < n_cases; c++)
            add(pass->by_test + (c * pass->tests + test) * pass->neurons + first, &sums[c], n);
    }
}

/* Reads the strips of up to NEIGHBOURS neurons, then adds them test by test. */
inlined void add_strips(const Pass *pass, Floats *values, int64_t first, int64_t end, const int n_cases) {
    int64_t size = pass->n_rows * n_cases;
    for (int64_t from = first, strip = 0; from < end; from += STRIP, strip++)
        lay_out(pass, from, end - from < STRIP ? (int)(end - from) : STRIP, values + strip * size, n_cases);
    for (int64_t from = first, strip = 0; from < end; from += STRIP, strip++)
        add_tests(pass, from, end - from < STRIP ? (int)(end - from) : STRIP, values + strip * size, n_cases);
}

/* Adds the neurons from `first` to before `end` to all sums.

   `values` has room for rows × cases × NEIGHBOURS numbers. */
void add_held(const Pass *pass, Floats *values, int64_t first, int64_t end) {
    for (; first < end; first += NEIGHBOURS) {
        int64_t last = first + NEIGHBOURS < end ? first + NEIGHBOURS : end;
        if (pass->n_cases == MOST_CASES) add_strips(pass, values, first, last, MOST_CASES);
        else add_strips(pass, values, first, last, MOST_CASES / 2);
    }
}
