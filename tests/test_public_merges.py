"""`ult fit --merges`: the phrases of a public tokenizer, in its order; the records say only which id each has."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import ult
from ult.errors import FormatError, InvalidConfig, MissingSource
from ult.owner.bpe.public_merges import byte_letters, read_merges

RECORDS = [f"the cat sat on a naïve mat, the dog did not {n % 3}" for n in range(12)]


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A tokenizer that was trained on other texts; the path of its file."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    texts = ["the cats sat there", "that dog did not sit on the mat", "a naïve notion"] * 5
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=330, initial_alphabet=letters))
    path = tmp_path_factory.mktemp("public") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "records.txt"
    path.write_text("\n".join(RECORDS) + "\n", encoding="utf-8")
    return path


def spelled(table, ids):
    letters, spellings = byte_letters(), table.spellings()
    return ["".join(letters[b] for b in spellings[k - 32].tolist()) for k in ids.tolist()]


def test_words_are_cut_as_the_public_tokenizer_cuts_them(public, records, tmp_path):
    fitted = ult.fit(records, tmp_path / "t.ult", merges=public, vocabulary_size=512, encrypt=False, workers=1)
    table, tokenizer = fitted.table, Tokenizer.from_file(str(public))
    for text in ("the cat sat", " the dog", "naïve", "not there"):
        assert spelled(table, table.encode(text)) == tokenizer.encode(text).tokens
    used = np.bincount(np.concatenate(table.encode_batch(RECORDS)), minlength=table.size)[32:]
    assert used.tolist() == table.counts.tolist() == sorted(used.tolist(), reverse=True)
    assert any("only which id each has is secret" in line for line in fitted.remarks())
    assert ult.Table.load(tmp_path / "t.ult").decode(table.encode(RECORDS[0])) == RECORDS[0]


def test_a_smaller_vocabulary_takes_the_first_merges_and_the_records_choose_none(public, records, tmp_path):
    (tmp_path / "other.txt").write_text("zzzz zzzz zzzz\n" * 9)
    sets = []
    for name in (records, tmp_path / "other.txt"):
        table = ult.fit(name, tmp_path / "t.ult", merges=public, vocabulary_size=300, encrypt=False, workers=1,
                        force=True).table  # fmt: skip
        sets.append({symbols.tobytes() for symbols in table.spellings()})
        assert table.size == 300
    assert sets[0] == sets[1]


@pytest.mark.parametrize(
    "text",
    ["{}", "[", '{"model": {"merges": []}}', '{"model": {"merges": [["\u2581a", "b"]]}}', '{"model": {"merges": 5}}'],
)
def test_another_tokenizer_is_refused(text, records, tmp_path):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(FormatError, match="byte-level BPE"):
        ult.fit(records, tmp_path / "t.ult", merges=tmp_path / "tokenizer.json", encrypt=False, workers=1)
    assert not (tmp_path / "t.ult").exists()


def test_what_does_not_go_together_is_refused(public, records, tmp_path):
    with pytest.raises(InvalidConfig, match="min_records"):
        ult.fit(records, tmp_path / "t", merges=public, min_records=3, encrypt=False, workers=1)
    with pytest.raises(InvalidConfig, match="of text"):
        ult.fit(records, tmp_path / "t", codec="molecule/smiles", merges=public, encrypt=False, workers=1)
    with pytest.raises(MissingSource):
        read_merges(tmp_path / "none.json", longest=9)


def test_merges_too_long_or_without_their_parts_are_left_out(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"merges": ["a b", "ab c", "x yz", ["a", "b"], "ab d"]}}))
    assert read_merges(path, longest=9).tolist() == [[97, 98], [256, 99], [256, 100]]
    assert read_merges(path, longest=2).tolist() == [[97, 98]]
