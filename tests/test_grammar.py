"""Grammars accept exactly what decoders accept, symbol by symbol."""

import functools
from bisect import bisect_left
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ult
from strategies import FIELDS, JPEGS, LOSSY_FIELDS, MODALITIES, RECORDS, REQUIRED_FIELDS
from ult.codecs import CODECS
from ult.codecs.dct.grammar import FAR_MEAN, MEAN
from ult.codecs.grammar import REFUSED
from ult.codecs.image import ImageDct
from ult.errors import CorruptSymbols
from ult.owner.constrained import TableGrammar
from ult.public.vocabulary import N_SPECIAL

CONFIGS = [
    ("text/bytes", {}),
    ("text/bytes", {"max_length": 5}),
    ("molecule/smiles", {}),
    ("molecule/smiles", {"max_length": 4}),
    ("series/mulaw", {"levels": 16}),
    ("series/mulaw", {"max_length": 3}),
    ("series/levels", {"columns": [[0.0, 1.0], [5.0], [1.0, 2.0, 3.0]], "apart": 1}),
    ("series/levels", {"columns": [[0.0, 1.0], [5.0], [1.0, 2.0, 3.0]]}),
    ("series/levels", {"columns": [[0.0, 1.0], [5.0], [1.0, 2.0, 3.0]], "apart": 1, "tilings": 2}),
    ("series/levels", {"columns": [[0.0, 1.0, 2.0, 3.0, 4.0]], "tilings": 3, "max_length": 4}),
    ("image/dct", {}),
    ("image/dct", {"coefficients": 3}),
    ("image/dct", {"coefficients": 1, "max_length": 200}),
    ("image/dct", {"max_length": 2}),
    ("image/dct", {"places": 4}),
    ("image/dct", {"places": 1, "quality": 100, "coefficients": 3, "max_length": 200}),
    ("image/dct", {"bits": 16, "places": 2}),
    ("image/dct", {"bits": 12, "high": 300}),
    ("image/dct", {"bits": 16, "coefficients": 1, "max_length": 200}),
    ("image/jpeg", {}),
    ("image/jpeg", {"places": 1, "max_length": 200}),
    ("record/columns", {"fields": FIELDS}),
    ("record/columns", {"fields": LOSSY_FIELDS}),
    ("record/columns", {"fields": REQUIRED_FIELDS}),
]
codecs = pytest.mark.parametrize("k", range(len(CONFIGS)), ids=[f"{name} {config}"[:60] for name, config in CONFIGS])


@functools.cache
def made(k):
    """The codec of a configuration and its grammar, which remembers what examples before have met, as in a batch."""
    name, config = CONFIGS[k]
    codec = CODECS[name](**config)
    return codec, codec.grammar()


def walk(codec, grammar, rng, steps):
    """Draw symbols that the grammar allows, most often such that a record fits; return them and the states between."""
    singles, ends = np.arange(codec.alphabet, dtype=np.uint32), np.arange(1, codec.alphabet + 1)
    symbols, states = [], [grammar.start()]
    for _ in range(steps):
        after = grammar.after(states[-1], singles, ends)
        allowed = np.flatnonzero(after != REFUSED)
        if not len(allowed):
            break
        fitting = allowed[after[allowed] < steps - len(symbols)]
        chosen = int(rng.choice(fitting if len(fitting) and rng.random() < 0.98 else allowed))
        symbols.append(chosen)
        states.append(grammar.advance(states[-1], np.array([chosen], np.uint32)))
        assert grammar.least(states[-1]) == after[chosen]
    return np.array(symbols, np.uint32), states


@codecs
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 60))
def test_a_record_ends_where_the_grammar_says(k, seed, steps):
    (codec, grammar), rng = made(k), np.random.default_rng(seed)
    symbols, states = walk(codec, grammar, rng, steps)
    said = [k for k, state in enumerate(states) if grammar.least(state) == 0]
    assert codec.prefixes(symbols).tolist() == said


