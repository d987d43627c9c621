/* What a codec's planes are, a tile of an image, and what of its encoding needs no vectors. */
enum { ACROSS = 16, AREA = ACROSS * ACROSS, UNIT = 16, MIDDLE = 128 * UNIT }; /* pixels; samples are in 1/16 of a grey level */
enum { PATIENCE = 16, ROUNDS = 64, SHIFT = 26 };                              /* matrices are in 1/8192 */

typedef struct {            /* ult.codecs.dct.blocks.Plane */
    int64_t side, kept;     /* pixels per side of a block, and levels of a block */
    const double *forward;  /* [side + 1][side][8], from n samples to frequencies */
    const double *inverse;  /* [side + 1][8][side], back */
    const int64_t *steps;   /* [kept] in zigzag order */
    const uint64_t *parts;  /* [kept], 2**43 / step, rounded up */
    const uint64_t *order;  /* [kept], zigzag position -> place in 8x8 */
    const uint8_t *zigzag;  /* [64], place -> position */
    const float *quick;     /* `forward`, scaled */
    const float *back;      /* `inverse`, scaled */
    const float *least;     /* [64], magnitudes below which a coefficient becomes 0 for certain */
    double doubt, drift, part; /* part: 1 / steps[0] */
} Plane;

typedef struct {
    int plane, y, x, rows, columns; /* where in its tile, and how large */
    int16_t *levels;
    uint64_t *mask; /* of the zigzag positions whose level is not zero */
    double room;    /* how far decoded samples may move, as a norm, before a level changes */
    int64_t swing;  /* magnitudes of all frequencies but the mean */
} Block;

typedef struct {
    const Plane *luma, *chroma;
    const uint8_t *pixels; /* of the first channel; those of a row follow each other, `channels` apart */
    int64_t height, width, channels, planes, blocks[3][2], all_blocks, bases[3];
    int16_t *levels;
    uint64_t *masks;
} Picture;

typedef struct {
    float samples[3][AREA];
    float noise[3][ACROSS * 2]; /* squared differences by rounding and clipping, of 8 rows at a time */
} Tile;

INLINE const Plane *plane_of(const Picture *picture, int plane) { return plane ? picture->chroma : picture->luma; }

/* Pixels per side of a tile, the area of one chroma block. */
INLINE int side_of(const Picture *picture) { return (int)plane_of(picture, picture->planes > 1)->side; }

INLINE int64_t floored(int64_t value, int64_t by) { return value / by - (value % by < 0); }

INLINE int64_t nearest(int64_t value, int64_t step) { return floored(2 * value + step, 2 * step); }

