/* Writes UTF-8 records as the ids of a table: cuts them into patches, looks each up, and merges those not seen before.

The rule of the cut is that of ult.codecs.pretokenizer, and the merges are those of ult.owner.bpe.encoder, which do the
same in Numba; tests compare the two on hostile input. Nothing here knows of Python: it is loaded by ult.host.native.

A record is read in blocks of 64 bytes. One bit a byte says of which kind it is, and shifts of these bits say where
patches start, whatever the text. Of a block only the first 63 starts are used, because the last byte's may depend on
the byte after it, so blocks overlap by one. What bits cannot say (a patch of over 64 bytes) is cut by the rule itself.
Then the patches of the blocks are looked up together: their rows are asked for before the first of them is needed. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define AVX2 1
#include <cpuid.h>
#include <immintrin.h>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bytes are compared in words whose first byte is the lowest; the kernels in Numba do without"
#endif

#ifdef _WIN32
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define INLINE static __forceinline
#define LIKELY(x) (x)
#define PREFETCH(p) ((void)0)
static __forceinline int first_bit(uint64_t bits) { unsigned long at; _BitScanForward64(&at, bits); return (int)at; }
#else
#define INLINE static inline __attribute__((always_inline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define PREFETCH(p) __builtin_prefetch(p)
INLINE int first_bit(uint64_t bits) { return __builtin_ctzll(bits); }
#endif
#define UNLIKELY(x) (!LIKELY(!(x)))

typedef uint64_t bits64;

enum { MAX_PATCH = 64, DIGITS = 4, NEAR = 16, TRIES = 64, AHEAD = 96 };
enum { LETTER, DIGIT, SPACE, BREAK, OTHER };
static const uint64_t GOLDEN = 0x9E3779B97F4A7C15u, SILVER = 0xC2B2AE3D27D4EB4Fu;
static const int32_t NEVER = INT32_MAX;

/* ---- The rule, for one patch ---- */

INLINE int ascii_kind(uint8_t byte) {
    uint8_t letter = byte | 32;
    if (letter >= 'a' && letter <= 'z') return LETTER;
    if (byte >= '0' && byte <= '9') return DIGIT;
    if (byte == ' ') return SPACE;
    return byte >= '\t' && byte <= '\r' ? BREAK : OTHER;
}

/* Blocks of punctuation and symbols beyond ASCII; a record is UTF-8, so the second byte is there. */
static int kind_at(const uint8_t *data, int64_t at) {
    uint8_t lead = data[at];
    if (lead < 0x80) return ascii_kind(lead);
    if (lead == 0xC2) return OTHER;
    if (lead != 0xE2 && lead != 0xE3 && lead != 0xF0) return LETTER;
    uint8_t second = data[at + 1];
    return (lead == 0xE2 && second < 0xB0) || (lead == 0xE3 && second == 0x80) || (lead == 0xF0 && second == 0x9F)
               ? OTHER
               : LETTER;
}

