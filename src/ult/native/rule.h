/* The rule by which text is cut, for one patch at a time; ult/codecs/pretokenizer.py is the same. */

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

/* Where the patch from `start` on ends, in records that end with the byte `stop_byte`, which is a patch of its own. */
static int64_t patch_end_within(const uint8_t *data, int64_t start, int64_t stop, uint8_t stop_byte) {
    if (data[start] == stop_byte) return start + 1;
    int64_t seen = stop - start < MAX_PATCH + 2 ? stop : start + MAX_PATCH + 2; /* no more decides */
    const uint8_t *found = memchr(data + start, stop_byte, seen - start);
    return patch_end(data, start, found ? found - data : stop);
}
