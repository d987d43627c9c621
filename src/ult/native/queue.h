/* Patches that wait to be looked up together. */

enum { STOP = 0xFF }; /* no byte of UTF-8 */

typedef struct {
    uint64_t low, high, hash; /* of a patch of up to sixteen bytes */
    const uint8_t *patch;
    int size; /* 0 where a record ends */
} Word;

typedef struct Tally Tally;

typedef struct {
    Memory *memory;
    const uint8_t *end; /* of the data: nothing is read from there on */
    uint32_t *first, *out;
    int64_t *ends, *last_end; /* of the records; where there is no more room for them */
    Tally *tally;             /* what patches are counted in; NULL where they are written */
    int64_t filled;           /* bytes in the buffer */
    int plain, many; /* whether only instructions are used that every processor has; words */
    Word words[AHEAD];
} Queue;

INLINE void put(Queue *queue, const uint8_t *patch, int64_t size, uint8_t stop) {
    Word *word = queue->words + queue->many++;
    word->patch = patch;
    word->size = *patch == stop ? 0 : (int)size;
    word->low = word->high = 0;
    if (UNLIKELY(size > NEAR)) return;
    if (LIKELY(patch + NEAR <= queue->end)) {
        memcpy(&word->low, patch, 8);
        memcpy(&word->high, patch + 8, 8);
        word->low &= FIRST[size][0];
        word->high &= FIRST[size][1];
    } else {
        memcpy(&word->low, patch, size < 8 ? size : 8);
        if (size > 8) memcpy(&word->high, patch + 8, size - 8);
    }
    word->hash = mixed(word->low, word->high, size);
    PREFETCH(queue->memory->rows + (word->hash & queue->memory->mask));
}

INLINE int is_in(const Row *row, const Word *word) {
    return ((row->low ^ word->low) | (row->high ^ word->high) | (uint64_t)(row->size ^ word->size)) == 0;
}

INLINE void end_record(Queue *queue, uint32_t *out) {
    if (queue->ends < queue->last_end) *queue->ends++ = out - queue->first;
}

static int ids_of_long(Memory *memory, const uint8_t *patch, int size, uint32_t *out) {
    uint64_t hash = hash_of_long(patch, size);
    const Row *row = find_long(memory, patch, size, hash);
    return row ? known(memory, row, out) : learnt(memory, patch, size, hash, 0, out);
}

static int ids_of_short(Memory *memory, const Word *word, uint32_t *out) {
    const Row *row = find_short(memory, word->size, word->low, word->high);
    return row ? known(memory, row, out) : learnt(memory, word->patch, word->size, word->low, word->high, out);
}

static void write_ids(Queue *queue) {
    Memory *memory = queue->memory;
    uint32_t *out = queue->out;
    for (const Word *word = queue->words; word < queue->words + queue->many; word++) {
        if (UNLIKELY((unsigned)word->size - 1 >= NEAR)) {
            if (word->size) out += ids_of_long(memory, word->patch, word->size, out);
            else end_record(queue, out);
            continue;
        }
        const Row *row = memory->rows + (word->hash & memory->mask);
        out += LIKELY(is_in(row, word)) ? known(memory, row, out) : ids_of_short(memory, word, out);
    }
    queue->out = out;
    queue->many = 0;
}

static void count_words(Queue *queue);

INLINE void flush(Queue *queue) {
    if (queue->tally) count_words(queue);
    else write_ids(queue);
}
