/* Products of neurons with the vocabulary in bfloat16, and what is wanted of them.

   Compiled on the user's machine by `ingest.compilation`. A block of 32 neurons x 32 tokens is
   multiplied, in tile registers (AMX) or in those of AVX-512, whose sums are float32, and looked
   through before it leaves the first cache: scores that may be among a neuron's largest or smallest
   go to its lists, powers or exponentials of all of them to its sums. No score is read twice.

   Vectors come in pieces: numbers of bfloat16 whose sum is nearly the vector (`split.py`). A
   product of vectors is the sum of the products of pieces but for that of two second ones. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__linux__)
#define HAS_TILES
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && (defined(HAS_TILES) || defined(__AVX512BF16__))

#include <immintrin.h>

enum {
    SIDE = 16,           /* rows, and tokens, of a tile register */
    DEPTH = 32,          /* numbers of a vector that a tile holds */
    TILE = SIDE * DEPTH, /* numbers of a tile */
    BLOCK = 2 * SIDE,    /* neurons, and tokens, of a block */
    POWERS = 4
};

/* --- pieces --------------------------------------------------------------------------- */

/* Rounds to the nearest bfloat16, ties to even; NaN stays NaN. */
static inline uint16_t round_number(float number) {
    uint32_t bits;
    memcpy(&bits, &number, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded;
}

static inline float widen(uint16_t number) {
    uint32_t bits = (uint32_t)number << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

/* Splits a row into `pieces` rows of `width` numbers, zeros at the end, `stride` apart. */
static void split_row(const float *row, int64_t d, int64_t width, int pieces, uint16_t *out,
                      int64_t stride) {
    memset(out + d, 0, (width - d) * 2);
    if (pieces > 1) memset(out + stride + d, 0, (width - d) * 2);
    for (int64_t i = 0; i < d; i++) out[i] = round_number(row[i]);
    if (pieces > 1)
        for (int64_t i = 0; i < d; i++) out[stride + i] = round_number(row[i] - widen(out[i]));
}

/* Packs the groups of 16 rows from `first` to before `end`, rows beyond `n` zero, as tiles.

   A tile of neurons has a row a neuron; a tile of tokens has a row for two places of the vectors,
   and in it both numbers of each token. Tiles of a group lie one after another, then the groups,
   then the pieces, `stride` numbers apart. */
void pack(const float *rows, int64_t n, int64_t d, int pieces, int of_tokens, uint16_t *out,
          int64_t stride, int64_t first, int64_t end) {
    int64_t steps = (d + DEPTH - 1) / DEPTH, width = steps * DEPTH;
    int64_t apart = 2 * width + DEPTH; /* no power of two: rows would share a set of the cache */
    uint16_t *split = malloc(SIDE * apart * 2);
    __m512i every_row = _mm512_mullo_epi32(
        _mm512_set1_epi32((int)(apart / 2)), /* in words of two numbers */
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    for (int64_t group = first; group < end; group++) {
        for (int r = 0; r < SIDE; r++) {
            uint16_t *into = split + r * apart;
            int64_t row = group * SIDE + r;
            if (row < n) split_row(rows + row * d, d, width, pieces, into, width);
            else memset(into, 0, 2 * width * 2);
        }
        for (int piece = 0; piece < pieces; piece++)
            for (int64_t step = 0; step < steps; step++) {
                uint16_t *tile = out + piece * stride + (group * steps + step) * TILE;
                const uint16_t *from = split + piece * width + step * DEPTH;
                for (int r = 0; r < SIDE; r++) {
                    __m512i words =
                        of_tokens ? _mm512_i32gather_epi32(every_row, (const int *)from + r, 4)
                                  : _mm512_loadu_si512(from + r * apart);
                    _mm512_storeu_si512(tile + r * DEPTH, words);
                }
            }
    }
    free(split);
}

/* --- lists ---------------------------------------------------------------------------- */

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

/* --- sums ----------------------------------------------------------------------------- */

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

/* --- products ------------------------------------------------------------------------- */

/* Packed vectors: pieces `stride` numbers apart. */
typedef struct {
    const uint16_t *tiles;
    int64_t stride;
} Packed;

typedef struct {
    Packed left, right;
    int64_t steps;           /* tiles of a group */
    int64_t tokens, first_id;
    int64_t rows_at_a_time;  /* neurons whose tiles the second cache holds, a multiple of 32 */
    int64_t left_pieces, right_pieces; /* that are multiplied, of those there are */
    List largest, smallest;
    Sums sums;               /* with null pointers for what is not wanted */
} Scan;

/* A block's scores: four tiles of float32, by neurons, then by tokens. */

#ifdef HAS_TILES

#include <sys/syscall.h>
#include <unistd.h>

/* Asks Linux for the tile registers, once a process: 1 where they may be used. */
int is_available(void) {
    enum { REQUEST = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

/* Of 32 numbers of a vector, 16 are summed into each of two sums, and these to what was there. */
int64_t count_additions(int64_t terms, int64_t steps) { return SIDE + 1 + terms * steps; }

/* What the tile registers are: eight of 16 rows of 64 bytes. */
static const struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} __attribute__((packed)) TILES = {
    .palette = 1,
    .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE},
};

static void prepare_registers(void) { _tile_loadconfig(&TILES); }
static void release_registers(void) { _tile_release(); }

/* Adds the products of the rows in registers 4 and 5 with the tokens in 6 and 7. */
static inline void add_products(void) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* Multiplies 32 neurons with 32 tokens.

   Loading is what takes the time, so every piece is loaded once a step; small products go first. */
static void multiply(const Scan *scan, int64_t row, int64_t token, float *block) {
    int64_t group = scan->steps * TILE;
    const uint16_t *a = scan->left.tiles + row / SIDE * group, *a_second = a + scan->left.stride;
    const uint16_t *b = scan->right.tiles + token / SIDE * group;
    const uint16_t *b_second = b + scan->right.stride;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t at = 0; at < group; at += TILE) {
        _tile_loadd(6, b + at, 64);
        _tile_loadd(7, b + group + at, 64);
        if (scan->left_pieces > 1) {
            _tile_loadd(4, a_second + at, 64);
            _tile_loadd(5, a_second + group + at, 64);
            add_products();
        }
        _tile_loadd(4, a + at, 64);
        _tile_loadd(5, a + group + at, 64);
        add_products();
        if (scan->right_pieces > 1) {
            _tile_loadd(6, b_second + at, 64);
            _tile_loadd(7, b_second + group + at, 64);
            add_products();
        }
    }
    _tile_stored(0, block, 64);
    _tile_stored(1, block + SIDE * SIDE, 64);
    _tile_stored(2, block + 2 * SIDE * SIDE, 64);
    _tile_stored(3, block + 3 * SIDE * SIDE, 64);
}

#else

int is_available(void) { return 1; }

/* Every number's product is added to the one sum of its lane. */
int64_t count_additions(int64_t terms, int64_t steps) { return terms * steps * DEPTH; }

static void prepare_registers(void) {}
static void release_registers(void) {}

enum { ROWS = 8 }; /* neurons whose sums with 32 tokens the registers hold */

static inline __m512bh load_pairs(const uint16_t *tokens) {
    return (__m512bh)_mm512_loadu_si512(tokens);
}

static inline __m512bh repeat_pair(const uint16_t *numbers) {
    int32_t pair;
    memcpy(&pair, numbers, 4);
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* Multiplies 8 neurons with 32 tokens: `a` is a row of a tile of neurons, `b` a tile of tokens, and
   at `next` from it is that of the next 16. */
static inline __attribute__((always_inline)) void multiply_rows(
    const Scan *scan, const uint16_t *a, const uint16_t *b, int more_left, int more_right,
    float *scores) {
    int64_t next = scan->steps * TILE;
    __m512 sums[ROWS][2];
    for (int r = 0; r < ROWS; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (int64_t at = 0; at < next; at += TILE)
        for (int pair = 0; pair < SIDE; pair++) {
            const uint16_t *row = a + at + 2 * pair, *tokens = b + at + DEPTH * pair;
            __m512bh right[2] = {load_pairs(tokens), load_pairs(tokens + next)}, lost[2];
            for (int half = 0; half < 2 && more_right; half++)
                lost[half] = load_pairs(tokens + scan->right.stride + half * next);
            for (int r = 0; r < ROWS; r++) {
                __m512bh first = repeat_pair(row + r * DEPTH);
                for (int half = 0; half < 2; half++) {
                    if (more_left) {
                        __m512bh small = repeat_pair(row + scan->left.stride + r * DEPTH);
                        sums[r][half] = _mm512_dpbf16_ps(sums[r][half], small, right[half]);
                    }
                    if (more_right)
                        sums[r][half] = _mm512_dpbf16_ps(sums[r][half], first, lost[half]);
                    sums[r][half] = _mm512_dpbf16_ps(sums[r][half], first, right[half]);
                }
            }
        }
    for (int r = 0; r < ROWS; r++)
        for (int half = 0; half < 2; half++)
            _mm512_store_ps(scores + half * SIDE * SIDE + r * SIDE, sums[r][half]);
}

/* Multiplies 32 neurons with 32 tokens. */
static void multiply(const Scan *scan, int64_t row, int64_t token, float *block) {
    int64_t group = scan->steps * TILE;
    const uint16_t *b = scan->right.tiles + token / SIDE * group;
    for (int r = 0; r < BLOCK; r += ROWS) {
        const uint16_t *a = scan->left.tiles + (row + r) / SIDE * group + r % SIDE * DEPTH;
        float *scores = block + r / SIDE * 2 * SIDE * SIDE + r % SIDE * SIDE;
        if (scan->left_pieces > 1 && scan->right_pieces > 1) multiply_rows(scan, a, b, 1, 1, scores);
        else if (scan->left_pieces > 1) multiply_rows(scan, a, b, 1, 0, scores);
        else if (scan->right_pieces > 1) multiply_rows(scan, a, b, 0, 1, scores);
        else multiply_rows(scan, a, b, 0, 0, scores);
    }
}

#endif

static inline void look(const Scan *scan, int64_t row, int64_t token, const __mmask16 *mask,
                        const __m512 *scores) {
    for (int half = 0; half < 2; half++) {
        __m512 high = _mm512_set1_ps(scan->largest.threshold[row]);
        __m512 low = _mm512_set1_ps(-scan->smallest.threshold[row]);
        __mmask16 above = _mm512_mask_cmp_ps_mask(mask[half], scores[half], high, _CMP_GE_OQ);
        __mmask16 below = _mm512_mask_cmp_ps_mask(mask[half], scores[half], low, _CMP_LE_OQ);
        int64_t id = scan->first_id + token + half * SIDE;
        if (above) append(&scan->largest, row, above, scores[half], id);
        if (below)
            append(&scan->smallest, row, below,
                   _mm512_sub_ps(_mm512_setzero_ps(), scores[half]), id);
    }
}

/* Adds the products of neurons from `first` to before `end` with all tokens to what is wanted.

   Both are multiples of 32. */
void scan(const Scan *scan, int64_t first, int64_t end) {
    float block[BLOCK * BLOCK] __attribute__((aligned(64)));
    const Sums *sums = &scan->sums;
    prepare_registers();
    for (int64_t from = first; from < end; from += scan->rows_at_a_time) {
        int64_t to = from + scan->rows_at_a_time < end ? from + scan->rows_at_a_time : end;
        for (int64_t token = 0; token < scan->tokens; token += BLOCK) {
            int64_t left = scan->tokens - token;
            __mmask16 mask[2] = {
                left >= SIDE ? 0xffff : (1u << left) - 1,
                left >= BLOCK ? 0xffff : left <= SIDE ? 0 : (1u << (left - SIDE)) - 1,
            };
            for (int64_t row = from; row < to; row += BLOCK) {
                multiply(scan, row, token, block);
                for (int r = 0; r < BLOCK; r++) {
                    const float *at = block + r / SIDE * 2 * SIDE * SIDE + r % SIDE * SIDE;
                    __m512 scores[2] = {_mm512_load_ps(at), _mm512_load_ps(at + SIDE * SIDE)};
                    look(scan, row + r, token, mask, scores);
                    if (sums->powers) add_powers(sums, row + r, mask, scores);
                    if (sums->exps) {
                        add_exponentials(sums, row + r, 0, mask, scores);
                        add_exponentials(sums, row + r, 1, mask, scores);
                    }
                }
            }
        }
    }
    release_registers();
    if (sums->powers) flush(sums->power_lanes, sums->powers, first * POWERS, end * POWERS);
    if (sums->exps) flush(sums->exp_lanes, sums->exps, first * 2, end * 2);
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
static const int WIDTH[] = {4, 2, 2};

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
    const char *ahead = (const char *)rows + next * d * WIDTH[type];
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (int64_t i = 0; i < d; i += SIDE) {
        __mmask16 mask = d - i >= SIDE ? 0xffff : (1u << (d - i)) - 1;
        _mm_prefetch(ahead + i * WIDTH[type], _MM_HINT_T0);
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

#else

int is_available(void) { return 0; }

#endif
