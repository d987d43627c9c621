/* Writes levels as symbols: the form of ult.codecs.dct.spelling, and with places that of ult.codecs.dct.placed. */
enum { MEAN = 256, FAR_MEAN = 32, LEVEL = MEAN + 2 * FAR_MEAN + 1, FAR_LEVEL = 4, ZEROS = LEVEL + 128 };
enum { LONGEST = 512, LARGEST_BLOCK = 196, HEADER = 15 };                            /* symbols */
enum { PLACED_MEAN = 16, PLACE = PLACED_MEAN + 2 * FAR_MEAN + 1, PLACED_HEADER = 33 }; /* ult.codecs.dct.layout */

typedef struct { /* ult.codecs.dct.layout.Layout */
    int64_t places, levels, fine, digits;
    const int64_t *band, *start, *far;
} Layout;

typedef struct {
    uint32_t *at;
    int64_t *ends; /* of patches, in symbols from `first` */
    uint32_t *first;
} Out;

INLINE void end_patch(Out *out, const uint32_t *at) { *out->ends++ = at - out->first; }

/* Write a number, lowest digits first: so many bits a symbol, and one more bit if others follow. */
static void write_number(Out *out, int64_t value, int bits) {
    for (; value >> bits; value >>= bits) *out->at++ = (uint32_t)(value & ((1 << bits) - 1)) | 1u << bits;
    *out->at++ = (uint32_t)value;
}

/* Write a value as one symbol from `base` on, followed by a number if it is `far` or more. */
INLINE void write_signed(Out *out, int64_t value, int64_t base, int64_t far, int bits) {
    int64_t near = within(value, -far, far), rest = value - near;
    *out->at++ = (uint32_t)(base + near);
    if (near == far || near == -far) write_number(out, rest < 0 ? -rest : rest, bits);
}

static void write_levels(Out *out, const int16_t *levels, uint64_t bits) {
    int last = 0;
    for (; bits; bits &= bits - 1) {
        int position = first_bit(bits), run = position - last - 1, value = levels[position];
        last = position;
        for (; run > 15; run -= 16) *out->at++ = ZEROS;
        write_signed(out, value, LEVEL + 8 * run - (value > 0) + FAR_LEVEL, FAR_LEVEL, 7);
    }
}

/* Write the blocks of a plane. `start` is where the patch that has not ended yet begins; return the same afterwards. */
static uint32_t *write_plane(Out *out, uint32_t *start, const int16_t *levels, const uint64_t *masks, int64_t kept,
                             const int64_t *blocks, int64_t colour) {
    for (int64_t row = 0; row < blocks[0]; row++)
        for (int64_t column = 0; column < blocks[1]; column++, levels += kept) {
            uint32_t *begin = out->at;
            int64_t left = column ? levels[-kept] : 0, upper = row ? levels[-kept * blocks[1]] : 0;
            int64_t expected = row && column ? floored(left + upper, 2) : left + upper;
            if (row + column == 0) *out->at++ = (uint32_t)colour;
            else write_signed(out, levels[0] - expected, MEAN + FAR_MEAN, FAR_MEAN, 7);
            write_levels(out, levels, *masks++);
            if (out->at - start > LONGEST) {
                end_patch(out, begin);
                start = begin;
            }
        }
    return start;
}

/* Write the levels of a block, the place before each band; end the patch before it. */
static void write_placed_levels(Out *out, const int16_t *levels, uint64_t bits, uint32_t place, const Layout *layout) {
    int64_t band = 0;
    for (; bits; bits &= bits - 1) {
        int position = first_bit(bits), value = levels[position];
        if (layout->band[position] != band) {
            band = layout->band[position];
            end_patch(out, out->at);
            *out->at++ = place;
        }
        int64_t far = layout->far[position];
        write_signed(out, value, layout->start[position] + far - (value > 0), far, 3);
    }
}

/* Write the blocks of a plane with their places; `offset` is its base in steps of a mean. */
static void write_placed_plane(Out *out, int64_t plane, const int16_t *levels, const uint64_t *masks, int64_t kept,
                               const int64_t *blocks, int64_t colour, int64_t offset, const Layout *layout) {
    int64_t places = layout->places;
    for (int64_t row = 0; row < blocks[0]; row++)
        for (int64_t column = 0; column < blocks[1]; column++, levels += kept) {
            int64_t part = (plane * places + row * places / blocks[0]) * places + column * places / blocks[1];
            uint32_t place = (uint32_t)(PLACE + part);
            end_patch(out, out->at);
            int64_t mean = levels[0] + offset + layout->fine / 2, coarse = floored(mean, layout->fine);
            if (row + column == 0) write_number(out, colour, 3);
            else write_signed(out, coarse, PLACED_MEAN + FAR_MEAN, FAR_MEAN, 3);
            *out->at++ = place;
            for (int64_t digit = row + column ? layout->digits - 1 : -1; digit >= 0; digit--)
                *out->at++ = (uint32_t)((mean - coarse * layout->fine) >> 4 * digit & 15);
            write_placed_levels(out, levels, *masks++, place, layout);
        }
}
