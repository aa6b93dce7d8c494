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
#define TOGETHER 3            /* pairs of a neuron that are summed in one loop */
#define SQUARE 8              /* side of the squares that are transposed in registers */

typedef float Floats __attribute__((vector_size(BYTES), aligned(4)));
typedef float HalfFloats __attribute__((vector_size(BYTES / 2), aligned(4)));
typedef double Doubles __attribute__((vector_size(BYTES)));
typedef float Eight __attribute__((vector_size(32), aligned(4)));
typedef int32_t Places __attribute__((vector_size(32)));

#define inlined static inline __attribute__((always_inline))
#define apart static __attribute__((noinline)) /* GCC gives loops too few registers where all is one function */

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

/* A chunk of a block: what is in the cache at a time. `n` is 0 or less behind the last block. */
typedef struct { int64_t first, n, from, width; } Part;

/* A neuron's vectors in the tiles. */
typedef struct { const float *gate, *in, *out; } Rows;

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

inlined void read_rows(const Vector *v, int64_t type, Part part, float *tile) {
    for (int64_t i = 0; i < part.n; i++) {
        int64_t start = (part.first + i) * v->row + part.from;
        for (int64_t k = 0; k < part.width; k++) tile[i * ROW + k] = widen(v->values, start + k, type);
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

inlined void read_columns(const Vector *v, int64_t type, Part part, float *tile) {
    int64_t squares = part.n / SQUARE * SQUARE, k = 0;
    for (; k + SQUARE <= part.width; k += SQUARE)
        for (int64_t i = 0; i < squares; i += SQUARE) {
            Eight rows[SQUARE];
            for (int j = 0; j < SQUARE; j++) {
                int64_t start = (part.from + k + j) * v->column + part.first + i;
                for (int l = 0; l < SQUARE; l++) rows[j][l] = widen(v->values, start + l, type);
            }
            transpose(rows);
            for (int j = 0; j < SQUARE; j++) *(Eight *)(tile + (i + j) * ROW + k) = rows[j];
        }
    for (int64_t i = 0; i < part.n; i++)
        for (int64_t rest = i < squares ? k : 0; rest < part.width; rest++)
            tile[i * ROW + rest] = widen(v->values, (part.from + rest) * v->column + part.first + i, type);
}

/* The type is constant where values are read: each is a function of its own. */
#define READER(name, type) \
    apart void name(const Vector *v, Part part, float *tile) { \
        if (v->column == 1) read_rows(v, type, part, tile); \
        else read_columns(v, type, part, tile); \
    }
READER(read_bfloat16, BFLOAT16)
READER(read_float16, FLOAT16)
READER(read_float32, FLOAT32)

/* Read a chunk of a block's vectors; rows are filled up with zeros to whole vectors. */
static void read_tile(const Vector *v, Part part, float *tile) {
    if (v->type == BFLOAT16) read_bfloat16(v, part, tile);
    else if (v->type == FLOAT16) read_float16(v, part, tile);
    else read_float32(v, part, tile);
    for (int64_t i = 0; i < part.n; i++)
        for (int64_t k = part.width; k % LANES; k++) tile[i * ROW + k] = 0;
}

inlined void fetch_values(const Vector *v, int64_t start, int64_t n) {
    int64_t size = v->type == FLOAT32 ? 4 : 2;
    const char *values = v->values;
    for (int64_t at = start * size; at < (start + n) * size; at += LINE) __builtin_prefetch(values + at);
}

/* Ask for the i-th neuron of a part that is read next, while another is summed: its row, or as large a share of columns. */
inlined void fetch(const Layer *layer, Part next, int64_t i) {
    for (int k = 0; k < VECTORS; k++) {
        const Vector *v = layer->vectors + k;
        if (!v->values) continue;
        if (v->column == 1) fetch_values(v, (next.first + i) * v->row + next.from, next.width);
        else
            for (int64_t d = i * next.width / next.n; d < (i + 1) * next.width / next.n; d++)
                fetch_values(v, (next.from + d) * v->column + next.first, next.n);
    }
}

/* Fold a norm in: add up the bias with the vectors as they are, then multiply them by the gain. */
static void fold(const Vector *v, Part part, float *tile, double *biased) {
    for (int64_t i = 0; i < part.n; i++) {
        float *row = tile + i * ROW;
        if (v->bias) {
            double sum = 0;
            for (int64_t k = 0; k < part.width; k++) sum += (double)(row[k] * v->bias[part.from + k]);
            biased[i * VECTORS] += sum;
        }
        if (v->gain)
            for (int64_t k = 0; k < part.width; k++) row[k] *= v->gain[part.from + k];
    }
}

inlined void add(Doubles *total, Floats sum) {
    HalfFloats low, high;
    memcpy(&low, &sum, sizeof low);
    memcpy(&high, (char *)&sum + sizeof low, sizeof high);
    *total += __builtin_convertvector(low, Doubles) + __builtin_convertvector(high, Doubles);
}

/* Add a neuron's own products, and those of some pairs, over a chunk. What does not depend on `k` is constant
   where this is called from: each case is a loop of its own. */
inlined void sum_rows(Rows rows, const Rows *others, int64_t width, int own, int pairs, int gated, int means, Doubles *total, Doubles *const *paired, int64_t step) {
    Floats s[SUMS] = {0}, p[TOGETHER][PAIRS] = {0};
    for (int64_t k = 0; k < width; k += LANES) {
        Floats in = *(const Floats *)(rows.in + k), gate = {0};
        if (gated) gate = *(const Floats *)(rows.gate + k);
        if (own) {
            Floats out = *(const Floats *)(rows.out + k);
            s[IN_IN] += in * in, s[OUT_OUT] += out * out, s[IN_OUT] += in * out;
            if (means) s[SUM_IN] += in, s[SUM_OUT] += out;
            if (gated) s[GATE_GATE] += gate * gate, s[GATE_IN] += gate * in, s[GATE_OUT] += gate * out;
            if (gated && means) s[SUM_GATE] += gate;
        }
        for (int q = 0; q < pairs; q++) {
            Floats out = *(const Floats *)(others[q].out + k);
            p[q][PAIR_IN_OUT] += in * out;
            if (gated) p[q][PAIR_GATE_OUT] += gate * out, p[q][PAIR_GATE_IN] += gate * *(const Floats *)(others[q].in + k);
        }
    }
    for (int j = 0; own && j < (means ? SUMS : SUM_GATE); j++) add(total + j, s[j]);
    for (int q = 0; q < pairs; q++)
        for (int j = 0; j < PAIRS; j++) add(paired[q] + j * step, p[q][j]);
}

inlined double sum_lanes(Doubles v) {
    double sum = 0;
    for (int l = 0; l < HALF; l++) sum += v[l];
    return sum;
}

inlined Rows find_rows(float *const *tile, int64_t i) {
    return (Rows){tile[GATE] + i * ROW, tile[IN] + i * ROW, tile[OUT] + i * ROW};
}

inlined void sum_tiles(const Layer *layer, float *const *tile, Part part, Part next, const int64_t *shift, int64_t shifts, int gated, int means, Doubles *own, Doubles *paired) {
    for (int64_t i = 0; i < part.n; i++) {
        Rows rows = find_rows(tile, i), others[TOGETHER];
        Doubles *to[TOGETHER];
        if (i < next.n) fetch(layer, next, i);
        for (int64_t s = 0; s == 0 || s < shifts; s += TOGETHER) {
            int pairs = shifts - s < TOGETHER ? shifts - s : TOGETHER;
            for (int q = 0; q < pairs; q++) {
                others[q] = find_rows(tile, (i + shift[s + q]) % part.n);
                to[q] = paired + (s + q) * PAIRS * layer->block + i;
            }
#define SUM(own_too, count) sum_rows(rows, others, part.width, own_too, count, gated, means, own + i * SUMS, to, layer->block)
            switch (pairs + (s ? TOGETHER : 0)) {
                case 0: SUM(1, 0); break;
                case 1: SUM(1, 1); break;
                case 2: SUM(1, 2); break;
                case 3: SUM(1, 3); break;
                case 4: SUM(0, 1); break;
                case 5: SUM(0, 2); break;
                case 6: SUM(0, 3);
            }
#undef SUM
        }
    }
}

#define SUM_TILES(name, gated, means) \
    apart void name(const Layer *layer, float *const *tile, Part part, Part next, const int64_t *shift, int64_t shifts, Doubles *own, Doubles *paired) { \
        sum_tiles(layer, tile, part, next, shift, shifts, gated, means, own, paired); \
    }
SUM_TILES(sum_gated, 1, 0)
SUM_TILES(sum_gated_with_means, 1, 1)
SUM_TILES(sum_ungated, 0, 1)

static Part find_part(const Layer *layer, int64_t b, int64_t from) {
    Part part = {b * layer->block, layer->neurons - b * layer->block, from, layer->dimensions - from};
    if (part.n > layer->block) part.n = layer->block;
    if (part.width > CHUNK) part.width = CHUNK;
    return part;
}

static void sum_block(const Layer *layer, int64_t b, float *const *tile, Doubles *own, Doubles *paired) {
    int64_t first = b * layer->block, n = find_part(layer, b, 0).n;
    const int64_t *shift = layer->shifts + layer->first_shift[b];
    int64_t shifts = layer->first_shift[b + 1] - layer->first_shift[b];
    memset(own, 0, n * SUMS * sizeof *own);
    memset(paired, 0, shifts * PAIRS * layer->block * sizeof *paired);
    for (int64_t from = 0; from < layer->dimensions; from += CHUNK) {
        int is_last = from + CHUNK >= layer->dimensions;
        Part part = find_part(layer, b, from), next = find_part(layer, b + is_last, is_last ? 0 : from + CHUNK);
        for (int v = 0; v < VECTORS; v++)
            if (layer->vectors[v].values) {
                read_tile(layer->vectors + v, part, tile[v]);
                fold(layer->vectors + v, part, tile[v], layer->biased + first * VECTORS + v);
            }
        int gated = layer->vectors[GATE].values != NULL;
        if (!gated) sum_ungated(layer, tile, part, next, shift, shifts, own, paired);
        else if (layer->means) sum_gated_with_means(layer, tile, part, next, shift, shifts, own, paired);
        else sum_gated(layer, tile, part, next, shift, shifts, own, paired);
    }
    for (int64_t k = 0; k < n * SUMS; k++) layer->sums[first * SUMS + k] = sum_lanes(own[k]);
    double *pairs = layer->pairs + layer->first_shift[b] * PAIRS * layer->block;
    for (int64_t k = 0; k < shifts * PAIRS * layer->block; k++) pairs[k] = sum_lanes(paired[k]);
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
