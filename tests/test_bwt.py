"""`text/bwt` against a plain twin, and decoding against everything that no encode could have made."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ult.codecs.bwt import SENTINEL, TextBwt
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord

ANY = st.text(st.characters(codec=None), max_size=60)  # lone surrogates too
FEW = st.text("ab\U0010ffff\0é", max_size=80)
SIZES = st.sampled_from([1, 2, 3, 7, 8, 9, 64, 256])
HOSTILE = [
    "",
    "\0",
    "\0\0\x01",
    "\r\n\t\x1c\x1d\x1e\x1f ",
    "\ud800",
    "\ud800\udc00",
    "\udfff\ud800" * 5,
    "\U0010ffff" * 300,
    "a" * 1000,
    "ab" * 400 + "a",
    "👩‍👩‍👧‍👦é" * 9,
    "".join(map(chr, range(0x3000))),
    "mississippi" * 40,
]


def plain_encode(text, patch_size):
    """The definition: sort all rotations, take their last characters, write the runs."""
    symbols, ends = [], []
    for start in range(0, len(text), patch_size):
        patch = [*map(ord, text[start : start + patch_size]), -1]
        rotations = sorted(patch[i:] + patch[:i] for i in range(len(patch)))
        for code, run in itertools.groupby(rotation[-1] for rotation in rotations):
            count = len(list(run))
            symbols += [255 + count] * (count > 1)
            symbols += [SENTINEL] if code < 0 else chr(code).encode("utf-8", "surrogatepass")
        ends.append(len(symbols))
    return symbols, ends


def brute_prefixes(codec, symbols):
    found = []
    for k in range(len(symbols) + 1):
        try:
            codec.decode(symbols[:k])
        except CorruptSymbols:
            continue
        found.append(k)
    return found


def check_strict(codec, symbols):
    """What decodes is what encode makes of it; prefixes are those that decode."""
    symbols = np.array(symbols, np.uint32)
    found = brute_prefixes(codec, symbols)
    assert codec.prefixes(symbols).tolist() == found
    for k in found:
        assert codec.encode(codec.decode(symbols[:k])).symbols.tolist() == symbols[:k].tolist()


def check_twin(text, patch_size):
    codec = TextBwt(**json.loads(json.dumps(TextBwt(patch_size=patch_size).config())))
    patches = codec.encode(text)
    symbols, ends = plain_encode(text, patch_size)
    assert patches.symbols.tolist() == symbols
    assert patches.ends.tolist() == ends
    assert max(np.diff(patches.ends, prepend=0), default=0) <= codec.max_patch
    assert max(symbols, default=0) < codec.alphabet
    assert codec.decode(patches.symbols) == text


@settings(deadline=None)  # the first example compiles
@given(st.one_of(ANY, FEW), SIZES)
def test_encodes_as_the_plain_twin(text, patch_size):
    check_twin(text, patch_size)


@pytest.mark.parametrize("patch_size", [1, 2, 8, 13, 256])
@pytest.mark.parametrize("text", HOSTILE)
def test_encodes_hostile_text_as_the_plain_twin(text, patch_size):
    check_twin(text[:2000], patch_size)


def test_batches_are_their_records():
    codec = TextBwt(patch_size=3)
    patches = codec.encode_batch(HOSTILE)
    alone = [codec.encode(text) for text in HOSTILE]
    assert patches.symbols.tolist() == np.concatenate([one.symbols for one in alone]).tolist()
    assert patches.records.tolist() == np.cumsum([len(one.ends) for one in alone]).tolist()
    assert codec.decode_batch(patches.symbols, np.cumsum([len(one.symbols) for one in alone])) == HOSTILE
    assert codec.decode_batch(np.empty(0, np.uint32), np.empty(0, np.int64)) == []
    good, bad = alone[2].symbols, np.array([97, 98, 99, 256, 97])
    with pytest.raises(CorruptSymbols, match="symbol 4 "):
        codec.decode_batch(np.concatenate([good, bad]), np.array([len(good), len(good) + 5]))


def test_accepts_exactly_what_encode_makes():
    codec = TextBwt(patch_size=2)
    pieces = [97, 98, SENTINEL, 257]
    made = set()
    for length in range(5):
        for letters in itertools.product("ab", repeat=length):
            made.add(tuple(codec.encode("".join(letters)).symbols.tolist()))
    strings = [s for n in range(7) for s in itertools.product(pieces, repeat=n)]
    accepted = {s for s in strings if len(s) in brute_prefixes(codec, np.array(s, np.uint32))}
    assert accepted == {s for s in made if len(s) < 7}


@settings(deadline=None)
@given(st.lists(st.sampled_from([97, 98, 0xC3, 0xA9, SENTINEL, 257, 258]), max_size=24), st.sampled_from([3, 4]))
def test_strict_on_any_symbols(symbols, patch_size):
    check_strict(TextBwt(patch_size=patch_size), symbols)


@settings(deadline=None)
@given(st.one_of(ANY, FEW), SIZES, st.data())
def test_strict_on_damaged_encodings(text, patch_size, data):
    codec = TextBwt(patch_size=patch_size)
    symbols = codec.encode(text).symbols.tolist()
    at = data.draw(st.integers(0, len(symbols)))
    symbols[at : at + data.draw(st.integers(0, 3))] = data.draw(
        st.lists(st.one_of(st.integers(0, codec.alphabet - 1), st.sampled_from([*symbols, SENTINEL])), max_size=3)
    )
    check_strict(codec, symbols)


@pytest.mark.parametrize(
    "symbols",
    [
        [SENTINEL],
        [97],
        [97, 97, SENTINEL],  # a run that is not maximal
        [257, SENTINEL],  # the sentinel in a run
        [97, SENTINEL, SENTINEL],
        [97, SENTINEL, 98],  # two cycles
        [97, 98, 99, 97, SENTINEL],  # too long
        [258, 97, 97, SENTINEL],
        [97, SENTINEL, 257],  # a count of nothing
        [257, 257, 97, SENTINEL],
        [0xC3, SENTINEL],
        [0xC0, 0x80, SENTINEL],  # overlong
        [0xE0, 0x80, 0x80, SENTINEL],
        [0xF0, 0x80, 0x80, 0x80, SENTINEL],
        [0xF4, 0x90, 0x80, 0x80, SENTINEL],  # beyond U+10FFFF
        [0x80, SENTINEL],
        [0xE4, 0xB8],
        [0xC3, SENTINEL, 0xA9],
        [0xC3, 257],
        [259],
        [-1],
    ],
)
def test_refuses(symbols):
    codec = TextBwt(patch_size=3)
    with pytest.raises(CorruptSymbols):
        codec.decode(np.array(symbols))


def test_max_length_is_in_bytes():
    codec = TextBwt(max_length=9)
    text = "é" * 4 + "a"
    patches = codec.encode(text)
    assert codec.nbytes(text) == 9
    assert codec.decode(patches.symbols) == text
    for refused in ("é" * 5, "a" * 10, b"a", None, 1):
        with pytest.raises(InvalidRecord):
            codec.encode(refused)
    longer = TextBwt().encode("é" * 5).symbols
    with pytest.raises(CorruptSymbols):
        codec.decode(longer)
    assert codec.prefixes(longer).tolist() == brute_prefixes(codec, longer)
    with pytest.raises(CorruptSymbols):
        TextBwt(patch_size=256, max_length=300).decode(np.array([511, 97, 256] * 2))


@pytest.mark.parametrize("options", [{"patch_size": 0}, {"patch_size": 257}, {"patch_size": 8.0}, {"max_length": 0}])
def test_refuses_options(options):
    with pytest.raises(InvalidConfig):
        TextBwt(**options)