@codecs
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 30))
def test_what_is_missing_can_be_made_up(k, seed, steps):
    (codec, grammar), rng = made(k), np.random.default_rng(seed)
    symbols, states = walk(codec, grammar, rng, steps)
    state, least = states[-1], grammar.least(states[-1])
    singles, ends = np.arange(codec.alphabet, dtype=np.uint32), np.arange(1, codec.alphabet + 1)
    for _ in range(min(least, 500)):
        assert grammar.least(state) == least
        after = grammar.after(state, singles, ends)
        assert min(after[after >= 0]) == least - 1, "no symbol brings it closer, or one too close"
        symbols = np.append(symbols, np.uint32(rng.choice(np.flatnonzero(after == least - 1))))
        state, least = grammar.advance(state, symbols[-1:]), least - 1
    if least == 0:
        codec.decode(symbols)


@codecs
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 25))
def test_what_is_refused_begins_no_record(k, seed, steps):
    """Of a refused symbol nothing decodes, whatever of the grammar's own liking comes after it."""
    (codec, grammar), rng = made(k), np.random.default_rng(seed)
    symbols, states = walk(codec, grammar, rng, steps)
    singles, ends = np.arange(codec.alphabet, dtype=np.uint32), np.arange(1, codec.alphabet + 1)
    refused = np.flatnonzero(grammar.after(states[-1], singles, ends) == REFUSED)
    liked = walk(codec, grammar, rng, 20)[0]
    for symbol in rng.permutation(refused)[:5]:
        assert grammar.advance(states[-1], singles[[symbol]]) is None
        for more in (
            rng.integers(0, codec.alphabet, 20),
            liked,
            np.full(20, 288 % codec.alphabet),
        ):
            tried = np.concatenate([symbols, [symbol], more]).astype(np.uint32)
            assert max(codec.prefixes(tried[: codec.max_symbols]), default=0) <= len(symbols)


@codecs
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 40))
def test_a_run_is_its_symbols_one_by_one(k, seed, steps):
    (codec, grammar), rng = made(k), np.random.default_rng(seed)
    symbols, states = walk(codec, grammar, rng, steps)
    cuts = sorted(rng.integers(0, len(symbols) + 1, 2).tolist())
    runs = [
        symbols[cuts[0] : cuts[1]],
        rng.integers(0, codec.alphabet, 3),
        symbols[cuts[0] :],
        symbols[cuts[0] : cuts[1]],
    ]
    found = grammar.after(states[cuts[0]], np.concatenate(runs).astype(np.uint32), np.cumsum([len(r) for r in runs]))
    once, to_the_end = grammar.least(states[cuts[1]]), grammar.least(states[-1])
    assert found[[0, 2, 3]].tolist() == [once, to_the_end, once]


@pytest.mark.parametrize("fields", [FIELDS, REQUIRED_FIELDS])
@pytest.mark.parametrize("seed", range(2))
def test_what_is_remembered_is_what_is_found_anew(fields, seed):
    """Runs of a table, such as a marker with its bin, and states that a grammar of records has met before."""
    codec, rng = CODECS["record/columns"](fields=fields), np.random.default_rng(seed)
    grammar: Any = codec.usual_grammar()
    drawn = [walk(codec, codec.grammar(), rng, 60)[0] for _ in range(12)]
    runs = [one[k : k + n] for one in drawn for k in range(0, len(one), 4) for n in (2, 5)]
    runs += [np.array([symbol], np.uint32) for symbol in range(codec.alphabet)]
    symbols, ends = np.concatenate(runs), np.cumsum([len(run) for run in runs])
    for _ in range(2):
        state = grammar.start()
        for room in range(40, 0, -1):
            found = grammar.after(state, symbols, ends)
            anew = np.full(len(runs), REFUSED)
            for several, least, _ in grammar._every(state, grammar._runs.root):
                anew[several] = least
            assert found.tolist() == anew.tolist()
            fitting = np.flatnonzero((found != REFUSED) & (found < room))
            if not len(fitting):
                assert grammar.least(state) == 0  # there is always a way to an end
                break
            state = grammar.advance(state, runs[int(rng.choice(fitting))])


