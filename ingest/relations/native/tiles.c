/* The strongest of many scores, and what is counted of all of them, tile by tile.

   Compiled on the user's machine by `ingest.compilation`. A tile is a product of matrices: scores of
   some rows with some columns. Each row has two lists, of its largest scores and of its smallest,
   and so has each column. Nearly all scores are in none, so that a group of them is first compared
   with the least scores that are; comparisons and sums are loops that compilers make vectors of.
   What threads share out are rows of the one function and columns of the other: no list is
   anybody's but one thread's.
*/

#include <math.h>
#include <stdint.h>

#define GROUP 64   /* scores that are compared before anything is done with one of them */
#define SMALL 16   /* of a group with an entry, scores that are looked at one by one */
#define LANES 16   /* sums in float32 that are taken side by side */
#define BINNED 256 /* scores whose bins are known before any is counted */
#define APART 4    /* counts of a bin that lie apart, so that equal neighbours need not wait */

enum { NEAR, FAR, SIGNS };

/* Lists of scores times their sign, descending, and beside them with whom they are. */
typedef struct {
    float *scores;  /* lists × places; -infinity where none is */
    int64_t *ids;   /* lists × places */
    float *least;   /* lists: what a score must exceed; 0 at first */
    int64_t places; /* of a list */
} Lists;

typedef struct {
    const float *scores; /* rows × columns */
    int64_t rows, columns;
} Tile;

/* Puts a score where it belongs; equal ones stay before it. */
static void insert(const Lists *lists, int64_t list, float score, int64_t id) {
    float *scores = lists->scores + list * lists->places;
    int64_t *ids = lists->ids + list * lists->places, at = lists->places - 1;
    for (; at > 0 && scores[at - 1] < score; at--) {
        scores[at] = scores[at - 1];
        ids[at] = ids[at - 1];
    }
    scores[at] = score;
    ids[at] = id;
    float last = scores[lists->places - 1];
    if (last > 0) lists->least[list] = last;
}

static inline int any_beyond(const float *scores, float near, float far, int n) {
    int found = 0;
    for (int k = 0; k < n; k++) found |= (scores[k] > near) | (-scores[k] > far);
    return found;
}

static inline int any_beyond_own(const float *scores, const float *near, const float *far, int n) {
    int found = 0;
    for (int k = 0; k < n; k++) found |= (scores[k] > near[k]) | (-scores[k] > far[k]);
    return found;
}

/* Returns a number that at least `places` of the scores, times the sign, are above; 0 if unknown.

   A row is SMALL interleaved parts, each with a largest score: the `places`-th of these is reached by
   as many scores. */
static float find_floor(const float *scores, int64_t n, int64_t places, float sign) {
    float peaks[SMALL], peak = 0;
    if (n < SMALL || places > SMALL) return 0;
    for (int k = 0; k < SMALL; k++) peaks[k] = 0;
    for (int64_t at = 0; at + SMALL <= n; at += SMALL)
        for (int k = 0; k < SMALL; k++) {
            float score = sign * scores[at + k];
            peaks[k] = score > peaks[k] ? score : peaks[k];
        }
    for (int64_t place = 0; place < places; place++) {
        int largest = 0;
        for (int k = 1; k < SMALL; k++)
            if (peaks[k] > peaks[largest]) largest = k;
        peak = peaks[largest];
        peaks[largest] = 0;
    }
    return peak > 0 ? nextafterf(peak, 0) : 0;
}

/* Looks at those of SMALL scores or fewer that are beyond what a row's lists need. */
static inline void look_at_row(const Lists lists[SIGNS], int64_t list, float needed[SIGNS], const float *scores,
                               int n, int64_t id) {
    uint32_t found = 0;
    for (int k = 0; k < n; k++)
        found |= (uint32_t)((scores[k] > needed[NEAR]) | (-scores[k] > needed[FAR])) << k;
    for (; found; found &= found - 1) {
        int k = __builtin_ctz(found), sign = scores[k] > 0 ? NEAR : FAR;
        float score = sign == NEAR ? scores[k] : -scores[k];
        if (score <= needed[sign]) continue;
        insert(&lists[sign], list, score, id + k);
        if (lists[sign].least[list] > needed[sign]) needed[sign] = lists[sign].least[list];
    }
}

/* Lets the scores of rows from `first` to before `end` compete for the lists of these rows.

   The first row of the tile has the list `list`, its first column is `id`. */
void keep_of_rows(const Tile *tile, const Lists lists[SIGNS], int64_t list, int64_t id, int64_t first,
                  int64_t end) {
    for (int64_t row = first; row < end; row++) {
        const float *scores = tile->scores + row * tile->columns;
        float needed[SIGNS];
        for (int sign = 0; sign < SIGNS; sign++) {
            needed[sign] = lists[sign].least[list + row];
            if (needed[sign] == 0)
                needed[sign] = find_floor(scores, tile->columns, lists[sign].places, sign == NEAR ? 1 : -1);
        }
        int64_t at = 0;
        for (; at + GROUP <= tile->columns; at += GROUP)
            if (any_beyond(scores + at, needed[NEAR], needed[FAR], GROUP))
                for (int64_t k = at; k < at + GROUP; k += SMALL)
                    look_at_row(lists, list + row, needed, scores + k, SMALL, id + k);
        for (; at < tile->columns; at += SMALL) {
            int64_t left = tile->columns - at;
            look_at_row(lists, list + row, needed, scores + at, left < SMALL ? (int)left : SMALL, id + at);
        }
    }
}

