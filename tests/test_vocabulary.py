"""The public half: letters that nothing alters, ids <-> text, the tokenizer of Hugging Face."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ult.errors import CorruptSymbols, FormatError, InvalidConfig, MissingSource
from ult.public.vocabulary import BOS, EOS, MAX_SIZE, N_SPECIAL, PAD, SPECIAL, UNK, Vocabulary

SMALL = Vocabulary(100)
LARGE = Vocabulary(MAX_SIZE)
LETTERS = LARGE.symbols()[N_SPECIAL:]


def test_there_are_letters_for_128k_ids():
    assert MAX_SIZE > 2**17
    assert len(LETTERS) == MAX_SIZE - N_SPECIAL == len(set(LETTERS))
    assert {len(letter) for letter in LETTERS} == {1}


def test_no_letter_is_a_control_mark_space_or_right_to_left():
    assert {unicodedata.category(letter) for letter in LETTERS[:104_025]} == {"Lo"}
    assert {unicodedata.category(letter) for letter in LETTERS[104_025:]} == {"Co"}  # private use
    assert {unicodedata.bidirectional(letter) for letter in LETTERS} == {"L"}
    assert not any(letter.isspace() for letter in LETTERS)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_normalisation_changes_no_text(form):
    text = LARGE.to_text(np.arange(MAX_SIZE))
    assert unicodedata.normalize(form, text) == text
    shuffled = LARGE.to_text(np.random.default_rng(0).integers(0, MAX_SIZE, 200_000))
    assert unicodedata.normalize(form, shuffled) == shuffled


def test_text_survives_files_and_strip():
    text = LARGE.to_text(np.arange(N_SPECIAL, MAX_SIZE))
    assert text.encode("utf-8").decode("utf-8") == text
    assert text.split() == [text] == text.splitlines()


@given(st.lists(st.integers(0, MAX_SIZE - 1), max_size=60))
def test_text_and_ids_are_inverse(ids):
    text = LARGE.to_text(ids)
    found = LARGE.from_text(text)
    assert found.dtype == np.uint32
    assert found.tolist() == ids
    assert LARGE.to_text(found) == text == "".join(LARGE.symbols()[i] for i in ids)


def test_every_id_and_its_letter_are_as_published():
    assert LARGE.from_text(LARGE.to_text(np.arange(MAX_SIZE))).tolist() == list(range(MAX_SIZE))
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert SMALL.to_text([0, 1, 2, 3, 4, 31]) == "<pad><bos><eos><unk><reserved_4><reserved_31>"
    assert [ord(LARGE.symbols()[i]) for i in (32, 21_023, 21_024, 32_195, 32_196, 65_535)] == [
        0x4E00,
        0x9FFF,
        0xAC00,
        0xD7A3,
        0x3400,
        0x2687B,
    ]


@pytest.mark.parametrize(
    "text", ["a", " ", "\n", "一 丁", "<", "<eos", "<eos >", "<x>", "<EOS>", "一<丁>", "\ud800", "\0", ">"]
)
def test_refuses_other_text(text):
    with pytest.raises(CorruptSymbols):
        LARGE.from_text(text)


def test_refuses_what_is_outside_its_size():
    last = SMALL.to_text([99])
    assert SMALL.from_text(last).tolist() == [99]
    with pytest.raises(CorruptSymbols, match=r"character 1 .* 100"):
        SMALL.from_text(last + LARGE.to_text([100]))
    for ids in ([100], [-1], [2**40], [2**70], [0.5], ["a"], [[40]], [True]):
        with pytest.raises(CorruptSymbols):
            SMALL.to_text(ids)


@pytest.mark.parametrize("size", [0, 32, -1, MAX_SIZE + 1, 2**70, 100.0, "100", None, True])
def test_refuses_sizes(size):
    with pytest.raises(InvalidConfig):
        Vocabulary(size)


@pytest.mark.parametrize("size", [33, MAX_SIZE])
def test_smallest_and_largest(size):
    vocabulary = Vocabulary(size)
    assert vocabulary.from_text(vocabulary.to_text([size - 1])).tolist() == [size - 1]
    assert len(vocabulary.symbols()) == size


def test_is_a_value():
    assert Vocabulary(np.int64(100)) == SMALL != Vocabulary(101)
    assert hash(Vocabulary(100)) == hash(SMALL)
    assert repr(SMALL) == "Vocabulary(size=100)"
    assert SMALL != 100
    with pytest.raises(AttributeError):
        SMALL.size = 5  # type: ignore[misc]


def test_saved_and_loaded(tmp_path):
    SMALL.save(tmp_path / "v.json")
    assert (tmp_path / "v.json").read_text() == '{"format": "ult-vocabulary/1", "size": 100}\n'
    assert Vocabulary.load(tmp_path / "v.json") == SMALL
    with pytest.raises(MissingSource):
        Vocabulary.load(tmp_path / "w.json")
    with pytest.raises(FormatError):
        Vocabulary.load(tmp_path)


# ---- the tokenizer


@pytest.fixture(scope="module", params=[40, 5000])
def pair(request, tmp_path_factory):
    """A vocabulary, its tokenizer, and the same tokenizer saved and loaded."""
    from transformers import AutoTokenizer

    vocabulary, folder = Vocabulary(request.param), tmp_path_factory.mktemp("tokenizer")
    vocabulary.tokenizer().save_pretrained(folder)
    return vocabulary, vocabulary.tokenizer(), AutoTokenizer.from_pretrained(folder)


def test_tokenizer_gives_the_ids(pair):
    vocabulary, *tokenizers = pair
    rng = np.random.default_rng(0)
    for tokenizer in tokenizers:
        assert len(tokenizer) == vocabulary.size
        for length in (0, 1, 2, 500):
            ids = rng.integers(0, vocabulary.size, length).tolist()
            text = vocabulary.to_text(ids)
            assert tokenizer(text)["input_ids"] == ids
            assert tokenizer.decode(ids) == text
        assert tokenizer.convert_tokens_to_ids(vocabulary.symbols()) == list(range(vocabulary.size))


def test_tokenizer_knows_its_special_tokens(pair):
    _, *tokenizers = pair
    for tokenizer in tokenizers:
        special = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
        assert special == (PAD, BOS, EOS, UNK)
        assert tokenizer("一<eos>", add_special_tokens=True)["input_ids"] == [32, EOS]
        assert tokenizer.decode([BOS, 32, 33, EOS, PAD], skip_special_tokens=True) == "一丁"
        padded = tokenizer(["一", "一丁"], padding=True)
        assert sorted(map(sorted, padded["input_ids"])) == [[PAD, 32], [32, 33]]


def test_tokenizer_reads_any_other_character_as_unknown(pair):
    vocabulary, *tokenizers = pair
    beyond = LARGE.to_text([vocabulary.size])
    for tokenizer in tokenizers:
        assert tokenizer(f"一a {beyond}丁")["input_ids"] == [32, UNK, UNK, UNK, 33]
        assert tokenizer("e\u0301\n")["input_ids"] == [UNK] * 3


def test_special_tokens_have_distinct_names():
    assert len(set(SPECIAL)) == N_SPECIAL
