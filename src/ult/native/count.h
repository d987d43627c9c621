/* Counts patches in the arrays of ult.owner.bpe.patch_table, which does the same in Numba.

The rows of the memory lead from a patch to its number there, so that only a patch that is new to the memory is hashed as
the arrays ask, byte by byte. */

static const uint32_t LEFT_OUT = UINT32_MAX; /* the number of a patch that the sieve holds back */

struct Tally {
    int64_t *size; /* [patches, symbols, holders] */
    int32_t *slots;
    uint64_t *hashes;
    uint32_t *pool;
    int64_t *ends, *counts;
    int32_t *held, *last;
    uint64_t *record;
    int32_t *link;
    const uint8_t *grades;
    int64_t slot_count, pool_room, holder_room, buckets, least, limit;
    /* where the record that is being counted begins, and where the data end; its hash, once one is needed */
    const uint8_t *begin, *stop;
    uint64_t hash;
    int hashed;
};

/* Symbols are bytes or, where these are NULL, wide. */
INLINE uint32_t symbol_at(const uint8_t *bytes, const uint32_t *wide, int64_t i) { return bytes ? bytes[i] : wide[i]; }

INLINE uint64_t hash_run(const uint8_t *bytes, const uint32_t *wide, int64_t size) {
    uint64_t hash = (uint64_t)size * GOLDEN;
    for (int64_t i = 0; i < size; i++) {
        hash = (hash ^ symbol_at(bytes, wide, i)) * GOLDEN;
        hash ^= hash >> 32;
    }
    return hash;
}

static int passes(const Tally *tally, uint64_t hash) {
    for (int row = 0; tally->least > 0 && row < 3; row++)
        if (tally->grades[row * tally->buckets + (hash >> 20 * row & (uint64_t)(tally->buckets - 1))] < tally->least)
            return 0;
    return 1;
}

/* The number of a patch, which is entered if it is not there; there is room for it. */
INLINE uint32_t number_of(Tally *tally, const uint8_t *bytes, const uint32_t *wide, int64_t size) {
    uint64_t hash = hash_run(bytes, wide, size), mask = (uint64_t)tally->slot_count - 1, at = hash & mask;
    if (!passes(tally, hash)) return LEFT_OUT;
    for (; tally->slots[at] >= 0; at = (at + 1) & mask) {
        int32_t k = tally->slots[at];
        if (tally->hashes[k] != hash || tally->ends[k + 1] - tally->ends[k] != size) continue;
        int64_t i = 0;
        while (i < size && tally->pool[tally->ends[k] + i] == symbol_at(bytes, wide, i)) i++;
        if (i == size) return (uint32_t)k;
    }
    int64_t k = tally->size[0]++;
    tally->slots[at] = (int32_t)k;
    tally->hashes[k] = hash;
    for (int64_t i = 0; i < size; i++) tally->pool[tally->size[1] + i] = symbol_at(bytes, wide, i);
    tally->size[1] += size;
    tally->ends[k + 1] = tally->size[1];
    tally->counts[k] = 0;
    tally->held[k] = 0;
    tally->last[k] = -1;
    return (uint32_t)k;
}

/* Add a record, by its hash, to the holders of patch `k`, unless it is one of them. */
static void hold(Tally *tally, int64_t k, uint64_t hash) {
    for (int32_t node = tally->last[k]; node >= 0; node = tally->link[node])
        if (tally->record[node] == hash) return;
    int64_t node = tally->size[2]++;
    tally->record[node] = hash;
    tally->link[node] = tally->last[k];
    tally->last[k] = (int32_t)node;
    tally->held[k]++;
}

static uint64_t hash_of_record(Tally *tally) {
    if (!tally->hashed) {
        const uint8_t *end = memchr(tally->begin, STOP, tally->stop - tally->begin);
        tally->hash = hash_run(tally->begin, NULL, (end ? end : tally->stop) - tally->begin);
        tally->hashed = 1;
    }
    return tally->hash;
}

static uint32_t number_of_word(Queue *queue, const Word *word) {
    Memory *memory = queue->memory;
    int is_long = word->size > NEAR;
    uint64_t low = is_long ? hash_of_long(word->patch, word->size) : word->low, high = is_long ? 0 : word->high;
    const Row *row = is_long ? find_long(memory, word->patch, word->size, low) : find_short(memory, word->size, low, high);
    if (row) return row->ids[0];
    uint32_t number[2] = {number_of(queue->tally, word->patch, NULL, word->size), 0};
    remember(memory, word->patch, word->size, low, high, number, 1);
    return number[0];
}

static void count_words(Queue *queue) {
    Tally *tally = queue->tally;
    for (const Word *word = queue->words; word < queue->words + queue->many; word++) {
        if (word->size == 0) {
            tally->begin = word->patch + 1;
            tally->hashed = 0;
            continue;
        }
        const Row *row = queue->memory->rows + (word->hash & queue->memory->mask);
        uint32_t k = LIKELY(word->size <= NEAR && is_in(row, word)) ? row->ids[0] : number_of_word(queue, word);
        if (k == LEFT_OUT) continue;
        tally->counts[k]++;
        if (tally->limit > 1 && tally->held[k] < tally->limit) hold(tally, k, hash_of_record(tally));
    }
    queue->many = 0;
}

/* Whether there is room for all that records of so many bytes can bring. */
static int has_room(const Tally *tally, int64_t bytes) {
    return 2 * (tally->size[0] + bytes + 1) < tally->slot_count && tally->size[1] + bytes <= tally->pool_room &&
           tally->size[2] + bytes <= tally->holder_room;
}

/* Enter the first `many` patches, by their hashes, into slots[slot_count], which are all empty. */
PUBLIC void ult_fill_slots(int32_t *slots, int64_t slot_count, const uint64_t *hashes, int64_t many) {
    uint64_t mask = (uint64_t)slot_count - 1;
    for (int64_t k = 0; k < many; k++) {
        uint64_t at = hashes[k] & mask;
        while (slots[at] >= 0) at = (at + 1) & mask;
        slots[at] = (int32_t)k;
    }
}

/* Add patches that occur times[patches] each, patch k of which is symbols[ends[k - 1]:ends[k]], with their holders; there
   is room for all of them. */
PUBLIC void ult_merge_counts(Tally *tally, const uint32_t *symbols, const int64_t *ends, const int64_t *times,
                             int64_t patches, const int32_t *last, const uint64_t *record, const int32_t *link) {
    for (int64_t patch = 0, at = 0; patch < patches; at = ends[patch++]) {
        uint32_t k = number_of(tally, NULL, symbols + at, ends[patch] - at);
        if (k == LEFT_OUT) continue;
        tally->counts[k] += times[patch];
        for (int32_t node = last[patch]; node >= 0 && tally->held[k] < tally->limit; node = link[node])
            hold(tally, k, record[node]);
    }
}
