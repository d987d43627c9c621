"""Records of every modality, the hostile ones by name, and symbols that no encode made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pictured import IMAGES, JPEGS, deep_images, jpeg
from ult.codecs.base import Codec

SCRIPTS = {
    "arabic": "مرحبا بالعالم، ١٢٣",
    "hebrew with points": "שָׁלוֹם",
    "devanagari": "नमस्ते दुनिया",
    "thai": "สวัสดีชาวโลก",
    "tamil": "வணக்கம்",
    "chinese": "你好，世界。",
    "japanese": "こんにちは「世界」カタカナ",
    "korean": "안녕하세요 세계",
    "decomposed korean": "\u1112\u1161\u11ab",
    "greek": "Γειά σου Κόσμε",
    "cyrillic": "Здравствуй, мир!",
    "georgian": "გამარჯობა",
    "ethiopic": "ሰላም ዓለም",
    "cherokee": "ᎣᏏᏲ",
    "cuneiform": "𒀀𒁀",
    "turkish i": "İıIi",
}
LONG = 3000  # characters of the long ones; a million of one character have a test of their own
TEXTS = {
    **SCRIPTS,
    "empty": "",
    "one": "a",
    "nul": "\0",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x85\x9f",
    "line ends": "a\r\nb\rc\nd\n\r\te\v\f",
    "separators": "\x1c\x1d\x1e\x1f\u2028\u2029\u00a0\u3000\ufeff",
    "surrogates": "\ud83d\ude00",
    "surrogates reversed": "\ude00\ud83d",
    "lone surrogate": "a\udfffb",
    "family": "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇫🇷",
    "combining": "e\u0301" * 5 + "Z" + "\u0300\u0315\u0489" * 40,
    "right to left": "\u202eabc\u202c \u2066def\u2069",
    "last code points": "\ufffd\ufffe\uffff\U00010000\U0010ffff",
    "latin-1 bytes": bytes(range(256)).decode("latin-1"),
    "random bytes": np.random.default_rng(0).integers(0, 256, 500, np.uint8).tobytes().decode("latin-1"),
    "no spaces": "pneumonoultramicroscopicsilicovolcanoconiosis" * 20,
    "digits": "31415926535897932384626433832795" * 20,
    "spaces": " " * LONG,
    "newlines": "\n" * LONG,
    "one letter": "a" * LONG,
    "one wide letter": "\U0010ffff" * 500,
    "apostrophes": "'" * 50 + "it's 's ' s '' 'ß '1",
    "special tokens": "<pad><bos><eos><unk> <reserved_4>",
    "ends with an apostrophe": "dogs'",  # which the next record of a batch must not complete
    "year": "In 2024, not 2025.",
}
SMILES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "salt": "[Na+].[Cl-]",
    "stereo": "F/C=C/F.N[C@@H](C)C(=O)O.C[C@H](N)C(=O)O",
    "isotopes": "[2H]C([2H])([2H])[13C@@]1(Br)CC1",
    "rings": "C%10CCCCC%10C1CC1%99C%99%9",
    "reaction": "CCO.CC(=O)O>[H+].OS(=O)(=O)O>CC(=O)OCC.O",
    "mapped reaction": "[CH3:1][OH:2].[Cl:3][H]>>[CH3:1][Cl:3].[OH2:2]",
    "wildcards": "*C~N$P:c",
    "unclosed": "C1CC(=O[Na",
    "brackets": "]][[[Sc]@@@[se][as]Sc%1%123",
    "ends with C": "C[NH3+",  # which the next record of a batch must not complete
    "starts with l": "l]Sc%1",
    "starts with a digit": "2C",
    "no smiles": "hello %% Cl Br clbr",
    "long chain": "C" * 700 + "." * 30 + ">" * 30,
}


SERIES = {
    "empty": np.empty(0),
    "one": np.array([0.25]),
    "nan": np.array([np.nan]),
    "all nan": np.full(30, np.nan),
    "some nan": np.array([np.nan, 1.0, np.nan, -1.0]),
    "constant": np.full(25, 3.75),
    "signed zeros": np.array([0.0, -0.0]),
    "tiny": np.array([5e-324, -5e-324, 1e-310, 2.2e-308]),
    "huge": np.array([1.7e308, -1.7e308, 1e300]),
    "extremes": np.array([-1.0, 1.0, 0.0] * 9),
    "float32": np.linspace(-2, 2, 41, dtype=np.float32),
    "integers": np.arange(-5, 300),
    "every other": np.arange(60.0)[::2],
    "wave": np.sin(np.arange(200) / 7),
}

texts = st.one_of(st.text(st.characters(codec=None), max_size=60), st.text("ab '1.\n\té\U0001f600", max_size=80))
smiles = st.one_of(st.text("CcNOBrl[]@+-=#%0123456789().>/\\", max_size=60), texts)
_sides = st.integers(1, 24)
images = hnp.arrays(np.uint8, st.one_of(st.tuples(_sides, _sides), st.tuples(_sides, _sides, st.sampled_from([3, 4]))))
jpegs = st.builds(
    jpeg,
    hnp.arrays(np.uint8, st.one_of(st.tuples(_sides, _sides), st.tuples(_sides, _sides, st.just(3)))),
    quality=st.sampled_from([1, 50, 75, 95, 100]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    optimize=st.booleans(),
    restart_marker_blocks=st.integers(0, 3),
)
series = hnp.arrays(
    np.float64,
    st.integers(0, 40),
    elements=st.one_of(st.floats(-2, 2), st.floats(allow_nan=True, allow_infinity=False)),
)


@dataclass(frozen=True)
class Modality:
    """What the laws need to know of one codec. `sized(n)` is a record of n units of its `max_length`.

    It stands under the codec's id, or the id and " of " a kind of its records.
    """

    configs: Sequence[dict[str, Any]]
    records: st.SearchStrategy[Any]
    hostile: dict[str, Any]
    sized: Callable[[int], Any]
    invalid: Sequence[Any]
    claims: Sequence[list[int]] = field(default=())  # symbols that claim far more than they hold


def _deep(low: int, high: int, dtype: type) -> st.SearchStrategy[Any]:
    shapes = st.one_of(st.tuples(_sides, _sides), st.tuples(_sides, _sides, st.sampled_from([3, 4])))
    return hnp.arrays(dtype, shapes, elements=st.integers(low, high))


LEVELS = [[float(x) for x in range(-k, k + 1 + k % 3)] for k in range(40)]
LEVELS[7] = [-1e300, 0.0, 1e-300, 1.0, 1.7e308]
_HUGE = [255, 255, 255, 255, 127]  # 2**35 - 1
_NO_TEXT = (None, 1, b"bytes", ["a"], np.array(["a"]))
MODALITIES = {
    "text/bytes": Modality([{}, {"max_length": 300_000}], texts, TEXTS, lambda n: "a" * n, _NO_TEXT),
    "text/bwt": Modality(
        [{}, {"patch_size": 1}, {"patch_size": 10}, {"patch_size": 256}],
        texts,
        TEXTS,
        lambda n: "a" * n,
        _NO_TEXT,
        [[511, 97] * 50, [256, 263, 97]],
    ),
    "image/dct": Modality(
        [{}, {"quality": 100}, {"quality": 1}, {"coefficients": 3}, {"places": 4}, {"places": 1, "quality": 97}],
        images,
        IMAGES,
        lambda n: np.zeros((1, n), np.uint8),
        (None, "image", [[1]], np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8)),
        [[3, *_HUGE, *_HUGE, 0], [0, *_HUGE, 1, 0], [0, 255, 255, 255, 31, 1, 0]],
    ),
    "image/jpeg": Modality(
        [{}, {"places": 1}],
        jpegs,
        JPEGS,
        lambda n: jpeg(np.zeros((1, n), np.uint8)),
        (None, "text", b"", JPEGS["grey"][:-2], np.zeros((2, 2), np.uint8)),
        [[1, 15, 15, 15, 15, 1, 15, 15, 15, 15, 1, 1, 1, 0, *[0, 1] * 64, 48, 81, 8]],
    ),
    "series/mulaw": Modality(
        [{}, {"low": -1e6, "high": 3.0}, {"low": 5.0, "high": 5.0, "levels": 3}, {"patch_size": 1, "levels": 65536}],
        series,
        SERIES,
        np.zeros,
        (None, "1", [1.0], np.array([np.inf]), np.array([1j]), np.zeros((2, 2)), np.array([2**60]), np.array(["a"])),
    ),
    "series/levels": Modality(
        [{}, {"columns": [[-1.0, 0.5, 3.0]], "patch_size": 10}, {"columns": [[5.0]], "max_length": 400}],
        series,
        SERIES,
        np.zeros,
        (None, "1", [1.0], np.array([np.inf]), np.array([1j]), np.zeros((2, 2)), np.array([2**60]), np.array(["a"])),
    ),
    "series/levels of columns": Modality(
        [
            {"columns": LEVELS},
            {"columns": LEVELS, "apart": 1},
            {"columns": LEVELS, "apart": 1, "patch_size": 4},
            {"columns": LEVELS, "tilings": 2},
            {"columns": LEVELS, "apart": 1, "tilings": 9},
        ],
        series,
        {name: values for name, values in SERIES.items() if len(values) <= len(LEVELS)},
        np.zeros,
        (None, np.array([np.inf]), np.zeros((2, 2)), np.zeros(len(LEVELS) + 1)),
    ),
    "image/dct of 12 bits": Modality(
        [{"bits": 12}, {"bits": 12, "coefficients": 3, "quality": 100}, {"bits": 12, "places": 3}],
        _deep(0, 4095, np.uint16),
        deep_images(0, 4095, np.uint16),
        lambda n: np.zeros((1, n), np.uint16),
        (None, np.zeros((2, 2), np.uint8), np.full((2, 2), 4096, np.uint16), np.zeros((0, 2), np.uint16)),
        [[3, *_HUGE, *_HUGE, 0], [0, 1, 1, 128, 32]],
    ),
    "image/dct of signed 16 bits": Modality(
        [
            {"bits": 16, "low": -(2**15), "quality": 100},
            {"bits": 10, "low": -300, "high": 299, "clip": 1},
            {"bits": 16, "low": -(2**15), "quality": 100, "places": 2},
        ],
        _deep(-(2**15), 2**15 - 1, np.int16),
        deep_images(-(2**15), 2**15 - 1, np.int16),
        lambda n: np.zeros((1, n), np.int16),
        (None, np.zeros((2, 2)), np.zeros((2, 2), np.int32)),
        [[0, *_HUGE, 1, 0]],
    ),
    "molecule/smiles": Modality([{}], smiles, {**SMILES, **TEXTS}, lambda n: "C" * n, _NO_TEXT),
}

FIELDS = [
    {"name": "plan", "kind": "category", "absent": None},
    {"name": "age", "kind": "number", "edges": ["30", "45.5", "60"], "missing": ["?", "NA", "999"], "absent": "?"},
    {"name": "dose", "kind": "number", "decimal": ",", "thousands": ".", "edges": ["0", "1000"], "before": ["", "<"],
     "after": ["", " mg", " ml"], "exponent": True, "absent": ""},
    {"name": "in", "kind": "date", "forms": ["Y-m-d", "d.m.Y", "Y-m"], "missing": ["unknown"], "absent": "unknown"},
    {"name": "out", "kind": "date", "absent": ""},
    {"name": "month", "kind": "date", "forms": ["Y-m"]},
    {"name": "wage", "kind": "number", "thousands": "\u202f", "edges": ["5000"], "after": ["", "€5"]},
    {"name": "note", "kind": "text"},
    {"name": "codes", "kind": "list", "separator": ", ", "absent": ""},
    {"name": "drug", "kind": "molecule", "absent": ""},
    {"name": "events", "kind": "rows", "fields": [
        {"name": "code", "kind": "category", "absent": "-", "carried": True},
        {"name": "value", "kind": "number", "by": "code", "edges": ["1"], "edges_by": {"K": ["3.5", "5"]}},
        {"name": "time", "kind": "date", "missing": [""], "carried": True},
        {"name": "ward", "kind": "number", "edges": ["2"], "carried": True, "absent": "1"},
    ]},
]  # fmt: skip
LOSSY_FIELDS = [
    {"name": "age", "kind": "number", "edges": ["30", "60"], "levels": ["20", "45", "75.5"], "missing": ["?"]},
    {"name": "curve", "kind": "series", "options": {"low": 0.0, "high": 10.0, "levels": 20}},
    {"name": "scan", "kind": "image", "options": {"quality": 30}},
]
REQUIRED_FIELDS = [
    {"name": "plan", "kind": "category", "required": True},
    {"name": "age", "kind": "number", "edges": ["30"], "missing": ["?"], "required": True},
    {"name": "weight", "kind": "number", "absent": "70", "required": True},
    {"name": "born", "kind": "date", "required": True},
    {"name": "note", "kind": "text", "required": True},
    {"name": "codes", "kind": "list", "required": True},
    {"name": "drug", "kind": "molecule", "required": True},
    {"name": "curve", "kind": "series", "required": True, "options": {"low": 0.0, "high": 1.0, "levels": 4}},
    {"name": "labs", "kind": "rows", "required": True, "fields": [
        {"name": "code", "kind": "category", "required": True, "carried": True},
        {"name": "value", "kind": "number", "by": "code", "edges_by": {"K": ["3.5", "5"]}, "required": True},
        {"name": "unit", "kind": "category"},
        {"name": "time", "kind": "date", "required": True, "carried": True, "missing": ["never"]},
    ]},
    {"name": "end", "kind": "date"},
]  # fmt: skip
_days = st.dates().map(str)
_moments = st.datetimes().map(lambda at: at.isoformat(" "))
_counts = st.one_of(
    st.integers(0, 99), st.integers(-(2**70), 2**70), st.decimals(allow_nan=False, allow_infinity=False)
)
_plain = _counts.map(lambda number: f"{number:f}")
_doses = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "<"]),
    st.sampled_from(["5", "-0,50", "1.000", "12.345,6", "2e3", ",5", "7,"]),
    st.sampled_from(["", " mg", " ml"]),
)  # fmt: skip
_labs = st.tuples(
    st.one_of(st.none(), st.sampled_from(["K", "Na", "-"]), texts),
    st.one_of(st.none(), _plain),
    st.one_of(st.none(), st.just(""), st.just("2024-03-01"), _days, _moments),
    st.one_of(st.none(), st.sampled_from(["1", "1.0", "2", "03"])),
)
records = st.tuples(
    st.one_of(st.none(), texts),
    st.one_of(st.none(), st.sampled_from(["?", "NA", "999", "063.0", "30", "45.5"]), _plain),
    st.one_of(st.just(""), _doses),
    st.one_of(st.just("unknown"), _days, st.sampled_from(["29.02.2024", "2024-05", "0001-01-01T00:00Z"])),
    st.one_of(st.none(), st.just(""), _days, _moments),
    st.one_of(st.none(), st.sampled_from(["2024-05", "0001-01"])),
    st.one_of(st.none(), st.sampled_from(["12€5", "1\u202f234", "12\u202f345\u202f678.5", "1234"])),
    st.one_of(st.none(), texts),
    st.one_of(st.none(), st.sampled_from(["", "a", "a, b", ", ", "a,, b", ",", "a, "]), texts),
    st.one_of(st.none(), smiles),
    st.lists(_labs, max_size=4).map(tuple),
)
LOSSY = st.tuples(
    st.one_of(st.none(), st.sampled_from(["?", "0", "45", "1000"])),
    st.one_of(st.none(), hnp.arrays(np.float64, st.integers(0, 8), elements=st.floats(0, 10))),
    st.one_of(st.none(), images),
)
_BLANK = (None, "?", "", "unknown", "", None, None, None, "", "", ())
RECORDS = {
    "blank": _BLANK,
    "patient": ("gold", "063.0", "<12.345,6 mg", "2024-02-29 10:00", "2024-03-02", "2024-05",
                "1\u202f234", "no fever,\n", "a, b", "CCO",
                (("K", "4.50", "2024-03-01", "1"), ("K", "135", "2024-03-01", None), (None, None, None, "1"))),
    "zeros": ("", "000", "-0", "9999-12-31", "0001-01-01", None, None, "", " ", "c1ccccc1", ((" ", "-0.0", "", "2"),)),
    "edges": (None, "45.5", "0", "2024-12", "2000-02-29", "2000-02", "5\u202f000", None, "x", "",
              (("K", "5", None, "2"), ("-", "4.9999999999999999999", None, "1"))),
    "long": ("x" * 700, "9" * 400, "1e-999", "unknown", "", None, "1" * 999, "word " * 200, "y" * 300, "",
             (("K" * 255, "1", None, None),)),
}  # fmt: skip
LOSSY_RECORDS = [
    ("?", np.array([0.0, 5.0, np.nan]), np.full((3, 4), 9, np.uint8)),
    ("45", np.empty(0), None),
    (None, None, np.arange(48, dtype=np.uint8).reshape(4, 4, 3)),
    ("-7.5", None, None),
]
MODALITIES["record/columns"] = Modality(
    [{"fields": FIELDS}],
    records,
    RECORDS,
    lambda n: ("a" * (n - 1), *_BLANK[1:]),
    (
        None, "text", ["a"], ("a",), (*_BLANK, ""), (1, *_BLANK[1:]), (None, "3,5", *_BLANK[2:]),
        (*_BLANK[:3], "2023-02-29", *_BLANK[4:]), (*_BLANK[:10], ("a",)), (*_BLANK[:10], None),
        (*_BLANK[:6], "1" * 1001, *_BLANK[7:]),
        (*_BLANK[:10], (("K", "high", None, None),)),
    ),
)  # fmt: skip
_NONE = ("", None, None, None, None, None, None, None, (), None)
MODALITIES["record/columns of required fields"] = Modality(
    [{"fields": REQUIRED_FIELDS}],
    st.tuples(
        st.one_of(st.none(), texts),
        st.one_of(st.none(), st.sampled_from(["", "?", "31", "29.0"])),
        st.one_of(st.none(), st.sampled_from(["", "70", "70.0"])),
        st.one_of(st.none(), st.just(""), _days, _moments),
        st.one_of(st.none(), texts),
        st.one_of(st.none(), st.sampled_from(["", "a|b", "|"])),
        st.one_of(st.none(), smiles),
        st.one_of(st.none(), hnp.arrays(np.float64, st.integers(0, 3), elements=st.sampled_from([0.0, 1.0, np.nan]))),
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.sampled_from(["K", "", "Na"])),
                st.one_of(st.none(), st.sampled_from(["", "4", "5.0"])),
                st.one_of(st.none(), st.just("mg")),
                st.one_of(st.none(), st.sampled_from(["", "never"]), _days),
            ),
            max_size=3,
        ).map(tuple),
        st.one_of(st.none(), _days),
    ),
    {
        "none": _NONE,
        "all": ("a", "5", "70", "1950-02-03", "ok", "a|b", "C", np.zeros(2), (("K", "4", None, "2024-01-01"),), None),
        "again": (
            *_NONE[:8],
            ((None, None, None, None), (None, "", "mg", None), ("K", "", "mg", "never")),
            "2024-01-02",
        ),
    },
    lambda n: ("a" * max(n - 11, 0), None, "70", None, "", "", "", np.empty(0), (), None),  # 11 symbols at least
    (None, (), (*_NONE[:8], None, None), (*_NONE[:8], (None,), None), ("", "high", *_NONE[2:])),
)


@st.composite
def symbols(draw: st.DrawFn, codec: Codec[Any], modality: Modality) -> Any:
    """Symbols of the alphabet: any, or an encoding with symbols changed, taken out, put in or cut off."""
    any_symbol = st.one_of(st.integers(0, codec.alphabet - 1), st.integers(0, min(codec.alphabet, 300) - 1))
    if draw(st.booleans()):
        return np.array(draw(st.lists(any_symbol, max_size=40)), np.uint32)
    found = codec.encode(draw(modality.records)).symbols[:150].tolist()
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(found)))
        found[at : at + draw(st.integers(0, 2))] = draw(st.lists(any_symbol, max_size=2))
    return np.array(found, np.uint32)
