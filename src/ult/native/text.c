/* Writes UTF-8 records as the ids of a table: cuts them into patches, looks each up, and merges those not seen before.
Counts the patches of records in the same way.

The rule of the cut is that of ult.codecs.pretokenizer, and the merges are those of ult.owner.bpe.encoder, which do the
same in Numba; tests compare the two on hostile input. Nothing here knows of Python: it is loaded by ult.host.native.

Short records are copied into a buffer, each with a byte after it that no UTF-8 has, so that the cut never stops for the
end of one. They are read in blocks of 64 bytes. One bit a byte says of which kind it is, and shifts of these bits say where
patches start, whatever the text. Of a block only the first 63 starts are used, because the last byte's may depend on
the byte after it, so blocks overlap by one. What bits cannot say (a patch of over 64 bytes) is cut by the rule itself.
Then the patches of the blocks are looked up together: their rows are asked for before the first of them is needed. */

#ifdef __linux__
#define _DEFAULT_SOURCE /* for madvise */
#include <sys/mman.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

typedef uint64_t bits64;

enum { MAX_PATCH = 64, DIGITS = 4, NEAR = 16, TRIES = 64, AHEAD = 96 };
enum { BUFFER = 1 << 16, SLACK = 64 }; /* bytes */
enum { LETTER, DIGIT, SPACE, BREAK, OTHER };
static const uint64_t GOLDEN = 0x9E3779B97F4A7C15u, SILVER = 0xC2B2AE3D27D4EB4Fu;
static const int32_t NEVER = INT32_MAX;

#include "rule.h"
#include "memory.h"
#include "queue.h"
#include "count.h"
#include "kinds.h"
#include "learn.h"
#include "spell.h"

#define TARGET
#define KINDS kinds_plain
#define STARTS starts_plain
#define CUT cut_plain
#include "text_cut.h"

#ifdef AVX2
#undef TARGET
#undef KINDS
#undef STARTS
#undef CUT
#define TARGET WITH_AVX2
#define KINDS kinds_avx2
#define STARTS starts_avx2
#define CUT cut_avx2
#include "text_cut.h"
#endif

static Queue new_queue(Memory *memory, uint32_t *out, int64_t *ends, int64_t room, Tally *tally, int plain) {
    Queue queue;
    memset(&queue, 0, offsetof(Queue, words));
    queue.memory = memory;
    queue.first = queue.out = out;
    queue.ends = ends;
    queue.last_end = ends + room;
    queue.tally = tally;
    queue.plain = plain;
    return queue;
}

/* Cut data[0:size], in which records end with the byte `stop`; bytes from `end` on are not read. */
static void cut(Queue *queue, const uint8_t *data, int64_t size, uint8_t stop, const uint8_t *end) {
    queue->end = end;
    if (queue->tally) {
        queue->tally->begin = data;
        queue->tally->stop = data + size;
        queue->tally->hashed = 0;
    }
#ifdef AVX2
    if (!queue->plain && has_avx2()) {
        cut_avx2(queue, data, 0, size, stop);
        return;
    }
#endif
    cut_plain(queue, data, 0, size, stop);
}

/* Cut the records in the buffer. */
static void spill(Queue *queue) {
    cut(queue, queue->memory->buffer, queue->filled, STOP, queue->memory->buffer + BUFFER + SLACK);
    queue->filled = 0;
}

INLINE int is_short(int64_t size) { return size < BUFFER; }

INLINE int fits(const Queue *queue, int64_t size) { return queue->filled + size < BUFFER; }

INLINE void copy(Queue *queue, const uint8_t *record, int64_t size) {
    uint8_t *to = queue->memory->buffer + queue->filled;
    memcpy(to, record, size);
    to[size] = STOP;
    queue->filled += size + 1;
}

/* Of which sources this was made: ult.host.native compares. */
PUBLIC const char *ult_sources(void) { return ULT_SOURCES; }

/* Write the ids of UTF-8 records that end at stops[records] in data[size] to `out`, which has room for size + 2, and
   where each record's ids end to ends[records]; return how many ids there are. */
PUBLIC int64_t ult_text_ids(Memory *memory, const uint8_t *data, int64_t size, const int64_t *stops, int64_t records,
                            uint32_t *out, int64_t *ends, int plain) {
    Queue queue = new_queue(memory, out, ends, records, NULL, plain);
    for (int64_t record = 0, at = 0; record < records; at = stops[record++]) {
        int64_t many = stops[record] - at;
        if (!fits(&queue, many)) spill(&queue);
        if (is_short(many)) {
            copy(&queue, data + at, many);
        } else {
            cut(&queue, data + at, many, STOP, data + size);
            end_record(&queue, queue.out);
        }
    }
    spill(&queue);
    return queue.out - out;
}

/* Do the same for lines, which end with a line feed, the last one also with the data. There is room for `most` ends;
   lines[0] becomes how many there are. */
PUBLIC int64_t ult_text_lines(Memory *memory, const uint8_t *data, int64_t size, uint32_t *out, int64_t *ends,
                              int64_t most, int64_t *lines, int plain) {
    Queue queue = new_queue(memory, out, ends, most, NULL, plain);
    cut(&queue, data, size, '\n', data + size);
    if (size && data[size - 1] != '\n') end_record(&queue, queue.out);
    *lines = queue.ends - ends;
    return queue.out - out;
}

