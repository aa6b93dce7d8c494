/* Products of neurons with the vocabulary in bfloat16 or in bytes, and what is wanted of them.

   Compiled on the user's machine by `ingest.compilation`. A block of 32 neurons x 32 tokens is
   multiplied, in tile registers (AMX) or in those of AVX-512 (products.h), and looked through
   before it leaves the first cache: scores that may be among a neuron's largest or smallest go to
   its lists (lists.h), powers or exponentials of all of them to its sums (sums.h). No score is read
   twice.

   Vectors come in pieces, whose sum is nearly the vector (pieces.h, `split.py`). A product of
   vectors is the sum of the products of pieces but for that of two second ones. */

#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__linux__)
#define HAS_TILES
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && defined(__AVX512VNNI__) && \
    (defined(HAS_TILES) || defined(__AVX512BF16__))

#include "lists.h"
#include "pieces.h"
#include "products.h"
#include "sums.h"

/* Whether 16 bits are faster in bytes: tile registers are faster still. */
int prefers_bytes(void) {
#ifdef HAS_TILES
    return 0;
#else
    return 1;
#endif
}

typedef struct {
    Product product;
    int64_t tokens, first_id;
    int64_t rows_at_a_time; /* neurons whose tiles the second cache holds, a multiple of 32 */
    List largest, smallest;
    Sums sums;              /* with null pointers for what is not wanted */
} Scan;

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
                multiply(&scan->product, row, token, block);
                for (int r = 0; r < BLOCK; r++) {
                    const float *at = find_scores(block, r);
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

#else

int is_available(void) { return 0; }

#endif
