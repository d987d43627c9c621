/* The encoding of a tile, written once and compiled for several processors: image.c includes it with other names.

TARGET is the attribute that names the processor; NAME(f) is the name of f for it. MAC(a, b, c) is
a * b + c, fused or not; SPREAD(p) has *p in all lanes; CLIPPED(v) is within 0 to 255; PAIRS(v, a, b) is a times the low
half of each lane and b times the high half; BITS(v) has the sign of each lane as a bit. Sums of float32 have a bounded error; what
that leaves in doubt is computed again in integers, so that the results are the same on every machine. */

/* Fill 8 samples of each plane from pairs (red, green) and (green, blue). */
TARGET INLINE void NAME(convert)(Whole rg, Whole gb, float *y, float *cb, float *cr) {
    Whole luma = PAIRS(rg, 19595, 19235) + PAIRS(gb, 19235, 7471) + (2048 - MIDDLE * 4096);
    Whole blue = PAIRS(rg, -5529, -10855) + PAIRS(gb, 0, 16384) + 1024;
    Whole red = PAIRS(rg, 32767, -27439) + PAIRS(gb, 0, -5329) + (rg & 0xFFFF) + 2048;
    STORE(y, CONVERT(luma >> 12, Floats));
    STORE(cb, CONVERT(blue >> 11, Floats));
    STORE(cr, CONVERT(red >> 12, Floats));
}

/* Fill the samples of a tile from its pixels; beyond them samples are of no colour in particular. */
TARGET static void NAME(load)(const Picture *picture, int64_t top, int64_t left, int rows, int columns, Tile *tile) {
    int64_t channels = picture->channels;
    for (int i = 0; i < rows; i++) {
        const uint8_t *pixel = picture->pixels + ((top + i) * picture->width + left) * channels;
        PREFETCH(pixel + 2 * ACROSS * channels);
        float *y = tile->samples[0] + i * ACROSS, *cb = y + AREA, *cr = cb + AREA;
        if (picture->planes == 1) {
            for (int j = 0; j < columns; j++) y[j] = (float)(pixel[j * channels] * UNIT - MIDDLE);
            continue;
        }
        for (int j = 0; j < columns; j += 8, pixel += 8 * channels) {
            Whole rg, gb;
#ifdef UNZIP
            if (channels == 3 && j + 8 <= columns) UNZIP(pixel, &rg, &gb);
            else
#endif
                for (int k = 0; k < 8; k++) {
                    const uint8_t *one = pixel + (j + k < columns ? k * channels : 0);
                    rg[k] = one[0] | one[1] << 16;
                    gb[k] = one[1] | one[2] << 16;
                }
            NAME(convert)(rg, gb, y + j, cb + j, cr + j);
        }
    }
}

/* Replace decoded samples by those of their rounded and clipped pixels; sum up the squared differences in `noise`. */
TARGET static void NAME(reload)(int planes, int rows, int side, Tile *tile) {
    memset(tile->noise, 0, sizeof(tile->noise));
    for (int at = 0; at < rows * ACROSS; at += side == 8 ? ACROSS : 8) {
        float *y = tile->samples[0] + at, *cb = y + AREA, *cr = cb + AREA;
        float *noise = tile->noise[0] + at / (8 * ACROSS) * ACROSS + at % ACROSS;
        Floats y0 = LOAD(y), cb0 = LOAD(cb), cr0 = LOAD(cr);
        if (planes == 1) {
            Whole level = CLIPPED((CONVERT(y0, Whole) + (MIDDLE + UNIT / 2)) >> 4);
            STORE(y, CONVERT(level * UNIT - MIDDLE, Floats));
            STORE(noise, MAC(LOAD(y) - y0, LOAD(y) - y0, LOAD(noise)));
            continue;
        }
        Whole light = CONVERT(y0, Whole) * 16384 + 257 * (1 << 17), blue = CONVERT(cb0, Whole), red = CONVERT(cr0, Whole);
        Whole r = CLIPPED((light + 22970 * red) >> 18), g = CLIPPED((light - 5638 * blue - 11700 * red) >> 18);
        Whole b = CLIPPED((light + 29032 * blue) >> 18);
        NAME(convert)(r | g << 16, g | b << 16, y, cb, cr);
        Floats moved[3] = {LOAD(y) - y0, LOAD(cb) - cb0, LOAD(cr) - cr0};
        for (int p = 0; p < 3; p++) {
            noise = p ? tile->noise[p] + at % ACROSS : noise;
            STORE(noise, MAC(moved[p], moved[p], LOAD(noise)));
        }
    }
}

/* Transform 8 columns of `side` samples; a row and its mirror image have equal weights in even frequencies and opposite
   weights in odd ones. */
