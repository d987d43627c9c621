/* What 64 bytes are, one bit a byte, and what the cut must know of the bytes before them. */

typedef struct {
    bits64 letter, digit, space, line, quote; /* none of them where a record ends */
    bits64 unsure;                            /* first bytes of characters that the second one decides */
    bits64 stop;                              /* where records end */
} Kinds;

static inline Kinds kinds_plain(const uint8_t *data, uint8_t stop) {
    Kinds found = {0, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 64; i++) {
        uint8_t byte = data[i];
        if (byte == stop) {
            found.stop |= (bits64)1 << i;
            continue;
        }
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
#define IS_STOP(x) IS(x, stop)
#define IS_BEYOND(x) x
#define IS_UNSURE(x) _mm256_or_si256(_mm256_or_si256(IS(x, 0xC2), IS(x, 0xE2)), _mm256_or_si256(IS(x, 0xE3), IS(x, 0xF0)))

WITH_AVX2 static inline Kinds kinds_avx2(const uint8_t *data, uint8_t stop) {
    __m256i a = _mm256_loadu_si256((const __m256i *)data), b = _mm256_loadu_si256((const __m256i *)(data + 32));
    Kinds found = {EACH(IS_LETTER), EACH(IS_DIGIT), EACH(IS_SPACE), EACH(IS_BREAK), EACH(IS_QUOTE), 0, EACH(IS_STOP)};
    found.letter &= ~found.stop;
    found.line &= ~found.stop;
    if (UNLIKELY(EACH(IS_BEYOND))) found.unsure = EACH(IS_UNSURE);
    return found;
}
#endif

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

