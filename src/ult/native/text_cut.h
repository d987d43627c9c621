/* The cut, written once and compiled for several processors: text.c includes it with other names.

TARGET is the attribute that names the processor, KINDS reads the kinds of 64 bytes, STARTS and CUT are defined here. */

/* The bits of bytes that start a patch, of the first 63; `data` has `left` bytes. */
TARGET static inline bits64 STARTS(const uint8_t *data, int64_t left, Kinds kinds, Before *before) {
    bits64 there = left >= 64 ? ~(bits64)0 : ((bits64)1 << left) - 1;
    bits64 mark = ~(kinds.letter | kinds.digit | kinds.space | kinds.line | kinds.stop); /* quotes too */
    if (UNLIKELY(kinds.unsure || before->beyond)) {
        bits64 symbol = symbols_in(data, kinds.unsure & there, before);
        kinds.letter &= ~symbol;
        mark |= symbol;
    }
    bits64 letter = kinds.letter & there, digit = kinds.digit & there, space = kinds.space & there;
    bits64 line = kinds.line & there, white = space | line, stop = kinds.stop & there;
    mark &= there;
    bits64 mark_starts = mark & ~(mark << 1 | before->mark), quote = kinds.quote & mark_starts;
    bits64 starts = mark_starts | (digit & ~(digit << 1 | before->digit));
    starts |= letter & ~(letter << 1 | before->letter) & ~(quote << 1 | before->quote);
    if (UNLIKELY((digit & digit << 1 & digit << 2 & digit << 3 & digit << 4) || (before->digit & digit & 1)))
        starts |= further_groups(digit, before);
    else
        before->digits = digit >> 62 & 1 ? last_run(digit) : 0;
    bits64 after_space = starts & (space << 1 | before->space); /* which takes its space along */
    starts = (starts & ~after_space) | after_space >> 1 | (white & ~(white << 1 | before->space | before->line));
    starts |= stop;
    before->letter = letter >> 62 & 1;
    before->digit = digit >> 62 & 1;
    before->space = space >> 62 & 1;
    before->line = line >> 62 & 1;
    before->mark = mark >> 62 & 1;
    before->quote = quote >> 62 & 1;
    return starts & ~((bits64)1 << 63);
}

/* Cut data[at:to], in which records end with the byte `stop`, and queue its patches. */
TARGET static void CUT(Queue *queue, const uint8_t *data, int64_t at, int64_t to, uint8_t stop) {
    Before before = NOTHING;
    int64_t start = at; /* of the patch that has not ended yet */
    uint8_t last[64];
    while (at < to) {
        const uint8_t *block = data + at;
        if (UNLIKELY(queue->end - block < 64)) {
            memset(last, 0, 64);
            memcpy(last, block, queue->end - block);
            block = last;
        }
        bits64 starts = STARTS(data + at, to - at, KINDS(block, stop), &before);
        if (start == at) starts &= ~(bits64)1;
        int whole = 1;
        for (; starts; starts &= starts - 1) {
            int64_t end = at + first_bit(starts);
            if (UNLIKELY(end - start > MAX_PATCH)) {
                whole = 0;
                break;
            }
            put(queue, data + start, end - start, stop);
            start = end;
        }
        at += 63;
        if (UNLIKELY(!whole || (at < to && at - start > MAX_PATCH))) { /* by the rule, up to the end of the block */
            for (; start < at && start < to;) {
                if (queue->many == AHEAD) flush(queue);
                int64_t end = patch_end_within(data, start, to, stop);
                put(queue, data + start, end - start, stop);
                start = end;
            }
            at = start;
            before = NOTHING;
        }
        if (queue->many > AHEAD - 64 - 2) flush(queue);
    }
    while (start < to) {
        if (queue->many >= AHEAD - 1) flush(queue);
        int64_t end = patch_end_within(data, start, to, stop);
        put(queue, data + start, end - start, stop);
        start = end;
    }
    flush(queue);
}