TARGET INLINE void NAME(down)(const float *samples, const float *matrix, int side, float *out) {
    Floats sums[8] = {{0}};
    for (int k = 0; k < side / 2; k++) {
        Floats a = LOAD(samples + k * ACROSS), b = LOAD(samples + (side - 1 - k) * ACROSS), even = a + b, odd = a - b;
        for (int u = 0; u < 8; u += 2) {
            sums[u] = MAC(SPREAD(matrix + 8 * k + u), even, sums[u]);
            sums[u + 1] = MAC(SPREAD(matrix + 8 * k + u + 1), odd, sums[u + 1]);
        }
    }
    for (int u = 0; u < 8; u++) STORE(out + u * ACROSS, sums[u]);
}

TARGET INLINE void NAME(along)(const float *once, const float *matrix, int columns, float *out) {
    Floats sums[8] = {{0}};
    for (int x = 0; x < columns; x++) {
        Floats row = LOAD(matrix + 8 * x);
        for (int u = 0; u < 8; u++) sums[u] = MAC(SPREAD(once + u * ACROSS + x), row, sums[u]);
    }
    for (int u = 0; u < 8; u++) STORE(out + 8 * u, sums[u]);
}

/* Fill `out` with the 8x8 coefficients of a block. */
TARGET static void NAME(forward)(const float *samples, const Block *block, const Plane *plane, float *out) {
    float once[8 * ACROSS];
    int side = (int)plane->side, rows = block->rows, columns = block->columns;
    const float *down = plane->quick + rows * side * 8;
    for (int x = 0; x < columns; x += 8) {
        if (rows == side) {
            if (side == 16) NAME(down)(samples + x, down, 16, once + x);
            else NAME(down)(samples + x, down, 8, once + x);
        } else {
            Floats sums[8] = {{0}};
            for (int i = 0; i < rows; i++)
                for (int u = 0; u < 8; u++) sums[u] = MAC(SPREAD(down + 8 * i + u), LOAD(samples + i * ACROSS + x), sums[u]);
            for (int u = 0; u < 8; u++) STORE(once + u * ACROSS + x, sums[u]);
        }
    }
    NAME(along)(once, plane->quick + columns * side * 8, columns, out);
}

/* Quantise a block: fill `levels`, its mask, and its room as `ult.codecs.dct.quantise` does. */
TARGET static uint64_t NAME(quantise)(const float *samples, Block *block, const Plane *plane, int64_t base, int16_t *levels) {
    float coefficients[64];
    NAME(forward)(samples, block, plane, coefficients);
    memset(levels, 0, plane->kept * sizeof(int16_t));
    base *= plane->side;
    double value = (double)coefficients[0] + 0.5 + (1 << 24), doubt = plane->doubt;
    int64_t low = (int64_t)(value - doubt) - (1 << 24), high = (int64_t)(value + doubt) - (1 << 24);
    int64_t mean = mean_level(low - base, plane);
    if (low != high && mean != mean_level(high - base, plane))
        mean = mean_level(exact_coefficient(samples, block, 0, plane) - base, plane);
    levels[0] = (int16_t)mean;
    int64_t margin = 14 * plane->steps[plane->kept > 1], swing = 0;
    uint64_t there = 0, bits = 0, mask = 0;
    for (int u = 0; u < 8; u++)
        there |= BITS(LOAD(plane->least + 8 * u) - MAGNITUDE(LOAD(coefficients + 8 * u))) << 8 * u;
    for (; there; there &= there - 1) bits |= (uint64_t)1 << plane->zigzag[first_bit(there)];
    float down = 0.5f - (float)doubt - 0x1p-9f, up = 0.5f + (float)doubt + 0x1p-9f; /* and what adding them rounds */
    int64_t last = 0;
    for (; bits; bits &= bits - 1) {
        int position = first_bit(bits), place = (int)plane->order[position];
        float size = __builtin_fabsf(coefficients[place]);
        int64_t low = (int64_t)(size + down), high = (int64_t)(size + up), parts = in_parts(low, plane->parts[position]);
        if (UNLIKELY(low != high) && parts != in_parts(high, plane->parts[position])) {
            int64_t exact = exact_coefficient(samples, block, place, plane);
            parts = in_parts(exact < 0 ? -exact : exact, plane->parts[position]);
        }
        /* The dead zone grows from 9/16 to 7/8 of a step with the run of zeros. What comes to nothing leaves no trace. */
        int64_t run = position - last - 1, step = plane->steps[position], zeros = run < 10 ? run : 10;
        int64_t keeps = -(int64_t)(parts >= 18 + zeros), level = (parts + 14) >> 5 & keeps, near = step * (14 - zeros);
        int64_t sign = -(int64_t)(coefficients[place] < 0);
        last = keeps ? position : last;
        mask |= (uint64_t)(keeps & 1) << position;
        margin = level == 1 && near < margin ? near : margin;
        levels[position] = (int16_t)((level ^ sign) - sign);
        swing += level * step;
    }
    double least = (double)margin / 32, half = (double)plane->steps[0] / 2;
    least = half < least ? half : least;
    block->swing = swing;
    block->room = (least - 2 - plane->drift * (__builtin_fabs((double)(mean * plane->steps[0] + base)) + (double)swing)) * 0.998 - (double)plane->side / 2;
    return mask;
}

