"""The library: what the command line does, from Python; the same files, byte for byte, and nothing silently changed."""

import warnings

import numpy as np
import pytest

import ult
from ult.errors import NoPhrases, ValuesClipped

VOCABULARY = ult.Vocabulary(512)
NOTES = [f"patient {n} reports chest pain and no fever" for n in range(30)]

# ---- safe by default


def test_a_phrase_needs_five_records_unless_said():
    """`Table.fit` has the default of `ult fit`: what four records share is no phrase."""
    table = ult.Table.fit([*NOTES, *["zebra crossing"] * 9, *(f"axolotl {n}" for n in range(4))], vocabulary=VOCABULARY)
    assert table.min_records == 5
    spelt = {bytes(symbols.astype(np.uint8)) for symbols in table.spellings()}
    assert any(b"pain" in phrase for phrase in spelt)
    assert not any(b"zeb" in phrase or b"axo" in phrase for phrase in spelt)


def test_a_table_without_phrases_says_so_unless_that_was_asked_for():
    with pytest.warns(NoPhrases, match="held by 5 distinct records") as caught:
        table = ult.Table.fit(NOTES[:4], vocabulary=VOCABULARY)
    assert caught[0].filename == __file__
    assert table.phrases == 0
    assert table.decode(table.encode(NOTES[9])) == NOTES[9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ult.Table.fit(NOTES[:4], vocabulary=VOCABULARY, min_records=5).phrases == 0
        assert ult.Table.fit(NOTES[:4], vocabulary=VOCABULARY, min_records=1).phrases > 0


def test_clipped_values_are_counted_once_a_call():
    codec = ult.CODECS["series/mulaw"](low=-1.0, high=1.0)
    series = [np.sin(np.arange(50) + k) for k in range(40)]
    table = ult.Table.fit(series, codec=codec, vocabulary=VOCABULARY)
    beyond = [np.array([0.5, 3.0, np.nan, -7.0]), *series, np.array([2.0])]
    for call in (table.encode_batch, table.encode_ragged):
        with pytest.warns(ValuesClipped, match=r"^3 of 2,005 values lie outside") as caught:
            call(beyond)
        assert len(caught) == 1
        assert caught[0].filename == __file__
    with pytest.warns(ValuesClipped, match=r"^2 of 4 values"):
        table.encode(beyond[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.encode_batch(series)
        table.encode_ragged(beyond, warn=False)


# ---- what results show


def test_a_table_shows_figures_and_no_phrase():
    table = ult.Table.fit(NOTES, vocabulary=VOCABULARY)
    for text in (repr(table), table._repr_html_()):
        assert table.fingerprint in text
        assert "pain" not in text
    assert "<th>codec</th><td>text/bytes</td>" in table._repr_html_()
