"""The compiled loops against their plain twins: cutting text, counting patches, learning merges, applying them."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strategies import TEXTS, texts
from ult.codecs.patches import Patches
from ult.codecs.pretokenizer import DIGITS, MAX_PATCH
from ult.codecs.text import TextBytes
from ult.owner.bpe import encoder
from ult.owner.bpe.counts import PatchCounts
from ult.owner.bpe.encoder import Segmenter
from ult.owner.bpe.learner import learned as in_c
from ult.owner.bpe.merges import learn_merges
from ult.owner.bpe.reference import Counted, learn, merge

ALPHABET = 4
patch = st.lists(st.integers(0, ALPHABET - 1), min_size=1, max_size=9).map(tuple)
few = st.lists(st.sampled_from([(0,), (0, 0, 0, 0), (0, 0, 0), (0, 1, 0, 1, 0), (2, 2, 3)]), max_size=6)
corpus = st.lists(st.one_of(few, st.lists(patch, max_size=5)), max_size=12)


def join(records):
    """Write records, each a list of patches, as `Patches`."""
    flat = [p for record in records for p in record]
    return Patches(
        np.array([symbol for p in flat for symbol in p], np.uint32),
        np.cumsum([len(p) for p in flat], dtype=np.int64),
        np.cumsum([len(record) for record in records], dtype=np.int64),
    )


def count(records, *, min_records=1, batch=3):
    counts = PatchCounts(min_records=min_records)
    for at in range(0, len(records), batch):
        counts.add(join(records[at : at + batch]))
    return counts


def unique(counts):
    """Return what was counted as {patch: times}."""
    symbols, ends, times, _ = counts.patches()
    spelled = [tuple(p.tolist()) for p in np.split(symbols, ends)[: len(ends)]]
    assert len(set(spelled)) == len(spelled)
    return dict(zip(spelled, times.tolist(), strict=True))


def plain(records):
    """Count with a dictionary; records that spell the same are one holder."""
    times, holders = Counter(), {}
    for record in records:
        name = hash(tuple(symbol for p in record for symbol in p))
        for p in record:
            times[p] += 1
            holders.setdefault(p, set()).add(name)
    return [Counted(p, n, frozenset(holders[p])) for p, n in times.items()]


def learn_both(records, *, alphabet, merges, min_records):
    counted = count(records, min_records=min_records)
    learned, uses = learn_merges(*counted.patches(), alphabet, merges, min_records)
    symbols, ends, weight, holders = counted.patches()
    found_in_c = in_c(symbols, ends, weight, holders, alphabet, merges, min_records)
    for found, twin in zip(found_in_c, (learned, uses), strict=True):
        np.testing.assert_array_equal(found, twin)
    expected = learn(plain(records), alphabet=alphabet, merges=merges, min_records=min_records)
    assert [tuple(pair) for pair in learned.tolist()] == expected
    return expected, uses


@given(corpus, st.integers(1, 4), st.integers(1, 5))
@example([[(0,), (k % 4,)] for k in range(8)], 2, 3)  # more holders than are counted
@example([[], [(0, 1)], [(0, 1)]], 2, 5)  # the same record twice, after an empty one
def test_counts_are_those_of_a_counter(records, min_records, batch):
    counted = count(records, min_records=min_records, batch=batch)
    expected = plain(records)
    assert counted.records == len(records)
    assert unique(counted) == {c.symbols: c.times for c in expected}
    symbols, ends, _, holders = counted.patches()
    if min_records > 1:
        held = {tuple(p.tolist()): n for p, n in zip(np.split(symbols, ends), holders.held.tolist(), strict=False)}
        assert held == {c.symbols: min(len(c.holders), min_records) for c in expected}


@given(corpus, st.integers(0, 25), st.integers(1, 3))
@example([[(0,) * n] for n in range(1, 40)], 10, 1)
@example([[(0, 1) * 9, (1, 0) * 9]] * 2, 20, 2)
def test_learns_as_the_plain_twin(records, merges, min_records):
    learned, uses = learn_both(records, alphabet=ALPHABET, merges=merges, min_records=min_records)
    used = Counter()
    for p in itertools.chain.from_iterable(records):
        used.update(merge(p, learned, ALPHABET))
    assert uses.tolist() == [used[unit] for unit in range(ALPHABET + len(learned))]


@pytest.mark.parametrize("min_records", [1, 2, 3])
def test_learns_as_the_plain_twin_where_arrays_grow(min_records):
    rng = np.random.default_rng(min_records)
    records = [[tuple(rng.integers(0, 90, rng.integers(1, 8)).tolist()) for _ in range(9)] for _ in range(250)]
    learn_both(records, alphabet=90, merges=60, min_records=min_records)


def test_counts_where_arrays_grow():
    rng = np.random.default_rng(0)
    long = [[tuple(rng.integers(0, 9, size).tolist())] for size in (20_000, 1, 70_000)]
    many = [[tuple(rng.integers(0, 50, 3).tolist()) for _ in range(100)] for _ in range(200)]
    records = [*many, *long, *many, []]
    counted = count(records, min_records=2, batch=37)
    assert unique(counted) == Counter(itertools.chain.from_iterable(records))
    assert len(unique(counted)) > 10_000


def check_segments(records, learned, alphabet, segmenter):
    """Symbols of four bytes, then of one, which are looked up in another way; ids are units plus 7 here."""
    expected = [[unit + 7 for p in record for unit in merge(p, learned, alphabet)] for record in records]
    patches = join(records)
    narrow = patches.symbols.astype(np.uint8)
    narrow.flags.writeable = False  # as the bytes of texts are: for others Numba compiles once more
    for symbols in (patches.symbols, narrow):
        ids, ends = segmenter.ids(Patches(symbols, patches.ends, patches.records))
        assert [part.tolist() for part in np.split(ids, ends)[: len(ends)]] == expected


def segmenter_of(learned, alphabet, max_patch=9):
    ids = np.arange(7, 7 + alphabet + len(learned), dtype=np.uint32)
    return Segmenter(np.array(learned, np.int32).reshape(-1, 2), ids, alphabet, max_patch)


@pytest.mark.slow
@given(corpus, corpus, st.integers(0, 25))
def test_applies_as_the_plain_twin(records, others, merges):
    learned = learn(plain(records), alphabet=ALPHABET, merges=merges)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "CACHED", 4)  # the memory starts afresh again and again
        segmenter = segmenter_of(learned, ALPHABET)
    for part in (records, others, records):
        check_segments(part, learned, ALPHABET, segmenter)


def test_applies_as_the_plain_twin_beyond_its_memory():
    learned = [(0, 1), (41, 2), (3, 3), (43, 43), (5, 41)]
    every = [[p] for p in itertools.product(range(41), repeat=3)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "CACHED", 1 << 15)
        segmenter = segmenter_of(learned, 41)
    assert len(every) > 1 << 16
    check_segments(every, learned, 41, segmenter)
    check_segments(every[:500], learned, 41, segmenter)


def test_applies_to_a_patch_longer_than_what_memory_holds():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "POOL", 32)
        segmenter = segmenter_of([(0, 0), (1, 1), (2, 0)], 1, max_patch=1000)
    sizes = (1000, 1, 999, 1000, 3, 1000, 33, 1000, 33)  # 32 + 1000 symbols are remembered at most
    check_segments([[(0,) * n] for n in sizes], [(0, 0), (1, 1), (2, 0)], 1, segmenter)


LETTER, DIGIT, WHITE, OTHER = range(4)
SYMBOLS = ((0x80, 0xBF), (0x2000, 0x2BFF), (0x3000, 0x303F), (0x1F000, 0x1FFFF))


def kind(character):
    if character in " \t\n\v\f\r":
        return WHITE
    code = ord(character)
    if code < 128:
        return LETTER if character.isalpha() else DIGIT if character.isdigit() else OTHER
    return OTHER if any(low <= code <= high for low, high in SYMBOLS) else LETTER


def plain_cut(text):
    """The rule of `text/bytes`, on characters."""
    patches, at = [], 0
    while at < len(text):
        white = sum(1 for _ in itertools.takewhile(lambda c: kind(c) == WHITE, text[at:]))
        if white and at + white < len(text) and text[at + white - 1] == " ":
            white -= 1  # the last space belongs to what follows
        end = at + min(white, MAX_PATCH) if white else _run_end(text, at)
        patches.append(text[at:end])
        at = end
    return patches


def _run_end(text, at):
    end = at + (text[at] == " ")
    first = kind(text[end])
    if text[end] == "'" and end + 1 < len(text) and kind(text[end + 1]) == LETTER:
        first, end = LETTER, end + 1
    begin = end
    while end < len(text) and kind(text[end]) == first and (first != DIGIT or end - begin < DIGITS):
        if len(text[at : end + 1].encode("utf-8", "surrogatepass")) > MAX_PATCH:
            break
        end += 1
    return end


def check_cut(text):
    patches = TextBytes().encode(text)
    found = np.split(patches.symbols.astype(np.uint8), patches.ends)[: len(patches.ends)]
    assert [p.tobytes().decode("utf-8", "surrogatepass") for p in found] == plain_cut(text)


@given(st.one_of(texts, st.text("a1 '.\n\u00bf\u2bff\u2c00\u3040\U0001efff\U00020000", max_size=200)))
@example(" " * 64 + "a")
@example(" " * 65 + "a")
@example(" " * 66 + "a")
@example(" " * 130)
@example("\n" * 65 + "a")
@example(" '" + "é" * 40)
@example(" " + "€" * 40)
@example(" " + "a" * 62 + "é")
def test_cuts_as_the_plain_twin(text):
    check_cut(text)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_cuts_hostile_text_as_the_plain_twin(text):
    check_cut(text)


def test_cuts_every_short_text_as_the_plain_twin():
    texts = ["".join(letters) for n in range(7) for letters in itertools.product("a1 \n.'\u00bf", repeat=n)]
    patches = TextBytes().encode_batch(texts)
    ends = iter(np.split(patches.ends, patches.records)[:-1])
    start = 0
    for text in texts:
        found, data = next(ends), text.encode()
        assert np.diff(found, prepend=start).tolist() == [len(patch.encode()) for patch in plain_cut(text)], text
        start += len(data)


def test_cuts_every_character_as_the_plain_twin():
    for start in range(0, 0x110000, 0x1000):
        check_cut("".join(f"a{chr(code)}" for code in range(start, start + 0x1000, 7)))