/* Round 8 samples; set the bits of those that are closer to a half than `edge` allows. */
TARGET INLINE uint64_t NAME(put)(Floats sample, float edge, float *out) {
    const float middle = 12582912; /* 1.5 * 2**23, beyond which floats are whole */
    Floats whole = (sample + middle) - middle;
    STORE(out, whole);
    return BITS(edge - MAGNITUDE(sample - whole));
}

TARGET INLINE void NAME(up)(const float *rows, const float *matrix, int side, int highest, float edge, float *out,
                            uint64_t *doubts) {
    for (int i = 0; i < side / 2; i++) {
        Floats even = {0}, odd = {0};
        for (int u = 0; u <= highest; u += 2) {
            even = MAC(SPREAD(matrix + u * side + i), LOAD(rows + u * ACROSS), even);
            odd = MAC(SPREAD(matrix + (u + 1) * side + i), LOAD(rows + (u + 1) * ACROSS), odd);
        }
        doubts[i] = NAME(put)(even + odd, edge, out + i * ACROSS);
        doubts[side - 1 - i] = NAME(put)(even - odd, edge, out + (side - 1 - i) * ACROSS);
    }
}

/* Decode a block into samples. */
TARGET static void NAME(paint)(const Block *block, const Plane *plane, int64_t base, float *samples) {
    int side = (int)plane->side, rows = block->rows, columns = block->columns, many = 1, highest = 0;
    int64_t values[64];
    uint8_t places[64];
    values[0] = block->levels[0] * plane->steps[0] + base * side;
    places[0] = 0;
    uint64_t bits = *block->mask, doubts[ACROSS];
    if (!bits) {
        Floats flat = (Floats){0} + (float)exact_sample(0, 0, block, plane, 1, places, values);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < side; j += 8) STORE(samples + i * ACROSS + j, flat);
        return;
    }
    float sums[8 * ACROSS], *sum = sums;
    const float *along = plane->back + columns * side * 8, *down = plane->back + rows * side * 8;
    int64_t total = values[0] < 0 ? -values[0] : values[0];
    for (int u = 0; u < 8; u++)
        for (int j = 0; j < side; j += 8) STORE(sums + u * ACROSS + j, (Floats){0});
    for (int j = 0; j < side; j += 8) STORE(sum + j, (float)values[0] * LOAD(along + j));
    for (; bits; bits &= bits - 1, many++) {
        int position = first_bit(bits), place = (int)plane->order[position], row = place >> 3;
        int64_t value = block->levels[position] * plane->steps[position];
        float factor = (float)value;
        values[many] = value;
        places[many] = (uint8_t)place;
        total += value < 0 ? -value : value;
        highest = row > highest ? row : highest;
        sum = sums + row * ACROSS;
        for (int j = 0; j < side; j += 8)
            STORE(sum + j, MAC(SPREAD(&factor), LOAD(along + (place & 7) * side + j), LOAD(sum + j)));
    }
    /* Each of a sum's terms is at most value * 2 / side, and is rounded with at most that many sums that hold it. */
    float edge = 0.5f - (float)((many < 8 ? many : 8) + 12) * 0x1p-24f * (float)total * 2.02f / (float)side;
    for (int j = 0; j < columns; j += 8) {
        float *out = samples + j;
        if (rows == side) {
            if (side == 16 && highest < 4) NAME(up)(sums + j, down, 16, 3, edge, out, doubts);
            else if (side == 16) NAME(up)(sums + j, down, 16, 7, edge, out, doubts);
            else if (highest < 4) NAME(up)(sums + j, down, 8, 3, edge, out, doubts);
            else NAME(up)(sums + j, down, 8, 7, edge, out, doubts);
        } else {
            for (int i = 0; i < rows; i++) {
                Floats sample = {0};
                for (int u = 0; u <= highest; u++) sample = MAC(SPREAD(down + u * side + i), LOAD(sums + u * ACROSS + j), sample);
                doubts[i] = NAME(put)(sample, edge, out + i * ACROSS);
            }
        }
        for (int i = 0; i < rows; i++)
            for (uint64_t row = doubts[i]; UNLIKELY(row); row &= row - 1) {
                int at = first_bit(row);
                if (j + at < columns)
                    out[i * ACROSS + at] = (float)exact_sample(i, j + at, block, plane, many, places, values);
            }
    }
}

