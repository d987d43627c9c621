"""`molecule/smiles`: its units and patches, against a regular expression and a plain walk."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ult.codecs.molecule import INSIDE, MAX_PATCH, UNITS, MoleculeSmiles
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord

CODEC = MoleculeSmiles()
TWO = "|".join(map(re.escape, INSIDE)).encode()
OUT, IN = re.compile(rb"Cl|Br|%[1-9][0-9]|.", re.DOTALL), re.compile(TWO + rb"|.", re.DOTALL)
SYMBOL = {unit.encode(): 256 + i for i, unit in enumerate(UNITS)}
PIECES = [*"[]%@.>CclBr109Nae=#-é\ud800\0", "Cl", "%10", "[Na+]", "[C@@H]", ">>", "%1"]
SMILES = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
ANY = st.text(st.characters(codec=None), max_size=40)


def plain_encode(text):
    """The longest unit at each place, by regular expressions."""
    data, at, symbols, inside = text.encode("utf-8", "surrogatepass"), 0, [], False
    while at < len(data):
        unit = (IN if inside else OUT).match(data, at).group()
        symbols.append(SYMBOL.get(unit, unit[0]))
        inside = unit == b"[" or (inside and unit != b"]")
        at += len(unit)
    return symbols


def brute_prefixes(symbols):
    found = []
    for k in range(len(symbols) + 1):
        try:
            CODEC.decode(symbols[:k])
        except CorruptSymbols:
            continue
        found.append(k)
    return found


def spelled(text, codec=CODEC):
    patches = codec.encode(text)
    return [codec.decode(patch) for patch in np.split(patches.symbols, patches.ends[:-1])]


@pytest.mark.parametrize(
    ("smiles", "symbols"),
    [
        ("ClCBr", ["Cl", "C", "Br"]),
        ("C%10CC%109", ["C", "%10", "C", "C", "%10", "9"]),
        ("C%01%1", ["C", "%", "0", "1", "%", "1"]),
        ("[Na+].[Cl-]", ["[", "Na", "+", "]", ".", "[", "Cl", "-", "]"]),
        ("N[C@@H](C)[se]1", ["N", "[", "C", "@@", "H", "]", "(", "C", ")", "[", "se", "]", "1"]),
        ("NaSc@@", ["N", "a", "S", "c", "@", "@"]),
        ("[C%10]%10", ["[", "C", "%", "1", "0", "]", "%10"]),
        ("[[Na]Na", ["[", "[", "Na", "]", "N", "a"]),
    ],
)
def test_units(smiles, symbols):
    expected = [SYMBOL.get(unit.encode(), ord(unit[0])) for unit in symbols]
    assert CODEC.encode(smiles).symbols.tolist() == expected


@settings(deadline=None)  # the first example compiles
@given(st.one_of(SMILES, ANY))
def test_encodes_as_the_plain_twin_and_back(text):
    codec = MoleculeSmiles(**json.loads(json.dumps(CODEC.config())))
    patches = codec.encode(text)
    assert patches.symbols.tolist() == plain_encode(text)
    assert codec.decode(patches.symbols) == text
    data, ends = text.encode("utf-8", "surrogatepass"), codec.prefixes(patches.symbols)
    assert ends.tolist() == brute_prefixes(patches.symbols)
    for k in ends:  # a prefix is the encoding of a prefix
        part = codec.decode(patches.symbols[:k])
        assert data.startswith(part.encode("utf-8", "surrogatepass"))
        assert codec.encode(part).symbols.tolist() == patches.symbols[:k].tolist()


def check_strict(symbols):
    symbols = np.array(symbols, np.uint32)
    found = brute_prefixes(symbols)
    assert CODEC.prefixes(symbols).tolist() == found
    for k in found:
        assert CODEC.encode(CODEC.decode(symbols[:k])).symbols.tolist() == symbols[:k].tolist()


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(b"[]%@C1l0"), st.sampled_from(range(250, CODEC.alphabet))), max_size=20))
def test_strict_on_any_symbols(symbols):
    check_strict(symbols)


def test_strict_on_all_short_strings():
    pieces = [*b"[]%@1Cl\xc3\xa9", SYMBOL[b"Cl"], SYMBOL[b"%11"], SYMBOL[b"@@"], SYMBOL[b"Na"]]
    for symbols in itertools.product(pieces, repeat=3):
        check_strict(symbols)


@pytest.mark.parametrize(
    "symbols",
    [b"Cl", b"C%10", b"[Na", b"[@@", b"\xc3", b"\xa9", b"\xc0\x80", [SYMBOL[b"Na"]], [*b"[", SYMBOL[b"%10"]], [-1]],
)
def test_refuses(symbols):
    with pytest.raises(CorruptSymbols):
        CODEC.decode(np.array(list(symbols)))


def test_patches_are_molecules():
    assert spelled("CO.[Na+].Cl>>C.N>") == ["CO.", "[Na+].", "Cl>>", "C.", "N>"]
    assert spelled("C>O>N") == ["C>", "O>", "N"]
    assert spelled(".>>..") == [".>>", ".", "."]
    long = "C" * (2 * MAX_PATCH + 3)
    assert [len(part) for part in spelled(long)] == [MAX_PATCH, MAX_PATCH, 3]
    assert CODEC.encode("C" * MAX_PATCH).ends.tolist() == [MAX_PATCH]
    assert CODEC.encode("").ends.tolist() == []


def test_batches_are_their_records():
    texts = ["[Na", "", "Cl]Cl", "C.", ">>", "\ud800"]
    patches = CODEC.encode_batch(texts)
    alone = [CODEC.encode(text) for text in texts]
    assert patches.symbols.tolist() == np.concatenate([one.symbols for one in alone]).tolist()
    assert patches.records.tolist() == np.cumsum([len(one.ends) for one in alone]).tolist()
    assert np.diff(patches.ends).min() > 0
    assert CODEC.encode_batch([]).symbols.tolist() == []


def test_max_length_is_in_bytes():
    codec = MoleculeSmiles(max_length=6)
    symbols = codec.encode("ClBrCl").symbols
    assert len(symbols) == 3
    assert codec.decode(symbols) == "ClBrCl"
    assert codec.nbytes("Clé") == 4
    for refused in ("ClBrClC", "é" * 4, b"C", None):
        with pytest.raises(InvalidRecord):
            codec.encode(refused)
    longer = CODEC.encode("ClBrClC").symbols
    with pytest.raises(CorruptSymbols):
        codec.decode(longer)
    assert codec.prefixes(longer).tolist() == [0, 1, 2, 3]
    with pytest.raises(InvalidConfig):
        MoleculeSmiles(max_length=0)