/* Do the same for the texts first..last of a list of Python's, of which get(list, i) is one and utf8(text, &size) are
   its bytes, up to the first that has no room in out[room]; ids[0] becomes how many ids there are. Return how many texts
   were written, or -1 if one has over `longest` bytes or none; then Python knows of an error. */
PUBLIC int64_t ult_text_list(Memory *memory, void *list, int64_t first, int64_t last, void *(*get)(void *, ptrdiff_t),
                             const char *(*utf8)(void *, ptrdiff_t *), int64_t longest, uint32_t *out, int64_t room,
                             int64_t *ends, int64_t *ids, int plain) {
    Queue queue = new_queue(memory, out, ends, last - first, NULL, plain);
    int64_t done = first;
    for (int64_t i = first; i <= last; i++) {
        ptrdiff_t size = 0;
        const uint8_t *text = i < last ? (const uint8_t *)utf8(get(list, i), &size) : NULL;
        if (i < last && (text == NULL || size > longest)) return -1;
        if (i == last || !fits(&queue, size)) {
            if (room - (queue.out - out) < queue.filled + 2) break;
            spill(&queue);
            done = i;
        }
        if (i < last && is_short(size)) {
            copy(&queue, text, size);
        } else if (i < last) {
            if (room - (queue.out - out) < size + 2) break;
            cut(&queue, text, size, STOP, text + size);
            end_record(&queue, queue.out);
            done = i + 1;
        }
    }
    *ids = queue.out - out;
    return done - first;
}

/* Count the patches of the records first..records, up to the first for which there is no room, or which is not short;
   return how many records are counted now. */
PUBLIC int64_t ult_text_count(Memory *memory, const uint8_t *data, const int64_t *stops, int64_t first, int64_t records,
                              Tally *tally, int plain) {
    Queue queue = new_queue(memory, NULL, NULL, 0, tally, plain);
    int64_t done = first, at = first ? stops[first - 1] : 0;
    for (int64_t record = first; record <= records; record++) {
        int64_t size = record < records ? stops[record] - at : 0;
        if (record == records || !fits(&queue, size)) {
            if (!has_room(tally, queue.filled)) break;
            spill(&queue);
            done = record;
        }
        if (record == records || !is_short(size)) break;
        copy(&queue, data + at, size);
        at = stops[record];
    }
    return done;
}

/* Whether all bytes are UTF-8, without surrogates. */
PUBLIC int ult_is_utf8(const uint8_t *data, int64_t size) {
    for (int64_t at = 0; at < size;) {
        uint64_t words[4];
        if (size - at >= 32 && data[at] < 0x80) {
            memcpy(words, data + at, 32);
            if (!((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u)) {
                at += 32;
                continue;
            }
        }
        while (at < size && data[at] < 0x80) at++;
        if (at == size) break;
        uint8_t lead = data[at];
        int wide = width(lead);
        if (lead < 0xC2 || lead > 0xF4 || size - at < wide) return 0;
        for (int i = 1; i < wide; i++)
            if ((data[at + i] & 0xC0) != 0x80) return 0;
        uint8_t second = data[at + 1];
        if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
            (lead == 0xF4 && second > 0x8F))
            return 0;
        at += wide;
    }
    return 1;
}

PUBLIC void ult_text_free(Memory *memory) {
    if (memory == NULL) return;
    free(memory->rows);
    free(memory->ids);
    free(memory->bytes);
    free(memory->pairs);
    free(memory->hints);
    free(memory->first_pairs);
    free(memory->unit_ids);
    free(memory->buffer);
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
    memory->rows = new_rows(memory->mask + 1);
    memory->ids = malloc(memory->pool * sizeof(uint32_t));
    memory->bytes = malloc(memory->pool);
    memory->pairs = malloc(slots * sizeof(Learnt));
    memory->hint_mask = slots / 16 - 1; /* four bits a slot */
    memory->hints = calloc(slots / 16, sizeof(uint64_t));
    memory->first_pairs = malloc(sizeof(int32_t) * alphabet * alphabet);
    memory->unit_ids = malloc((units + 1) * sizeof(uint32_t));
    memory->buffer = calloc(BUFFER + SLACK, 1);
    if (!memory->rows || !memory->ids || !memory->bytes || !memory->pairs || !memory->hints ||
        !memory->first_pairs || !memory->unit_ids || !memory->buffer) {
        ult_text_free(memory);
        return NULL;
    }
    memcpy(memory->unit_ids, unit_ids, units * sizeof(uint32_t));
    for (uint64_t at = 0; at < slots; at++) memory->pairs[at] = (Learnt){0, 0, NEVER};
    for (int32_t at = 0; at < alphabet * alphabet; at++) memory->first_pairs[at] = NEVER;
    for (int64_t k = 0; k < merges; k++) {
        int32_t left = pairs[2 * k], right = pairs[2 * k + 1];
        uint64_t hash = hash_of_pair(left, right);
        Learnt *place = place_of(memory, left, right, hash);
        if (place->order != NEVER) continue;
        memory->hints[hash >> 6 & memory->hint_mask] |= (uint64_t)1 << (hash & 63);
        *place = (Learnt){left, right, (int32_t)k};
        if (left < alphabet && right < alphabet) memory->first_pairs[left * alphabet + right] = (int32_t)k;
    }
    return memory;
}