/* Whether a whole block is proven to keep its levels: none moves by more than the norm of what rounding and clipping add. */
TARGET static int NAME(is_settled)(const Block *block, const Tile *tile) {
    const float *noise = tile->noise[block->plane] + block->y / 8 * ACROSS + block->x;
    float sums[8];
    STORE(sums, LOAD(noise));
    if (block->columns > 8) STORE(sums, LOAD(sums) + LOAD(noise + 8));
    float sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    return block->room > 0 && (double)sum < block->room * block->room;
}

/* The least and the largest of the luma samples of a whole tile. */
TARGET static Range NAME(luma_range)(const Tile *tile, int side) {
    Floats low = LOAD(tile->samples[0]), high = low;
    for (int at = 0; at < side * ACROSS; at += side == 8 ? ACROSS : 8) {
        low = LOWER(low, LOAD(tile->samples[0] + at));
        high = HIGHER(high, LOAD(tile->samples[0] + at));
    }
    Range found = {low[0], high[0]};
    for (int lane = 1; lane < 8; lane++) found = both(found, (Range){low[lane], high[lane]});
    return found;
}

/* Decode a tile into the samples of its pixels. With `proves`, return 1 as soon as it is proven to give the same levels. */
TARGET static int NAME(decode_tile)(const Picture *picture, const Block *blocks, int many, int rows, int proves, Tile *tile) {
    int side = side_of(picture), luma = picture->planes > 1 ? many - 2 : many;
    proves = proves && is_calm(picture, blocks, many);
    if (proves && is_within(picture, blocks, many, range_of(picture, blocks, luma))) return 1;
    for (int b = 0; b < many; b++) {
        int p = blocks[b].plane;
        if (b == luma && proves && is_within(picture, blocks, many, NAME(luma_range)(tile, side))) return 1;
        NAME(paint)(blocks + b, plane_of(picture, p), picture->bases[p], tile->samples[p] + blocks[b].y * ACROSS + blocks[b].x);
    }
    NAME(reload)((int)picture->planes, rows, side, tile);
    return 0;
}

/* Encode the tile at (top, left) until decoding it gives the same levels. */
TARGET static void NAME(encode_tile)(Picture *picture, int64_t top, int64_t left) {
    Tile tile;
    Block blocks[6];
    int side = side_of(picture), first = top + left == 0;
    int rows = picture->height - top < side ? (int)(picture->height - top) : side;
    int columns = picture->width - left < side ? (int)(picture->width - left) : side;
    int many = blocks_of(picture, top, left, rows, columns, blocks), whole = rows == side && columns == side;
    int64_t kept = picture->luma->kept;
    if (!whole) memset(&tile, 0, sizeof(tile)); /* no lane holds what no number is */
    NAME(load)(picture, top, left, rows, columns, &tile);
    for (int attempt = 0; attempt < ROUNDS; attempt++) {
        int64_t before[3] = {picture->bases[0], picture->bases[1], picture->bases[2]};
        int proves = attempt && attempt <= PATIENCE && whole && !first;
        if (attempt && NAME(decode_tile)(picture, blocks, many, rows, proves, &tile)) return;
        if (first) rebase(picture, &tile, rows, columns);
        int moved = !attempt || memcmp(before, picture->bases, sizeof(before));
        for (int b = 0; b < many; b++) {
            if (proves && NAME(is_settled)(blocks + b, &tile)) continue;
            int16_t levels[64], *found = attempt ? levels : blocks[b].levels;
            int p = blocks[b].plane, at = blocks[b].y * ACROSS + blocks[b].x;
            *blocks[b].mask = NAME(quantise)(tile.samples[p] + at, blocks + b, plane_of(picture, p), picture->bases[p], found);
            if (first && (p || !b)) found[0] = 0;
            if (!attempt || !memcmp(levels, blocks[b].levels, kept * sizeof(int16_t))) continue;
            memcpy(blocks[b].levels, levels, kept * sizeof(int16_t));
            moved = 1;
        }
        if (!moved) return;
        for (int b = 0; attempt > PATIENCE && b < many; b++) soften(blocks + b, kept);
        if (attempt == ROUNDS - 1) flatten(picture, blocks, many, first);
    }
}
