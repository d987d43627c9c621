/* Turns ranks back into bytes; ult.owner.bpe.decoder does the same in Numba. */

/* Write where each record ends in the bytes to ends[records]; its ranks end at stops[records] in `ranks`. */
PUBLIC void ult_spell_ends(const uint32_t *ranks, const int64_t *stops, int64_t records, const int32_t *sizes,
                           int64_t *ends) {
    int64_t total = 0;
    for (int64_t record = 0, at = 0; record < records; record++) {
        for (; at < stops[record]; at++) total += sizes[ranks[at]];
        ends[record] = total;
    }
}

/* Write the bytes of ranks[many] to `out`, which has room for sixteen more: of each the sixteen that its row holds, and
   the rest of a longer one, symbols[starts[rank]:]; the next rank overwrites what is too much. */
PUBLIC void ult_spell(const uint32_t *ranks, int64_t many, const uint8_t *rows, const int32_t *sizes,
                      const uint8_t *symbols, const int64_t *starts, uint8_t *out) {
    for (int64_t at = 0; at < many; at++) {
        uint32_t rank = ranks[at];
        int32_t size = sizes[rank];
        memcpy(out, rows + (uint64_t)rank * NEAR, NEAR);
        if (UNLIKELY(size > NEAR)) memcpy(out + NEAR, symbols + starts[rank] + NEAR, size - NEAR);
        out += size;
    }
}

/* Write texts that end at ends[many] in `data` as lines to `out`, which has room for as many bytes more; return 0 if one
   holds a line feed. */
PUBLIC int ult_put_lines(const uint8_t *data, const int64_t *ends, int64_t many, uint8_t *out) {
    if (many && memchr(data, '\n', ends[many - 1])) return 0;
    for (int64_t k = 0, at = 0; k < many; at = ends[k++]) {
        memcpy(out, data + at, ends[k] - at);
        out += ends[k] - at;
        *out++ = '\n';
    }
    return 1;
}