INLINE int64_t within(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* The colour nearest to samples of so many planes. */
static void colour_of(const int64_t *bases, int64_t planes, int64_t *colour) {
    int64_t light = bases[0] * 16384 + 257 * (1 << 17), blue = planes > 1 ? bases[1] : 0, red = planes > 1 ? bases[2] : 0;
    colour[0] = within(floored(light + 22970 * red, 1 << 18), 0, 255);
    colour[1] = within(floored(light - 5638 * blue - 11700 * red, 1 << 18), 0, 255);
    colour[2] = within(floored(light + 29032 * blue, 1 << 18), 0, 255);
}

/* Set the bases to the colour nearest to the means of the first tile. */
static void rebase(Picture *picture, const Tile *tile, int64_t rows, int64_t columns) {
    for (int64_t p = 0; p < picture->planes; p++) {
        int64_t side = plane_of(picture, (int)p)->side, total = 0;
        int64_t n = rows < side ? rows : side, m = columns < side ? columns : side;
        for (int64_t at = 0; at < n * m; at++) total += (int64_t)tile->samples[p][at / m * ACROSS + at % m];
        picture->bases[p] = nearest(total, n * m);
    }
    int64_t colour[3];
    colour_of(picture->bases, picture->planes, colour);
    int64_t r = colour[0], g = colour[1], b = colour[2];
    picture->bases[0] = floored(19595 * r + 38470 * g + 7471 * b + 2048, 4096) - MIDDLE;
    if (picture->planes == 1) return;
    picture->bases[1] = floored(-11058 * r - 21710 * g + 32768 * b + 2048, 4096);
    picture->bases[2] = floored(32768 * r - 27439 * g - 5329 * b + 2048, 4096);
}

/* A coefficient of a block of samples, exactly. */
static int64_t exact_coefficient(const float *samples, const Block *block, int place, const Plane *plane) {
    const double *down = plane->forward + block->rows * plane->side * 8 + (place >> 3);
    const double *along = plane->forward + block->columns * plane->side * 8 + (place & 7);
    int64_t total = (int64_t)1 << (SHIFT - 1);
    for (int j = 0; j < block->columns; j++) {
        int64_t column = 0;
        for (int i = 0; i < block->rows; i++) column += (int64_t)samples[i * ACROSS + j] * (int64_t)down[8 * i];
        total += column * (int64_t)along[8 * j];
    }
    return floored(total, (int64_t)1 << SHIFT);
}

/* A decoded sample of a block of `many` coefficients, exactly. */
static int64_t exact_sample(int i, int j, const Block *block, const Plane *plane, int many, const uint8_t *places,
                            const int64_t *values) {
    const double *down = plane->inverse + block->rows * plane->side * 8 + i;
    const double *along = plane->inverse + block->columns * plane->side * 8 + j;
    int64_t total = (int64_t)1 << (SHIFT - 1);
    for (int k = 0; k < many; k++)
        total += values[k] * (int64_t)down[(places[k] >> 3) * plane->side] * (int64_t)along[(places[k] & 7) * plane->side];
    return floored(total, (int64_t)1 << SHIFT);
}

/* A coefficient's magnitude in 1/32 of a step, rounded down: exactly, as steps are below 2**16 and magnitudes 2**17. */
INLINE int64_t in_parts(int64_t size, uint64_t part) { return (int64_t)(((uint64_t)(64 * size + 1) * part) >> 44); }

/* The level of a mean: the nearest, halves rounded up. What is added keeps products farther from an integer than their
   error; truncation is of what is never negative. */
INLINE int64_t mean_level(int64_t value, const Plane *plane) {
    return (int64_t)(((double)value + 0.25) * plane->part + (0.5 + (1 << 20))) - (1 << 20);
}

typedef struct {
    double low, high;
} Range;

INLINE Range both(Range one, Range other) {
    return (Range){one.low < other.low ? one.low : other.low, one.high > other.high ? one.high : other.high};
}

/* Between which samples the decoded ones of blocks of a plane lie: no frequency adds more than 2 / side of its magnitude. */
static Range range_of(const Picture *picture, const Block *blocks, int many) {
    const Plane *plane = plane_of(picture, blocks->plane);
    Range found = {1e9, -1e9};
    for (int b = 0; b < many; b++) {
        double side = (double)plane->side, swing = (double)blocks[b].swing * 2.01 / side;
        double mean = (double)picture->bases[blocks->plane] + (double)(blocks[b].levels[0] * plane->steps[0]) / side;
        found = both(found, (Range){mean - swing, mean + swing});
    }
    return found;
}

/* Whether no pixel of a tile needs clipping, with samples to spare, if the luma samples are within `luma`. */
static int is_within(const Picture *picture, const Block *blocks, int many, Range luma) {
    const Range zero = {0, 0};
    Range blue = picture->planes > 1 ? range_of(picture, blocks + many - 2, 1) : zero;
    Range red = picture->planes > 1 ? range_of(picture, blocks + many - 1, 1) : zero;
    Range green = {-0.345 * blue.high - 0.715 * red.high, -0.345 * blue.low - 0.715 * red.low};
    Range most = both(both(blue, red), zero), all = both((Range){1.773 * most.low, 1.773 * most.high}, green);
    return luma.low + all.low > -MIDDLE && luma.high + all.high < MIDDLE - UNIT;
}

/* Whether rounding pixels moves no level of a tile: it moves a sample by half a grey level at most, and what the colour
   transform rounds adds less than a sixteenth of one. */
INLINE int is_calm(const Picture *picture, const Block *blocks, int many) {
    int calm = 1;
    for (int b = 0; b < many; b++) calm &= blocks[b].room > 9.0 * (double)plane_of(picture, blocks[b].plane)->side;
    return calm;
}

/* Reduce every frequency of a block by an eighth, and by at least one step. */
static void soften(Block *block, int64_t kept) {
    *block->mask = 0;
    for (int64_t k = 1; k < kept; k++) {
        int level = block->levels[k], size = level < 0 ? -level : level;
        size -= (size + 7) / 8;
        block->levels[k] = (int16_t)(level < 0 ? -size : size);
        *block->mask |= (uint64_t)(size != 0) << k;
    }
}

/* Make a tile flat, of one grey level within 32 of mid grey; such a tile always encodes to itself. */
static void flatten(Picture *picture, Block *blocks, int many, int first) {
    const Plane *luma = picture->luma, *chroma = picture->chroma;
    int64_t bound = 32 * UNIT, brightness = floored(blocks[0].levels[0] * luma->steps[0], luma->side);
    for (int b = 0; b < many; b++) {
        memset(blocks[b].levels, 0, luma->kept * sizeof(int16_t));
        *blocks[b].mask = 0;
    }
    if (first) {
        picture->bases[0] = within(nearest(picture->bases[0], UNIT) * UNIT, -bound, bound);
        for (int64_t p = 1; p < picture->planes; p++) picture->bases[p] = 0;
        return;
    }
    int64_t grey = within(picture->bases[0] + brightness, -bound, bound) - picture->bases[0];
    for (int b = 0; b < many; b++) {
        int p = blocks[b].plane;
        int64_t value = p ? -picture->bases[p] * chroma->side : grey * luma->side;
        blocks[b].levels[0] = (int16_t)mean_level(value, plane_of(picture, p));
    }
}

/* List the blocks of the tile at (top, left) of `rows` x `columns` pixels; return how many there are. */
static int blocks_of(const Picture *picture, int64_t top, int64_t left, int rows, int columns, Block *blocks) {
    int many = 0;
    int64_t start = 0;
    for (int p = 0; p < picture->planes; p++) {
        int side = (int)plane_of(picture, p)->side, bits = side == 8 ? 3 : 4;
        for (int y = 0; y < rows; y += side)
            for (int x = 0; x < columns; x += side) {
                int64_t place = start + ((top + y) >> bits) * picture->blocks[p][1] + ((left + x) >> bits);
                blocks[many++] = (Block){p, y, x, rows - y < side ? rows - y : side, columns - x < side ? columns - x : side,
                                         picture->levels + place * picture->luma->kept, picture->masks + place, 0, 0};
            }
        start += picture->blocks[p][0] * picture->blocks[p][1];
    }
    return many;
}
