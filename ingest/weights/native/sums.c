/* The sums that norms, cosines and baselines of a layer follow from, each weight read once.

   Compiled on the user's machine by `ingest.compilation`. Neurons are taken in blocks, and of a
   block some hundred dimensions at a time: these weights of gate, in and out, widened to float32,
   stay in the processor's cache while everything is summed that needs them. Within a chunk a lane
   adds some tens of products in float32; chunks and lanes are added in float64. Each block is
   computed by itself, so that results do not depend on how blocks are shared out to threads.
   Vectors are those of GCC and Clang.
*/

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif

#define LANES (BYTES / 4)
#define HALF (LANES / 2)
#define CHUNK 256             /* dimensions whose products are summed in float32 */
#define ROW (CHUNK + 16)      /* floats between rows: as a power of two they would share cache lines */
#define LARGE_PAGE (2 << 20)
#define LINE 64
#define AHEAD 16              /* dimensions that are asked for before they are read */
#define SQUARE 8              /* side of the squares that are transposed in registers */

typedef float Floats __attribute__((vector_size(BYTES), aligned(4)));
typedef float HalfFloats __attribute__((vector_size(BYTES / 2), aligned(4)));
typedef double Doubles __attribute__((vector_size(BYTES)));
typedef float Eight __attribute__((vector_size(32), aligned(4)));
typedef int32_t Places __attribute__((vector_size(32)));

#define inlined static inline __attribute__((always_inline))

enum { BFLOAT16, FLOAT16, FLOAT32 };
enum { GATE, IN, OUT, VECTORS };
enum { GATE_GATE, IN_IN, OUT_OUT, GATE_IN, GATE_OUT, IN_OUT, SUM_GATE, SUM_IN, SUM_OUT, SUMS };
enum { PAIR_IN_OUT, PAIR_GATE_OUT, PAIR_GATE_IN, PAIRS };

typedef struct {
    const void *values;       /* neurons × dimensions, NULL where there is no gate */
    int64_t row, column;      /* steps, in values, to the next neuron and the next dimension: one is 1 */
    int64_t type;
    const float *gain;        /* dimensions, or NULL: what the vector is multiplied by */
    const float *bias;        /* dimensions, or NULL: added up with the vector before it is */
} Vector;

typedef struct {
    Vector vectors[VECTORS];
    int64_t neurons, dimensions, block, means; /* means: whether the vectors' own sums are wanted */
    const int64_t *shifts, *first_shift;       /* of each block: shifts[first_shift[b] .. first_shift[b + 1]] */
    double *sums;             /* neurons, SUMS */
    double *biased;           /* neurons, VECTORS: the sum with the bias */
    double *pairs;            /* of each block, shift, pair: block values, of (i, i + shift) */
} Layer;