/* Looks at those of SMALL scores or fewer that are beyond the least of their columns' lists. */
static inline void look_at_columns(const Lists lists[SIGNS], int64_t list, const float *scores, int n,
                                   int64_t id) {
    const float *near = lists[NEAR].least + list, *far = lists[FAR].least + list;
    uint32_t found = 0;
    for (int k = 0; k < n; k++) found |= (uint32_t)((scores[k] > near[k]) | (-scores[k] > far[k])) << k;
    for (; found; found &= found - 1) {
        int k = __builtin_ctz(found);
        int sign = scores[k] > 0 ? NEAR : FAR;
        insert(&lists[sign], list + k, sign == NEAR ? scores[k] : -scores[k], id);
    }
}

/* Lets the scores of columns from `first` to before `end` compete for the lists of these columns.

   The first column of the tile has the list `list`, its first row is `id`. */
void keep_of_columns(const Tile *tile, const Lists lists[SIGNS], int64_t list, int64_t id, int64_t first,
                     int64_t end) {
    const float *near = lists[NEAR].least + list, *far = lists[FAR].least + list;
    for (int64_t row = 0; row < tile->rows; row++) {
        const float *scores = tile->scores + row * tile->columns;
        int64_t at = first;
        for (; at + GROUP <= end; at += GROUP)
            if (any_beyond_own(scores + at, near + at, far + at, GROUP))
                for (int64_t k = at; k < at + GROUP; k += SMALL)
                    look_at_columns(lists, list + k, scores + k, SMALL, id + row);
        for (; at < end; at += SMALL)
            look_at_columns(lists, list + at, scores + at, end - at < SMALL ? (int)(end - at) : SMALL, id + row);
    }
}

/* Adds how many scores of each column from `first` to before `end` are `bound` or more, and −`bound`
   or less, to `counts`: signs × columns. */
void count_strong(const Tile *tile, float bound, int64_t *counts, int64_t first, int64_t end) {
    int64_t *near = counts, *far = counts + tile->columns;
    for (int64_t row = 0; row < tile->rows; row++) {
        const float *scores = tile->scores + row * tile->columns;
        for (int64_t k = first; k < end; k++) {
            near[k] += scores[k] >= bound;
            far[k] += -scores[k] >= bound;
        }
    }
}

/* What is known of all scores of some rows. */
typedef struct {
    double total, squares;
    float smallest, largest;
} Moments;

/* Adds rows from `first` to before `end` to what is known. */
void measure(const Tile *tile, Moments *moments, int64_t first, int64_t end) {
    for (int64_t row = first; row < end; row++) {
        const float *scores = tile->scores + row * tile->columns;
        float total[LANES] = {0}, squares[LANES] = {0}, low[LANES], high[LANES];
        for (int k = 0; k < LANES; k++) low[k] = moments->smallest, high[k] = moments->largest;
        int64_t whole = tile->columns / LANES * LANES;
        for (int64_t at = 0; at < whole; at += LANES)
            for (int k = 0; k < LANES; k++) {
                float score = scores[at + k];
                total[k] += score;
                squares[k] += score * score;
                low[k] = score < low[k] ? score : low[k];
                high[k] = score > high[k] ? score : high[k];
            }
        for (int64_t at = whole; at < tile->columns; at++) {
            float score = scores[at];
            total[at - whole] += score;
            squares[at - whole] += score * score;
            low[0] = score < low[0] ? score : low[0];
            high[0] = score > high[0] ? score : high[0];
        }
        for (int k = 0; k < LANES; k++) {
            moments->total += total[k];
            moments->squares += squares[k];
            if (low[k] < moments->smallest) moments->smallest = low[k];
            if (high[k] > moments->largest) moments->largest = high[k];
        }
    }
}

/* Adds scores of rows from `first` to before `end` to the bins that they are in, 2 × `half` of
   `width`, 0 at the middle edge and what is beyond in the outermost. Scores are multiplied by their
   column's scale first, where there is one. Counts are APART × bins. */
void count_bins(const Tile *tile, const float *scale, float width, int64_t half, int64_t *counts,
                int64_t first, int64_t end) {
    int32_t bins[BINNED];
    float highest = (float)(2 * half - 1), middle = (float)half;
    for (int64_t row = first; row < end; row++)
        for (int64_t at = 0; at < tile->columns; at += BINNED) {
            const float *scores = tile->scores + row * tile->columns + at;
            int64_t n = tile->columns - at < BINNED ? tile->columns - at : BINNED;
            for (int64_t k = 0; k < n; k++) {
                float score = scale ? scores[k] * scale[at + k] : scores[k];
                float bin = floorf(score / width) + middle;
                bins[k] = (int32_t)(bin > 0 ? bin < highest ? bin : highest : 0);
            }
            int64_t k = 0;
            for (; k + APART <= n; k += APART)
                for (int a = 0; a < APART; a++) counts[a * 2 * half + bins[k + a]]++;
            for (; k < n; k++) counts[bins[k]]++;
        }
}
