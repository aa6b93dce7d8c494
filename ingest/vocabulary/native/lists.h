/* The largest scores of each neuron among all that pass by, and their order in float64. */

#include "pieces.h"

/* Candidates of some neurons in one direction: each neuron's `count` of `capacity`.

   Every token that scored `threshold` or more is among them: what scores `window` below the k-th
   largest score cannot be among the first k. They are looked through when they are `limit`; where
   they are too many, `threshold` is infinite. */
typedef struct {
    float *scores;
    int32_t *ids;
    int32_t *count;
    int32_t *limit;
    float *threshold;
    const float *window;
    int64_t capacity, k;
} List;

enum { SPARE = 64 }; /* candidates that are taken between two looks, at least */

/* Returns the k-th largest of n numbers, whose order it changes; 1 <= k <= n. */
static float select_largest(float *numbers, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1, place = k - 1;
    while (low < high) {
        float pivot = numbers[(low + high) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (numbers[i] > pivot) i++;
            while (numbers[j] < pivot) j--;
            if (i <= j) {
                float swapped = numbers[i];
                numbers[i++] = numbers[j];
                numbers[j--] = swapped;
            }
        }
        if (place <= j) high = j;
        else if (place >= i) low = i;
        else break;
    }
    return numbers[place];
}

/* Drops what cannot be among the first k. */
static void prune(const List *list, int64_t row) {
    float *scores = list->scores + row * list->capacity;
    int32_t *ids = list->ids + row * list->capacity, n = list->count[row], kept = 0;
    if (n < list->k) return;
    float sorted[n];
    memcpy(sorted, scores, n * sizeof(float));
    float least = select_largest(sorted, n, list->k) - list->window[row];
    if (least > list->threshold[row]) list->threshold[row] = least;
    for (int32_t i = 0; i < n; i++)
        if (scores[i] >= least) {
            scores[kept] = scores[i];
            ids[kept++] = ids[i];
        }
    list->count[row] = kept;
}

static void append(const List *list, int64_t row, __mmask16 which, __m512 scores, int64_t id) {
    int64_t end = row * list->capacity + list->count[row];
    __m512i ids = _mm512_add_epi32(
        _mm512_set1_epi32((int)id),
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    _mm512_mask_compressstoreu_ps(list->scores + end, which, scores);
    _mm512_mask_compressstoreu_epi32(list->ids + end, which, ids);
    list->count[row] += __builtin_popcount(which);
    if (list->count[row] <= list->limit[row]) return;
    prune(list, row);
    int64_t limit = 2 * list->count[row] + SPARE, most = list->capacity - SIDE;
    list->limit[row] = limit < most ? limit : most;
    if (list->count[row] > most) list->threshold[row] = INFINITY;
}

/* --- the order of a list -------------------------------------------------------------- */

typedef struct {
    double score;
    int32_t id;
} Place;

static int compare_places(const void *left, const void *right) {
    const Place *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return (a->id > b->id) - (a->id < b->id);
}

enum { FLOAT32, BFLOAT16, FLOAT16 };
static const int SIZES[] = {4, 2, 2};

/* Returns 16 numbers of a row, 0 where the mask is. */
static inline __m512 load(const void *rows, int type, int64_t at, __mmask16 mask) {
    if (type == FLOAT32) return _mm512_maskz_loadu_ps(mask, (const float *)rows + at);
    __m256i halves = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)rows + at);
    if (type == FLOAT16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* Multiplies a row with a vector, while the row `next` is on its way from memory. */
static double dot(const void *rows, int type, int64_t row, int64_t next, const float *vector,
                  int64_t d) {
    const char *ahead = (const char *)rows + next * d * SIZES[type];
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (int64_t i = 0; i < d; i += SIDE) {
        __mmask16 mask = d - i >= SIDE ? 0xffff : (1u << (d - i)) - 1;
        _mm_prefetch(ahead + i * SIZES[type], _MM_HINT_T0);
        __m512 x = load(rows, type, row * d + i, mask), y = _mm512_maskz_loadu_ps(mask, vector + i);
        low = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(x)),
                              _mm512_cvtps_pd(_mm512_castps512_ps256(y)), low);
        high = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)),
                               _mm512_cvtps_pd(_mm512_extractf32x8_ps(y, 1)), high);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

/* Writes the scores of the k largest of each neuron, in any order; -infinity beyond. */
void take_largest(const List *list, float *largest, int64_t first, int64_t end) {
    for (int64_t row = first; row < end; row++) {
        float *into = largest + row * list->k;
        int32_t n = list->count[row];
        float sorted[n + 1];
        memcpy(sorted, list->scores + row * list->capacity, n * sizeof(float));
        if (n > list->k) select_largest(sorted, n, list->k); /* those before it are not smaller */
        for (int64_t i = 0; i < list->k; i++) into[i] = i < n ? sorted[i] : -INFINITY;
    }
}

/* Multiplies the candidates of neurons from `first` to before `end` again, in float64, and writes
   the first k of each in order; -infinity and -1 beyond. Equal scores go by id: they are rounded
   to `decimals` (a power of ten), as other sums of the same products are. */
void settle(const List *list, double sign, const float *vectors, int64_t d, const void *rows,
            int type, double decimals, double *scores, int64_t *ids, int64_t first, int64_t end) {
    Place places[list->capacity];
    for (int64_t row = first; row < end; row++) {
        prune(list, row);
        int32_t n = list->count[row];
        const int32_t *candidates = list->ids + row * list->capacity;
        for (int32_t i = 0; i < n; i++) {
            int32_t id = candidates[i], next = candidates[i + 1 < n ? i + 1 : i];
            double score = sign * dot(rows, type, id, next, vectors + row * d, d);
            places[i] = (Place){nearbyint(score * decimals) / decimals, id};
        }
        qsort(places, n, sizeof(Place), compare_places);
        for (int64_t i = 0; i < list->k; i++) {
            scores[row * list->k + i] = i < n ? places[i].score : -INFINITY;
            ids[row * list->k + i] = i < n ? places[i].id : -1;
        }
    }
}
