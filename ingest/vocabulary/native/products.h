/* Products of a block of 32 neurons x 32 tokens: four tiles of float32, by neurons, then by tokens. */

#include "pieces.h"

typedef struct {
    Packed left, right;
    int64_t steps;                     /* tiles of a group */
    int64_t left_pieces, right_pieces; /* that are multiplied, of those there are */
} Product;

static inline const uint8_t *find_tiles(const Packed *packed, int64_t row, int64_t steps) {
    return packed->tiles + row / SIDE * steps * TILE + row % SIDE * WIDTH;
}

static inline float *find_scores(float *block, int r) {
    return block + r / SIDE * 2 * SIDE * SIDE + r % SIDE * SIDE;
}

/* Without tile registers a block is multiplied a few tiles of each vector at a time, which the first
   cache holds. */
enum { AT_A_TIME = 4 * TILE };

static inline int64_t find_end(const Product *product, int64_t at) {
    int64_t group = product->steps * TILE;
    return at + AT_A_TIME < group ? at + AT_A_TIME : group;
}

/* --- bfloat16 in tile registers ----------------------------------------------------------- */

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
} __attribute__((packed)) REGISTERS = {
    .palette = 1,
    .bytes = {WIDTH, WIDTH, WIDTH, WIDTH, WIDTH, WIDTH, WIDTH, WIDTH},
    .rows = {SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE},
};

static void prepare_registers(void) { _tile_loadconfig(&REGISTERS); }
static void release_registers(void) { _tile_release(); }

/* Adds the products of the rows in registers 4 and 5 with the tokens in 6 and 7. */
static inline void add_products(void) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* Loading is what takes the time, so every piece is loaded once a step; small products go first. */
static void multiply_halves(const Product *product, int64_t row, int64_t token, float *block) {
    int64_t group = product->steps * TILE;
    const uint8_t *a = find_tiles(&product->left, row, product->steps);
    const uint8_t *b = find_tiles(&product->right, token, product->steps);
    const uint8_t *a_second = a + product->left.stride, *b_second = b + product->right.stride;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t at = 0; at < group; at += TILE) {
        _tile_loadd(6, b + at, WIDTH);
        _tile_loadd(7, b + group + at, WIDTH);
        if (product->left_pieces > 1) {
            _tile_loadd(4, a_second + at, WIDTH);
            _tile_loadd(5, a_second + group + at, WIDTH);
            add_products();
        }
        _tile_loadd(4, a + at, WIDTH);
        _tile_loadd(5, a + group + at, WIDTH);
        add_products();
        if (product->right_pieces > 1) {
            _tile_loadd(6, b_second + at, WIDTH);
            _tile_loadd(7, b_second + group + at, WIDTH);
            add_products();
        }
    }
    _tile_stored(0, block, WIDTH);
    _tile_stored(1, block + SIDE * SIDE, WIDTH);
    _tile_stored(2, block + 2 * SIDE * SIDE, WIDTH);
    _tile_stored(3, block + 3 * SIDE * SIDE, WIDTH);
}

/* --- bfloat16 in those of AVX-512 --------------------------------------------------------- */

#else

int is_available(void) { return 1; }

/* Every number's product is added to the one sum of its lane. */
int64_t count_additions(int64_t terms, int64_t steps) { return terms * steps * WIDTH / 2; }

static void prepare_registers(void) {}
static void release_registers(void) {}

enum { ROWS = 8 }; /* neurons whose sums with 32 tokens the registers hold */

static inline __m512bh load_pairs(const uint8_t *tokens) {
    return (__m512bh)_mm512_loadu_si512(tokens);
}

