/* The merges, and the memory of the patches that were met, each with its ids, or with the number by which it is counted. */

typedef struct {
    uint64_t low, high; /* a patch of up to 16 bytes; of a longer one, its hash and where its bytes are kept */
    uint32_t ids[2];    /* the first two */
    uint32_t place;     /* of all its ids, if it has more */
    uint16_t count;     /* of its ids */
    uint16_t size;      /* of the patch in bytes; 0 marks an empty row */
} Row;

typedef struct {
    int32_t left, right, order; /* two units, and when the pair was learnt; NEVER marks an empty place */
} Learnt;

typedef struct {
    Row *rows;
    uint64_t mask, used, most;
    uint32_t *ids;
    uint8_t *bytes;
    uint64_t ids_used, bytes_used, pool;
    Learnt *pairs;
    uint64_t *hints;      /* a bit for each pair, by its hash: most pairs that are asked for were never learnt */
    int32_t *first_pairs; /* of two symbols, when they were learnt: [alphabet][alphabet] */
    uint64_t pair_mask, hint_mask;
    uint32_t *unit_ids;
    int32_t alphabet;
    uint8_t *buffer; /* of short records, each with the byte STOP after it */
} Memory;

#define LOW(n) (((uint64_t)1 << 8 * (n)) - 1)
#define ALL (~(uint64_t)0)
static const uint64_t FIRST[NEAR + 1][2] = { /* of sixteen bytes, the first so many */
    {0, 0},        {LOW(1), 0},   {LOW(2), 0},   {LOW(3), 0},   {LOW(4), 0},   {LOW(5), 0},
    {LOW(6), 0},   {LOW(7), 0},   {ALL, 0},      {ALL, LOW(1)}, {ALL, LOW(2)}, {ALL, LOW(3)},
    {ALL, LOW(4)}, {ALL, LOW(5)}, {ALL, LOW(6)}, {ALL, LOW(7)}, {ALL, ALL},
};

INLINE uint64_t mixed(uint64_t low, uint64_t high, uint64_t size) {
    uint64_t hash = (low ^ size << 56) * GOLDEN ^ (high + size) * SILVER;
    return hash ^ hash >> 29 ^ hash >> 47;
}

INLINE uint64_t slot_of(uint64_t pair) {
    uint64_t hash = pair * GOLDEN;
    return hash ^ hash >> 32;
}