inlined float widen(const void *values, int64_t at, int64_t type) {
    if (type == FLOAT32) return ((const float *)values)[at];
#ifdef __FLT16_MAX__
    if (type == FLOAT16) return (float)((const _Float16 *)values)[at];
#endif
    uint32_t bits = (uint32_t)((const uint16_t *)values)[at] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inlined void read_rows(const Vector *v, int64_t type, int64_t first, int64_t n, int64_t from, int64_t width, float *tile) {
    for (int64_t i = 0; i < n; i++) {
        int64_t start = (first + i) * v->row + from;
        for (int64_t k = 0; k < width; k++) tile[i * ROW + k] = widen(v->values, start + k, type);
    }
}

#if defined(__clang__)
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(a, b, ...) __builtin_shuffle(a, b, (Places){__VA_ARGS__})
#endif

inlined void transpose(Eight r[SQUARE]) {
    Eight t[SQUARE];
    for (int i = 0; i < SQUARE; i += 2) {
        t[i] = MIX(r[i], r[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        t[i + 1] = MIX(r[i], r[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < SQUARE; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + j] = MIX(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            r[i + j + 2] = MIX(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int j = 0; j < 4; j++) {
        t[j] = MIX(r[j], r[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        t[j + 4] = MIX(r[j], r[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    memcpy(r, t, sizeof t);
}

/* Ask for the neurons of some dimensions, each of which is on a page of its own, before they are read. */
inlined void fetch_columns(const Vector *v, int64_t type, int64_t first, int64_t n, int64_t dimension) {
    int64_t size = type == FLOAT32 ? 4 : 2;
    for (int64_t j = 0; j < SQUARE; j++) {
        const char *start = (const char *)v->values + ((dimension + j) * v->column + first) * size;
        for (int64_t at = 0; at < n * size; at += LINE) __builtin_prefetch(start + at);
    }
}

inlined void read_columns(const Vector *v, int64_t type, int64_t first, int64_t n, int64_t from, int64_t width, float *tile) {
    int64_t squares = n / SQUARE * SQUARE, k = 0;
    for (; k + SQUARE <= width; k += SQUARE) {
        fetch_columns(v, type, first, n, from + k + AHEAD);
        for (int64_t i = 0; i < squares; i += SQUARE) {
            Eight rows[SQUARE];
            for (int j = 0; j < SQUARE; j++) {
                int64_t start = (from + k + j) * v->column + first + i;
                for (int l = 0; l < SQUARE; l++) rows[j][l] = widen(v->values, start + l, type);
            }
            transpose(rows);
            for (int j = 0; j < SQUARE; j++) *(Eight *)(tile + (i + j) * ROW + k) = rows[j];
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t rest = i < squares ? k : 0; rest < width; rest++)
            tile[i * ROW + rest] = widen(v->values, (from + rest) * v->column + first + i, type);
}

/* Read a chunk of a block's vectors; rows are filled up with zeros to whole vectors. */
static void read_tile(const Vector *v, int64_t first, int64_t n, int64_t from, int64_t width, float *tile) {
#define READ(name) \
    if (v->type == name) { \
        if (v->column == 1) read_rows(v, name, first, n, from, width, tile); \
        else read_columns(v, name, first, n, from, width, tile); \
    }
    READ(BFLOAT16) READ(FLOAT16) READ(FLOAT32)
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = width; k % LANES; k++) tile[i * ROW + k] = 0;
}

/* Fold a norm in: add up the bias with the vectors as they are, then multiply them by the gain. */
static void fold(const Vector *v, int64_t n, int64_t from, int64_t width, float *tile, double *biased) {
    for (int64_t i = 0; i < n; i++) {
        float *row = tile + i * ROW;
        if (v->bias) {
            double sum = 0;
            for (int64_t k = 0; k < width; k++) sum += (double)(row[k] * v->bias[from + k]);
            biased[i * VECTORS] += sum;
        }
        if (v->gain)
            for (int64_t k = 0; k < width; k++) row[k] *= v->gain[from + k];
    }
}

inlined void add(Doubles *total, Floats sum) {
    HalfFloats low, high;
    memcpy(&low, &sum, sizeof low);
    memcpy(&high, (char *)&sum + sizeof low, sizeof high);
    *total += __builtin_convertvector(low, Doubles) + __builtin_convertvector(high, Doubles);
}

inlined void sum_neuron(const float *g, const float *u, const float *o, int64_t width, int gated, int means, Doubles *total) {
    Floats s[SUMS] = {0};
    for (int64_t k = 0; k < width; k += LANES) {
        Floats in = *(const Floats *)(u + k), out = *(const Floats *)(o + k);
        s[IN_IN] += in * in, s[OUT_OUT] += out * out, s[IN_OUT] += in * out;
        if (means) s[SUM_IN] += in, s[SUM_OUT] += out;
        if (gated) {
            Floats gate = *(const Floats *)(g + k);
            s[GATE_GATE] += gate * gate, s[GATE_IN] += gate * in, s[GATE_OUT] += gate * out;
            if (means) s[SUM_GATE] += gate;
        }
    }
    for (int j = 0; j < (means ? SUMS : SUM_GATE); j++) add(total + j, s[j]);
}

inlined void sum_pair(const float *g, const float *u, const float *other_in, const float *other_out, int64_t width, int gated, Doubles *total, int64_t step) {
    Floats s[PAIRS] = {0};
    for (int64_t k = 0; k < width; k += LANES) {
        Floats in = *(const Floats *)(u + k), out = *(const Floats *)(other_out + k);
        s[PAIR_IN_OUT] += in * out;
        if (gated) {
            Floats gate = *(const Floats *)(g + k);
            s[PAIR_GATE_OUT] += gate * out;
            s[PAIR_GATE_IN] += gate * *(const Floats *)(other_in + k);
        }
    }
    for (int j = 0; j < PAIRS; j++) add(total + j * step, s[j]);
}

inlined double sum_lanes(Doubles v) {
    double sum = 0;
    for (int l = 0; l < HALF; l++) sum += v[l];
    return sum;
}

inlined void sum_tiles(const Layer *layer, float *const *tile, int64_t n, int64_t width, const int64_t *shift, int64_t shifts, int gated, int means, Doubles *own, Doubles *paired) {
    for (int64_t i = 0; i < n; i++) {
        const float *g = tile[GATE] + i * ROW, *u = tile[IN] + i * ROW, *o = tile[OUT] + i * ROW;
        sum_neuron(g, u, o, width, gated, means, own + i * SUMS);
        for (int64_t s = 0; s < shifts; s++) {
            int64_t j = (i + shift[s]) % n;
            sum_pair(g, u, tile[IN] + j * ROW, tile[OUT] + j * ROW, width, gated, paired + s * PAIRS * layer->block + i, layer->block);
        }
    }
}

static int sum_block(const Layer *layer, int64_t b, float *const *tile, Doubles *own, Doubles *paired) {
    int64_t first = b * layer->block, n = layer->neurons - first;
    if (n > layer->block) n = layer->block;
    const int64_t *shift = layer->shifts + layer->first_shift[b];
    int64_t shifts = layer->first_shift[b + 1] - layer->first_shift[b];
    memset(own, 0, n * SUMS * sizeof *own);
    memset(paired, 0, shifts * PAIRS * layer->block * sizeof *paired);
    for (int64_t from = 0; from < layer->dimensions; from += CHUNK) {
        int64_t width = layer->dimensions - from;
        if (width > CHUNK) width = CHUNK;
        for (int v = 0; v < VECTORS; v++)
            if (layer->vectors[v].values) {
                read_tile(layer->vectors + v, first, n, from, width, tile[v]);
                fold(layer->vectors + v, n, from, width, tile[v], layer->biased + first * VECTORS + v);
            }
        int gated = layer->vectors[GATE].values != NULL;
        if (gated && !layer->means) sum_tiles(layer, tile, n, width, shift, shifts, 1, 0, own, paired);
        else if (gated) sum_tiles(layer, tile, n, width, shift, shifts, 1, 1, own, paired);
        else sum_tiles(layer, tile, n, width, shift, shifts, 0, 1, own, paired);
    }
    for (int64_t k = 0; k < n * SUMS; k++) layer->sums[first * SUMS + k] = sum_lanes(own[k]);
    double *pairs = layer->pairs + layer->first_shift[b] * PAIRS * layer->block;
    for (int64_t k = 0; k < shifts * PAIRS * layer->block; k++) pairs[k] = sum_lanes(paired[k]);
    return 0;
}

/* Memory on large pages where there are any: small ones may lie so that they share the cache's sets. */
static void *reserve(size_t bytes) {
    size_t whole = (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    void *memory = aligned_alloc(LARGE_PAGE, whole);
#ifdef MADV_HUGEPAGE
    if (memory) madvise(memory, whole, MADV_HUGEPAGE);
#endif
    return memory;
}

/* Sum blocks from `begin` to `end`; 0 when there was memory for it. `biased` begins as zeros. */
int32_t sum_blocks(const Layer *layer, int64_t begin, int64_t end) {
    int64_t most = 0, block = layer->block;
    for (int64_t b = begin; b < end; b++) {
        int64_t shifts = layer->first_shift[b + 1] - layer->first_shift[b];
        if (shifts > most) most = shifts;
    }
    float *tiles = reserve(VECTORS * block * ROW * sizeof *tiles);
    Doubles *own = aligned_alloc(BYTES, block * (SUMS + most * PAIRS) * sizeof *own);
    int32_t failed = !tiles || !own;
    float *tile[VECTORS] = {tiles, tiles + block * ROW, tiles + 2 * block * ROW};
    for (int64_t b = begin; b < end && !failed; b++) sum_block(layer, b, tile, own, own + block * SUMS);
    free(tiles), free(own);
    return failed;
}

/* Whether the compiler knew the type of half precision. */
int32_t reads_float16(void) {
#ifdef __FLT16_MAX__
    return 1;
#else
    return 0;
#endif
}