static inline __m512bh repeat_pair(const uint8_t *numbers) {
    int32_t pair;
    memcpy(&pair, numbers, 4);
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* Adds products of 8 neurons, of which `a` is the first's row of a tile, with 32 tokens to the
   scores, of the tiles from `first` to before `end` of each. */
static inline __attribute__((always_inline)) void multiply_rows(
    const Product *product, const uint8_t *a, const uint8_t *b, int64_t first, int64_t end,
    int more_left, int more_right, float *scores) {
    int64_t group = product->steps * TILE;
    __m512 sums[ROWS][2];
    for (int r = 0; r < ROWS; r++)
        for (int half = 0; half < 2; half++)
            sums[r][half] = _mm512_load_ps(scores + half * SIDE * SIDE + r * SIDE);
    for (int64_t at = first; at < end; at += TILE)
        for (int pair = 0; pair < SIDE; pair++) {
            const uint8_t *row = a + at + 4 * pair, *tokens = b + at + WIDTH * pair;
            __m512bh right[2] = {load_pairs(tokens), load_pairs(tokens + group)}, lost[2];
            for (int half = 0; half < 2 && more_right; half++)
                lost[half] = load_pairs(tokens + product->right.stride + half * group);
            for (int r = 0; r < ROWS; r++) {
                __m512bh whole = repeat_pair(row + r * WIDTH);
                for (int half = 0; half < 2; half++) {
                    if (more_left) {
                        __m512bh rest = repeat_pair(row + product->left.stride + r * WIDTH);
                        sums[r][half] = _mm512_dpbf16_ps(sums[r][half], rest, right[half]);
                    }
                    if (more_right)
                        sums[r][half] = _mm512_dpbf16_ps(sums[r][half], whole, lost[half]);
                    sums[r][half] = _mm512_dpbf16_ps(sums[r][half], whole, right[half]);
                }
            }
        }
    for (int r = 0; r < ROWS; r++)
        for (int half = 0; half < 2; half++)
            _mm512_store_ps(scores + half * SIDE * SIDE + r * SIDE, sums[r][half]);
}

static void multiply_halves(const Product *product, int64_t row, int64_t token, float *block) {
    const uint8_t *b = find_tiles(&product->right, token, product->steps);
    int more_left = product->left_pieces > 1, more_right = product->right_pieces > 1;
    memset(block, 0, BLOCK * BLOCK * sizeof(float));
    for (int64_t at = 0, end; at < product->steps * TILE; at = end) {
        end = find_end(product, at);
        for (int r = 0; r < BLOCK; r += ROWS) {
            const uint8_t *a = find_tiles(&product->left, row + r, product->steps);
            float *scores = find_scores(block, r);
            if (more_left && more_right) multiply_rows(product, a, b, at, end, 1, 1, scores);
            else if (more_left) multiply_rows(product, a, b, at, end, 1, 0, scores);
            else if (more_right) multiply_rows(product, a, b, at, end, 0, 1, scores);
            else multiply_rows(product, a, b, at, end, 0, 0, scores);
        }
    }
}

#endif

/* --- bytes -------------------------------------------------------------------------------- */

enum { FEW = 4 }; /* neurons whose sums with 32 tokens, of two kinds, the registers hold */

static inline __m512i repeat_bytes(const uint8_t *bytes) {
    int32_t four;
    memcpy(&four, bytes, 4);
    return _mm512_set1_epi32(four);
}

/* Scores of a neuron with 16 tokens, from sums of first with first pieces, and of both with the
   other's second. The tokens' bytes were raised: what that gave is a multiple of the totals. */
static inline __m512 combine(const Product *product, int64_t row, int64_t token, __m512i large,
                             __m512i small) {
    const int32_t *totals = product->left.totals + 2 * row;
    large = _mm512_sub_epi32(large, _mm512_set1_epi32(OFFSET * totals[0]));
    small = _mm512_sub_epi32(small, _mm512_set1_epi32(OFFSET * (totals[0] + totals[1])));
    __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(large), _mm512_set1_ps(256),
                                 _mm512_cvtepi32_ps(small));
    __m512 unit = _mm512_set1_ps(256 * product->left.units[row]);
    return _mm512_mul_ps(_mm512_mul_ps(sum, unit), _mm512_loadu_ps(product->right.units + token));
}

/* Adds products of 4 neurons with 32 tokens to sums of both kinds: of first pieces, and of first
   with second ones. `a` is the first neuron's row of a tile. */
static inline void multiply_few(const Product *product, const uint8_t *a, const uint8_t *b,
                                int64_t first, int64_t end, int32_t *sums) {
    int64_t group = product->steps * TILE;
    __m512i large[FEW][2], small[FEW][2];
    for (int r = 0; r < FEW; r++)
        for (int half = 0; half < 2; half++) {
            large[r][half] = _mm512_load_si512(sums + (r * 2 + half) * SIDE);
            small[r][half] = _mm512_load_si512(sums + (r * 2 + half) * SIDE + BLOCK * BLOCK);
        }
    for (int64_t at = first; at < end; at += TILE)
        for (int four = 0; four < SIDE; four++) {
            const uint8_t *bytes = a + at + 4 * four, *tokens = b + at + WIDTH * four;
            __m512i whole[2], rest[2];
            for (int half = 0; half < 2; half++) {
                whole[half] = _mm512_loadu_si512(tokens + half * group);
                rest[half] = _mm512_loadu_si512(tokens + half * group + product->right.stride);
            }
            for (int r = 0; r < FEW; r++) {
                __m512i high = repeat_bytes(bytes + r * WIDTH);
                __m512i low = repeat_bytes(bytes + r * WIDTH + product->left.stride);
                for (int half = 0; half < 2; half++) {
                    large[r][half] = _mm512_dpbusd_epi32(large[r][half], whole[half], high);
                    small[r][half] = _mm512_dpbusd_epi32(small[r][half], rest[half], high);
                    small[r][half] = _mm512_dpbusd_epi32(small[r][half], whole[half], low);
                }
            }
        }
    for (int r = 0; r < FEW; r++)
        for (int half = 0; half < 2; half++) {
            _mm512_store_si512(sums + (r * 2 + half) * SIDE, large[r][half]);
            _mm512_store_si512(sums + (r * 2 + half) * SIDE + BLOCK * BLOCK, small[r][half]);
        }
}

static void multiply_bytes(const Product *product, int64_t row, int64_t token, float *block) {
    int32_t sums[2 * BLOCK * BLOCK] __attribute__((aligned(64))); /* a kind after the other */
    const uint8_t *b = find_tiles(&product->right, token, product->steps);
    memset(sums, 0, sizeof sums);
    for (int64_t at = 0, end; at < product->steps * TILE; at = end) {
        end = find_end(product, at);
        for (int r = 0; r < BLOCK; r += FEW)
            multiply_few(product, find_tiles(&product->left, row + r, product->steps), b, at, end,
                         sums + r * BLOCK);
    }
    for (int r = 0; r < BLOCK; r++)
        for (int half = 0; half < 2; half++) {
            const int32_t *large = sums + r * BLOCK + half * SIDE;
            __m512 scores = combine(product, row + r, token + half * SIDE, _mm512_load_si512(large),
                                    _mm512_load_si512(large + BLOCK * BLOCK));
            _mm512_store_ps(find_scores(block, r) + half * SIDE * SIDE, scores);
        }
}

/* Multiplies a block, in whichever pieces the vectors are. */
static void multiply(const Product *product, int64_t row, int64_t token, float *block) {
    if (product->left.units == NULL) multiply_halves(product, row, token, block);
    else multiply_bytes(product, row, token, block);
}