def number(value):
    """Return the symbols of a number."""
    return [value] if value < 128 else [value & 127 | 128, *number(value >> 7)]


@pytest.mark.parametrize("seed", range(4))
def test_means_of_blocks_are_bounded_where_the_decoder_bounds_them(seed):
    codec, rng = ImageDct(), np.random.default_rng(seed)
    grammar, blocks = codec.grammar(), 12
    symbols = [0, 25, 20, 128]  # 4 rows of 3
    for left in range(blocks - 2, -1, -1):
        state = grammar.advance(grammar.start(), np.array(symbols, np.uint32))
        far = int(rng.choice([MEAN, MEAN + 2 * FAR_MEAN]))

        def refused(value, state=state, far=far):
            run = np.array([far, *number(value)])
            two = np.append(319, run)  # the first of them, another block, leaves nothing behind
            found = grammar.after(state, two, np.array([1, len(two)]))[1]
            assert (grammar.advance(state, run) is None) == (found == REFUSED)
            return found == REFUSED

        bound = bisect_left(range(2**17), True, key=refused)  # the first that is
        allowed = [far, *number(int(rng.integers(bound)))] if bound else [288]
        codec.decode(np.array([*symbols, *([far, *number(bound - 1)] if bound else allowed), *[288] * left]))
        with pytest.raises(CorruptSymbols):
            codec.decode(np.array([*symbols, far, *number(bound), *[288] * left]))
        symbols += allowed


@pytest.mark.parametrize("name", CODECS)
def test_records_are_let_through(name):
    codec = CODECS[name](**MODALITIES[name].configs[0])
    if name == "text/bwt":
        assert codec.grammar() is None
        return
    rng = np.random.default_rng(0)
    cases: dict[str, list[Any]] = {
        "text": ["", "It's 2024", "\ud800 \U0010ffff é"],
        "molecule": ["", "Clc1ccccc1.[Na+].[OH-]>>Oc1ccc%12cc1", "[C@@H](Br)%", "\ud800 \U0010ffff é"],
        "series": [np.array([]), np.array([0.1, np.nan])],
        "image": [rng.integers(0, 256, shape, np.uint8) for shape in [(1, 1), (40, 50, 3), (17, 130, 4)]],
    }
    cases["jpeg"] = list(JPEGS.values())
    cases["record"] = list(RECORDS.values())
    grammar = codec.grammar()
    for record in cases[codec.modality]:
        state = grammar.advance(grammar.start(), codec.encode(record).symbols)
        assert grammar.least(state) == 0


def test_series_of_so_many_values():
    grammar = CODECS["series/mulaw"]().grammar(4)
    assert [grammar.least(k) for k in range(5)] == [4, 3, 2, 1, 0]
    assert grammar.after(2, np.zeros(6, np.uint32), np.array([1, 3, 6])).tolist() == [1, 0, REFUSED]
    assert grammar.advance(2, np.zeros(3, np.uint32)) is None


@pytest.mark.parametrize("codec", ["text/bytes", "molecule/smiles"])
def test_what_goes_to_txt_has_no_line_feed(codec):
    table = ult.Table.fit(["ab\ncd ab"] * 9, codec=codec, vocabulary=ult.Vocabulary(1024), min_records=1)
    feeds = [10 in spelling for spelling in table.spellings()]
    assert any(feeds)
    for out, fits in (("a.txt", False), ("a.csv", True), (None, True)):
        grammar = TableGrammar.of_file(table, out)
        allowed = grammar.allowed(grammar.start([]), 20)[N_SPECIAL:][: len(feeds)]
        assert allowed[feeds].any() == fits
        assert allowed[np.logical_not(feeds)].any()
