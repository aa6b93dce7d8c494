/* Lists of texts: of each neuron those of the largest peaks. */

#include "lanes.h"

/* Every element one place on; the first stays where it is. */
#if BYTES == 64
#define ONE_ON 0, 0, 1, 2, 3, 4, 5, 6
#elif BYTES == 32
#define ONE_ON 0, 0, 1, 2
#else
#define ONE_ON 0, 0
#endif
#if defined(__clang__)
#define MOVE_ON(v) __builtin_shufflevector(v, v, ONE_ON)
#else
#define MOVE_ON(v) __builtin_shuffle(v, (__typeof__(v)){ONE_ON})
#endif

/* The places of a list from `at` on, as many as Longs has, after an offer: what is smaller goes one
   place on. In descending order of `at`, so that what is read has not been written. */
inlined void shift_places(int64_t *key, int32_t *position, float *value, int64_t at, Longs offer,
                          int32_t offered_position, float offered_value) {
    Longs here, before;
    HalfInts place, place_before, number, number_before; /* of a value, its bits */
    int32_t bits;
    memcpy(&bits, &offered_value, sizeof bits);
    memcpy(&here, key + at, sizeof here);
    memcpy(&place, position + at, sizeof place);
    memcpy(&number, value + at, sizeof number);
    if (at) {
        memcpy(&before, key + at - 1, sizeof before);
        memcpy(&place_before, position + at - 1, sizeof place);
        memcpy(&number_before, value + at - 1, sizeof number);
    } else {
        before = MOVE_ON(here) | (Longs){INT64_MAX}; /* nothing comes from before the first */
        place_before = MOVE_ON(place);
        number_before = MOVE_ON(number);
    }
    const Longs goes = here < offer, comes = before < offer;
    const HalfInts goes_half = __builtin_convertvector(goes, HalfInts);
    const HalfInts comes_half = __builtin_convertvector(comes, HalfInts);
    here = (here & ~goes) | (goes & ((before & comes) | (offer & ~comes)));
    place = (place & ~goes_half) |
            (goes_half & ((place_before & comes_half) | (offered_position & ~comes_half)));
    number = (number & ~goes_half) |
             (goes_half & ((number_before & comes_half) | (bits & ~comes_half)));
    memcpy(key + at, &here, sizeof here);
    memcpy(position + at, &place, sizeof place);
    memcpy(value + at, &number, sizeof number);
}

/* Puts an offer where it belongs in a list, the last of which goes. */
inlined void insert_one(int64_t k, int64_t *key, int32_t *position, float *value, int64_t offer,
                        int32_t offered_position, float offered_value) {
    const int64_t at_once = LANES / 2;
    if (k % at_once == 0) {
        for (int64_t at = k - at_once; at >= 0; at -= at_once)
            shift_places(key, position, value, at, (Longs){0} + offer, offered_position,
                         offered_value);
        return;
    }
    int64_t place = k - 1;
    for (; place > 0 && key[place - 1] < offer; place--) {
        key[place] = key[place - 1];
        position[place] = position[place - 1];
        value[place] = value[place - 1];
    }
    key[place] = offer;
    position[place] = offered_position;
    value[place] = offered_value;
}

/* What a batch offers to lists: scores (lists, texts, neurons), 0 no offer; values and positions
   likewise; ordinals (texts). And the lists, key, position and value (lists, neurons, k), largest
   key first. */
typedef struct {
    const int32_t *scores;
    const float *values;
    const int32_t *positions;
    const int64_t *ordinals;
    int64_t *key;
    int32_t *position;
    float *value;
    int64_t lists, texts, neurons, k, last_ordinal;
} Offers;

/* Offers all texts to one list of a few neurons. Most soon are below its last place. */
inlined void insert_texts(const Offers *o, int64_t k, int64_t list, int64_t start, int width) {
    const int64_t begin = (list * o->neurons + start) * k;
    Ints last = {0}; /* no offer gets in with a smaller score */
    for (int lane = 0; lane < width; lane++)
        last[lane] = (int32_t)(o->key[begin + (lane + 1) * k - 1] >> 32);
    for (int64_t text = 0; text < o->texts; text++) {
        const int64_t at = (list * o->texts + text) * o->neurons + start;
        Ints scores = {0};
        memcpy(&scores, o->scores + at, width * sizeof(int32_t));
        uint32_t enters = list_lanes(at_least(scores, last) & at_least(scores, (Ints){0} + 1));
        for (; enters; enters &= enters - 1) {
            const int lane = __builtin_ctz(enters);
            const int64_t offer =
                (int64_t)o->scores[at + lane] << 32 | (o->last_ordinal - o->ordinals[text]);
            int64_t *key = o->key + begin + lane * k;
            if (offer <= key[k - 1]) continue;
            insert_one(k, key, o->position + begin + lane * k, o->value + begin + lane * k, offer,
                       o->positions[at + lane], o->values[at + lane]);
            last[lane] = (int32_t)(key[k - 1] >> 32);
        }
    }
}

/* Offers every text to every list of the neurons from `first` up to `last`. */
void insert(const Offers *o, int64_t first, int64_t last) {
    for (int64_t list = 0; list < o->lists; list++)
        for (int64_t start = first; start < last; start += LANES) {
            const int width = last - start < LANES ? (int)(last - start) : LANES;
            if (o->k == 16) insert_texts(o, 16, list, start, width);
            else insert_texts(o, o->k, list, start, width);
        }
}