static int width(uint8_t lead) { return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

static int64_t patch_end(const uint8_t *data, int64_t start, int64_t stop) {
    int64_t limit = start + MAX_PATCH < stop ? start + MAX_PATCH : stop, at = start;
    int kind = kind_at(data, at);
    if (kind == SPACE || kind == BREAK) {
        while (at < stop && at <= limit && (kind == SPACE || kind == BREAK)) {
            at++;
            kind = at < stop ? kind_at(data, at) : BREAK;
        }
        if (at == stop || data[at - 1] != ' ') return at < limit ? at : limit;
        if (at - 1 > start) return at - 1 < limit ? at - 1 : limit;
    }
    if (data[at] == '\'' && at + 1 < stop && kind_at(data, at + 1) == LETTER) {
        at++;
        kind = LETTER;
    }
    if (kind == DIGIT && at + DIGITS < limit) limit = at + DIGITS;
    while (at < limit && kind_at(data, at) == kind && at + width(data[at]) <= limit) at += width(data[at]);
    return at;
}

/* ---- The merges, and the memory of patches ---- */

typedef struct {
    uint64_t low, high; /* a patch of up to 16 bytes; of a longer one, its hash and where its bytes are kept */
    uint32_t ids[2];    /* the first two */
    uint32_t place;     /* of all its ids, if it has more */
    uint16_t count;     /* of its ids */
    uint16_t size;      /* of the patch in bytes; 0 marks an empty row */
} Row;

typedef struct {
    Row *rows;
    uint64_t mask, used, most;
    uint32_t *ids;
    uint8_t *bytes;
    uint64_t ids_used, bytes_used, pool;
    int32_t *slots; /* of the pairs */
    uint64_t *pairs;
    uint64_t pair_mask;
    uint32_t *unit_ids;
    int32_t alphabet;
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

static int32_t order_of(const Memory *memory, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, at = slot_of(pair) & memory->pair_mask;
    for (; memory->slots[at] >= 0; at = (at + 1) & memory->pair_mask)
        if (memory->pairs[memory->slots[at]] == pair) return memory->slots[at];
    return NEVER;
}

/* Merge a patch, earliest pair first, each from left to right; write its ids, and return how many there are. */
static int merged(const Memory *memory, const uint8_t *patch, int size, uint32_t *out) {
    int32_t units[MAX_PATCH], orders[MAX_PATCH];
    for (int i = 0; i < size; i++) units[i] = patch[i];
    for (;;) {
        int32_t first = NEVER;
        for (int i = 0; i + 1 < size; i++) {
            orders[i] = order_of(memory, units[i], units[i + 1]);
            if (orders[i] < first) first = orders[i];
        }
        if (first == NEVER) break;
        int left = 0;
        for (int i = 0; i < size; left++) {
            int joins = i + 1 < size && orders[i] == first;
            units[left] = joins ? memory->alphabet + first : units[i];
            i += 1 + joins;
        }
        size = left;
    }
    for (int i = 0; i < size; i++) out[i] = memory->unit_ids[units[i]];
    return size;
}

static void forget(Memory *memory) {
    memset(memory->rows, 0, (memory->mask + 1) * sizeof(Row));
    memory->used = memory->ids_used = memory->bytes_used = 0;
}

/* Twice the rows, or, where there are as many as there may be or no memory, all empty. */
static void make_room(Memory *memory) {
    uint64_t many = 2 * (memory->mask + 1);
    Row *rows = many <= memory->most ? calloc(many, sizeof(Row)) : NULL;
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

/* Merge a patch that is not in memory, and remember it unless too many like it are there. */
static int learnt(Memory *memory, const uint8_t *patch, int size, uint64_t low, uint64_t high, uint32_t *out) {
    int count = merged(memory, patch, size, out);
    if (2 * (memory->used + 1) > memory->mask) make_room(memory);
    if (memory->ids_used + count > memory->pool || memory->bytes_used + size > memory->pool) forget(memory);
    uint64_t at = mixed(low, high, size) & memory->mask;
    for (int tries = 0; memory->rows[at].size; at = (at + 1) & memory->mask)
        if (++tries > TRIES) return count;
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
    return count;
}

INLINE int known(const Memory *memory, const Row *row, uint32_t *out) {
    out[0] = row->ids[0];
    out[1] = row->ids[1];
    if (UNLIKELY(row->count > 2)) memcpy(out, memory->ids + row->place, sizeof(uint32_t) * row->count);
    return row->count;
}

static int of_long(Memory *memory, const uint8_t *patch, int size, uint32_t *out) {
    uint64_t hash = size * GOLDEN, word;
    for (int i = 0; i < size; i += 8) {
        memcpy(&word, patch + (i + 8 <= size ? i : size - 8), 8);
        hash = (hash ^ word) * SILVER;
        hash ^= hash >> 31;
    }
    uint64_t at = mixed(hash, 0, size) & memory->mask;
    for (int tries = 0; memory->rows[at].size && tries <= TRIES; tries++, at = (at + 1) & memory->mask) {
        const Row *row = memory->rows + at;
        if (row->low == hash && row->size == size && !memcmp(memory->bytes + row->high, patch, size))
            return known(memory, row, out);
    }
    return learnt(memory, patch, size, hash, 0, out);
}

static int of_short(Memory *memory, const uint8_t *patch, int size, uint64_t low, uint64_t high, uint32_t *out) {
    uint64_t at = mixed(low, high, size) & memory->mask;
    for (int tries = 0; memory->rows[at].size && tries <= TRIES; tries++, at = (at + 1) & memory->mask) {
        const Row *row = memory->rows + at;
        if (row->low == low && row->high == high && row->size == size) return known(memory, row, out);
    }
    return learnt(memory, patch, size, low, high, out);
}

/* ---- Patches that wait to be looked up ---- */

typedef struct {
    uint64_t low, high, hash;
    const uint8_t *patch;
    int size; /* 0 where a record ends */
} Word;

typedef struct {
    Memory *memory;
    const uint8_t *end; /* of all data: nothing is read from there on */
    uint32_t *first, *out;
    int64_t *ends;
    Word words[AHEAD];
    int many;
} Queue;

INLINE void put(Queue *queue, const uint8_t *patch, int64_t size) {
    Word *word = queue->words + queue->many++;
    word->patch = patch;
    word->size = (int)size;
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

static void flush(Queue *queue) {
    Memory *memory = queue->memory;
    uint32_t *out = queue->out;
    for (const Word *word = queue->words; word < queue->words + queue->many; word++) {
        if (UNLIKELY((unsigned)word->size - 1 >= NEAR)) {
            if (word->size) out += of_long(memory, word->patch, word->size, out);
            else *queue->ends++ = out - queue->first;
            continue;
        }
        const Row *row = memory->rows + (word->hash & memory->mask);
        if (LIKELY(((row->low ^ word->low) | (row->high ^ word->high) | (uint64_t)(row->size ^ word->size)) == 0))
            out += known(memory, row, out);
        else
            out += of_short(memory, word->patch, word->size, word->low, word->high, out);
    }
    queue->out = out;
    queue->many = 0;
}

/* ---- Kinds of 64 bytes, one bit a byte ---- */

typedef struct {
    bits64 letter, digit, space, line, quote, unsure; /* unsure: first bytes of characters that the second one decides */
} Kinds;

static inline Kinds kinds_plain(const uint8_t *data) {
    Kinds found = {0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 64; i++) {
        uint8_t byte = data[i];
        int kind = byte < 0x80 ? ascii_kind(byte) : LETTER;
        found.letter |= (bits64)(kind == LETTER) << i;
        found.digit |= (bits64)(kind == DIGIT) << i;
        found.space |= (bits64)(kind == SPACE) << i;
        found.line |= (bits64)(kind == BREAK) << i;
        found.quote |= (bits64)(byte == '\'') << i;
        found.unsure |= (bits64)(byte == 0xC2 || byte == 0xE2 || byte == 0xE3 || byte == 0xF0) << i;
    }
    return found;
}

#ifdef AVX2
#define WITH_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define EACH(f) ((bits64)(uint32_t)_mm256_movemask_epi8(f(a)) | (bits64)(uint32_t)_mm256_movemask_epi8(f(b)) << 32)
#define IS(x, byte) _mm256_cmpeq_epi8(x, _mm256_set1_epi8((char)(byte)))
#define FROM(x, low) _mm256_sub_epi8(x, _mm256_set1_epi8(low))
#define WITHIN(x, low, n) _mm256_cmpeq_epi8(_mm256_min_epu8(FROM(x, low), _mm256_set1_epi8(n)), FROM(x, low))
#define IS_LETTER(x) _mm256_or_si256(WITHIN(_mm256_or_si256(x, _mm256_set1_epi8(32)), 'a', 25), x)
#define IS_DIGIT(x) WITHIN(x, '0', 9)
#define IS_SPACE(x) IS(x, ' ')
#define IS_BREAK(x) WITHIN(x, '\t', 4)
#define IS_QUOTE(x) IS(x, '\'')
#define IS_BEYOND(x) x
#define IS_UNSURE(x) _mm256_or_si256(_mm256_or_si256(IS(x, 0xC2), IS(x, 0xE2)), _mm256_or_si256(IS(x, 0xE3), IS(x, 0xF0)))

WITH_AVX2 static inline Kinds kinds_avx2(const uint8_t *data) {
    __m256i a = _mm256_loadu_si256((const __m256i *)data), b = _mm256_loadu_si256((const __m256i *)(data + 32));
    Kinds found = {EACH(IS_LETTER), EACH(IS_DIGIT), EACH(IS_SPACE), EACH(IS_BREAK), EACH(IS_QUOTE), 0};
    if (UNLIKELY(EACH(IS_BEYOND))) found.unsure = EACH(IS_UNSURE);
    return found;
}
#endif

/* ---- Where patches start ---- */

typedef struct {
    int letter, digit, space, line, mark, quote; /* whether the byte before the block is of the kind; mark: punctuation */
    int digits;  /* how many digits of a group end there */
    int beyond;  /* how many of the block's first bytes belong to a character before it that is no letter */
} Before;

static const Before NOTHING = {0, 0, 0, 0, 0, 0, 0, 0};

/* The bits of characters beyond ASCII that are no letters. */
static bits64 symbols_in(const uint8_t *data, bits64 unsure, Before *before) {
    bits64 found = ((bits64)1 << before->beyond) - 1;
    before->beyond = 0;
    for (; unsure; unsure &= unsure - 1) {
        int at = first_bit(unsure), wide = width(data[at]);
        if (kind_at(data, at) != OTHER) continue;
        found |= (((bits64)1 << wide) - 1) << at;
        if (at < 63 && at + wide > 63) before->beyond = at + wide - 63;
    }
    return found;
}

/* The bits of digits that begin a group because four came before them in a row. */
static bits64 further_groups(bits64 digit, Before *before) {
    bits64 found = 0;
    int digits = before->digits;
    for (int i = 0; i < 63; i++) {
        if (!(digit >> i & 1)) {
            digits = 0;
            continue;
        }
        if (digits == DIGITS) {
            found |= (bits64)1 << i;
            digits = 0;
        }
        digits++;
    }
    before->digits = digits;
    return found;
}

INLINE int last_run(bits64 bits) {
    int many = 0;
    while (many < DIGITS && bits >> (62 - many) & 1) many++;
    return many;
}

/* ---- Records ---- */

#define TARGET
#define KINDS kinds_plain
#define STARTS starts_plain
#define CUT cut_plain
#define IDS ids_plain
#include "text_cut.h"

#ifdef AVX2
#undef TARGET
#undef KINDS
#undef STARTS
#undef CUT
#undef IDS
#define TARGET WITH_AVX2
#define KINDS kinds_avx2
#define STARTS starts_avx2
#define CUT cut_avx2
#define IDS ids_avx2
#include "text_cut.h"
#endif

#ifdef AVX2
/* Whether this processor has AVX2 and BMI, and the system keeps its registers. */
static int has_avx2(void) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_POPCNT)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    return (b & bit_AVX2) && (b & bit_BMI) && (b & bit_BMI2);
}
#endif

/* ---- What is called ---- */

/* Of which sources this was made: ult.host.native compares. */
PUBLIC const char *ult_sources(void) { return ULT_SOURCES; }

/* Write the ids of UTF-8 records that end at stops[records] in data[size] to `out`, which has room for size + 2, and
   where each record's ids end to ends[records]; return how many ids there are. */
PUBLIC int64_t ult_text_ids(Memory *memory, const uint8_t *data, int64_t size, const int64_t *stops, int64_t records,
                            uint32_t *out, int64_t *ends, int plain) {
    Queue queue;
    queue.memory = memory;
    queue.end = data + size;
    queue.first = queue.out = out;
    queue.ends = ends;
    queue.many = 0;
#ifdef AVX2
    if (!plain && has_avx2()) return ids_avx2(&queue, data, stops, records);
#endif
    return ids_plain(&queue, data, stops, records);
}

PUBLIC void ult_text_free(Memory *memory) {
    if (memory == NULL) return;
    free(memory->rows);
    free(memory->ids);
    free(memory->bytes);
    free(memory->slots);
    free(memory->pairs);
    free(memory->unit_ids);
    free(memory);
}

/* Return a memory for pairs[merges][2] of units and the ids of `units` units, with at most `most` rows, a power of two;
   NULL if there is no room for it. */
PUBLIC Memory *ult_text_new(const int32_t *pairs, int64_t merges, int32_t alphabet, const uint32_t *unit_ids,
                            int64_t units, int64_t most) {
    Memory *memory = calloc(1, sizeof(Memory));
    if (memory == NULL) return NULL;
    uint64_t slots = 16;
    while (slots < 4 * (uint64_t)merges) slots *= 2;
    memory->most = (uint64_t)most;
    memory->mask = (most < 1 << 14 ? (uint64_t)most : 1 << 14) - 1;
    memory->pool = (uint64_t)most * 4;
    memory->pair_mask = slots - 1;
    memory->alphabet = alphabet;
    memory->rows = calloc(memory->mask + 1, sizeof(Row));
    memory->ids = malloc(memory->pool * sizeof(uint32_t));
    memory->bytes = malloc(memory->pool);
    memory->slots = malloc(slots * sizeof(int32_t));
    memory->pairs = malloc((merges + 1) * sizeof(uint64_t));
    memory->unit_ids = malloc((units + 1) * sizeof(uint32_t));
    if (!memory->rows || !memory->ids || !memory->bytes || !memory->slots || !memory->pairs || !memory->unit_ids) {
        ult_text_free(memory);
        return NULL;
    }
    memcpy(memory->unit_ids, unit_ids, units * sizeof(uint32_t));
    memset(memory->slots, 0xFF, slots * sizeof(int32_t));
    for (int64_t k = 0; k < merges; k++) {
        memory->pairs[k] = (uint64_t)(uint32_t)pairs[2 * k] << 32 | (uint32_t)pairs[2 * k + 1];
        uint64_t at = slot_of(memory->pairs[k]) & memory->pair_mask;
        while (memory->slots[at] >= 0) at = (at + 1) & memory->pair_mask;
        memory->slots[at] = (int32_t)k;
    }
    return memory;
}