INLINE uint64_t hash_of_pair(int32_t left, int32_t right) {
    return slot_of((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
}

static Learnt *place_of(const Memory *memory, int32_t left, int32_t right, uint64_t hash) {
    uint64_t at = hash & memory->pair_mask;
    while (memory->pairs[at].order != NEVER && (memory->pairs[at].left != left || memory->pairs[at].right != right))
        at = (at + 1) & memory->pair_mask;
    return memory->pairs + at;
}

INLINE int32_t order_of(const Memory *memory, int32_t left, int32_t right) {
    uint64_t hash = hash_of_pair(left, right);
    int there = memory->hints[hash >> 6 & memory->hint_mask] >> (hash & 63) & 1;
    return there ? place_of(memory, left, right, hash)->order : NEVER;
}

/* Merge a patch, earliest pair first, each from left to right; write its ids, and return how many there are.

orders[i] says when the pair of units i and i + 1 was learnt; only those beside a new unit are looked up again. A pair
that holds the new unit was learnt after it, so the first of the earliest pairs is always the next. */
static int merged(const Memory *memory, const uint8_t *patch, int size, uint32_t *out) {
    int32_t units[MAX_PATCH], orders[MAX_PATCH];
    int last = size - 1; /* pairs */
    units[0] = patch[0];
    for (int i = 0; i < last; i++) {
        units[i + 1] = patch[i + 1];
        orders[i] = memory->first_pairs[units[i] * memory->alphabet + units[i + 1]];
    }
    for (;;) {
        int32_t first = NEVER;
        for (int i = 0; i < last; i++) first = orders[i] < first ? orders[i] : first;
        if (first == NEVER) break;
        int at = 0;
        while (orders[at] != first) at++;
        units[at] = memory->alphabet + first;
        last--;
        for (int i = at; i < last; i++) {
            units[i + 1] = units[i + 2];
            orders[i] = orders[i + 1];
        }
        if (at) orders[at - 1] = order_of(memory, units[at - 1], units[at]);
        if (at < last) orders[at] = order_of(memory, units[at], units[at + 1]);
    }
    for (int i = 0; i <= last; i++) out[i] = memory->unit_ids[units[i]];
    return last + 1;
}

/* Empty rows: in large pages where they fill some, because they are read in no order. */
static Row *new_rows(uint64_t many) {
#ifdef __linux__
    enum { LARGE = 1 << 21 };
    Row *rows = many * sizeof(Row) < LARGE ? NULL : aligned_alloc(LARGE, many * sizeof(Row));
    if (rows != NULL) {
        madvise(rows, many * sizeof(Row), MADV_HUGEPAGE);
        memset(rows, 0, many * sizeof(Row));
        return rows;
    }
#endif
    return calloc(many, sizeof(Row));
}

static void forget(Memory *memory) {
    memset(memory->rows, 0, (memory->mask + 1) * sizeof(Row));
    memory->used = memory->ids_used = memory->bytes_used = 0;
}

/* Twice the rows, or, where there are as many as there may be or no memory, all empty. */
static void make_room(Memory *memory) {
    uint64_t many = 2 * (memory->mask + 1);
    Row *rows = many <= memory->most ? new_rows(many) : NULL;
    if (rows == NULL) {
        forget(memory);
        return;
    }
    for (uint64_t old = 0; old <= memory->mask; old++) {
        Row *row = memory->rows + old;
        if (row->size == 0) continue;
        uint64_t at = mixed(row->low, row->size > NEAR ? 0 : row->high, row->size) & (many - 1);
        while (rows[at].size) at = (at + 1) & (many - 1);
        rows[at] = *row;
    }
    free(memory->rows);
    memory->rows = rows;
    memory->mask = many - 1;
}

/* Remember a patch and its `count` ids unless too many like it are there; those written to `out` are two at least. */
static void remember(Memory *memory, const uint8_t *patch, int size, uint64_t low, uint64_t high, const uint32_t *out,
                     int count) {
    if (2 * (memory->used + 1) > memory->mask) make_room(memory);
    if (memory->ids_used + count > memory->pool || memory->bytes_used + size > memory->pool) forget(memory);
    uint64_t at = mixed(low, high, size) & memory->mask;
    for (int tries = 0; memory->rows[at].size; at = (at + 1) & memory->mask)
        if (++tries > TRIES) return;
    Row *row = memory->rows + at;
    *row = (Row){low, high, {out[0], out[count > 1]}, (uint32_t)memory->ids_used, (uint16_t)count, (uint16_t)size};
    if (count > 2) {
        memcpy(memory->ids + memory->ids_used, out, sizeof(uint32_t) * count);
        memory->ids_used += count;
    }
    if (size > NEAR) {
        row->high = memory->bytes_used;
        memcpy(memory->bytes + memory->bytes_used, patch, size);
        memory->bytes_used += size;
    }
    memory->used++;
}

static int learnt(Memory *memory, const uint8_t *patch, int size, uint64_t low, uint64_t high, uint32_t *out) {
    int count = merged(memory, patch, size, out);
    remember(memory, patch, size, low, high, out, count);
    return count;
}

INLINE int known(const Memory *memory, const Row *row, uint32_t *out) {
    out[0] = row->ids[0];
    out[1] = row->ids[1];
    if (UNLIKELY(row->count > 2)) memcpy(out, memory->ids + row->place, sizeof(uint32_t) * row->count);
    return row->count;
}

INLINE uint64_t hash_of_long(const uint8_t *patch, int size) {
    uint64_t hash = size * GOLDEN, word;
    for (int i = 0; i < size; i += 8) {
        memcpy(&word, patch + (i + 8 <= size ? i : size - 8), 8);
        hash = (hash ^ word) * SILVER;
        hash ^= hash >> 31;
    }
    return hash;
}

static const Row *find_long(const Memory *memory, const uint8_t *patch, int size, uint64_t hash) {
    uint64_t at = mixed(hash, 0, size) & memory->mask;
    for (int tries = 0; memory->rows[at].size && tries <= TRIES; tries++, at = (at + 1) & memory->mask) {
        const Row *row = memory->rows + at;
        if (row->low == hash && row->size == size && !memcmp(memory->bytes + row->high, patch, size)) return row;
    }
    return NULL;
}

/* A row that is found beside its place changes places with the one there: the next time it is met at once. */
static const Row *find_short(Memory *memory, int size, uint64_t low, uint64_t high) {
    uint64_t home = mixed(low, high, size) & memory->mask, at = home;
    for (int tries = 0; memory->rows[at].size && tries <= TRIES; tries++, at = (at + 1) & memory->mask) {
        Row *row = memory->rows + at;
        if (row->low != low || row->high != high || row->size != size) continue;
        Row moved = *row;
        *row = memory->rows[home];
        memory->rows[home] = moved;
        return memory->rows + home;
    }
    return NULL;
}
