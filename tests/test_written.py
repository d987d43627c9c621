"""With the owner's grammar even an untrained model generates ids that decode."""

from typing import Any

import numpy as np
import pytest

from ult.codecs import CODECS
from ult.errors import CorruptSymbols, InvalidConfig
from ult.owner.constrained import TableGrammar, read_written
from ult.owner.table import Table
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import EOS, Vocabulary
from ult.trainer.generate import generate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

WORDS = ["naïve café", "the cat sat on the mat", "日本語 text", "über 20 €", "smile 🙂 and go"]
MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "Clc1ccccc1.[Na+].[OH-]>>Oc1ccccc1", "C[C@@H](N)C(=O)O", "BrC%12CC%12[Se]"]


def pictures():
    """Images of several sizes, smooth enough for phrases."""
    rng = np.random.default_rng(0)
    for height, width, channels in [(8, 8, 3), (16, 24, 3), (9, 30, 4), (32, 32, 3)] * 4:
        y, x, c = np.ogrid[:height, :width, :channels]
        yield (128 + 100 * np.sin(rng.random() + y / 5 + x / 7 + c)).astype(np.uint8)


RECORDS: dict[str, list[Any]] = {
    "text/bytes": WORDS,
    "molecule/smiles": MOLECULES,
    "series/mulaw": [np.sin(np.arange(n) / 3) for n in (5, 20, 31)],
    "image/dct": list(pictures()),
    "text/bwt": WORDS,
}


def untrained(folder, codec, *, fields=(), context=64):
    """Return a table, and a run on its shards of no more than a step."""
    table = Table.fit(RECORDS[codec] * 3, codec=codec, vocabulary=Vocabulary(560), fields=fields, min_records=1)
    shards = {"table": table.fingerprint, "codec": codec, "column": "x", "vocabulary": table.vocabulary}
    with ShardWriter(folder / "shards", **shards) as writer:
        writer.write(table.encode_batch(RECORDS[codec]), 1)
    train(folder / "shards", folder / "run", Recipe(steps=1, batch_size=2, context=context))
    return table, folder / "run"


@pytest.mark.parametrize(
    ("codec", "at_most"), [("text/bytes", 0.4), ("molecule/smiles", 0.4), ("series/mulaw", 1.0), ("image/dct", 0.1)]
)
def test_all_decode_with_the_grammar_and_fewer_without(codec, at_most, tmp_path):
    table, run = untrained(tmp_path, codec)
    masked = generate(run, n=60, grammar=TableGrammar(table))
    written = read_written(masked, table)
    assert (written.whole, written.cut, written.nothing) == (60, 0, 0)
    free = read_written(generate(run, n=60), table)
    assert free.asked == free.whole + free.cut + free.nothing == 60
    assert free.whole / 60 <= at_most


def test_free_series_decode_but_for_unknown_ids(tmp_path):
    table, run = untrained(tmp_path, "series/mulaw")
    assert table.size < table.vocabulary.size
    records = generate(run, n=60)
    free = read_written(records, table)
    assert free.whole == sum(int(ids.max(initial=0)) < table.size for ids in records) < 60


def test_records_of_a_wide_table_have_its_number_of_values(tmp_path):
    fields = [f"gene {k}" for k in range(20)]
    table, run = untrained(tmp_path, "series/mulaw", fields=fields)
    written = read_written(generate(run, n=40, grammar=TableGrammar(table)), table)
    assert [len(record) for record in written.records] == [20] * 40
    assert written.whole == 40


def test_prompts_are_continued_to_whole_records(tmp_path):
    table, run = untrained(tmp_path, "image/dct")
    prompts = [table.encode(image)[:4] for image in RECORDS["image/dct"][:2]]
    records = generate(run, prompts, n=10, grammar=TableGrammar(table))
    written = read_written(records, table)
    assert written.whole == 20
    assert {image.shape for image in written.records[:10]} == {(8, 8, 3)}


def test_a_prompt_too_large_for_the_room_is_cut(tmp_path):
    table, run = untrained(tmp_path, "image/dct", context=16)
    large = table.encode(np.zeros((200, 200), np.uint8))[:4]
    written = read_written(generate(run, [large], n=5, grammar=TableGrammar(table)), table)
    assert written.whole == 0
    assert written.nothing == 5


def test_what_the_grammar_of_ids_allows():
    table = Table.fit(["é", "é!"], vocabulary=Vocabulary(300), min_records=1)
    grammar = TableGrammar(table)
    (whole,), first = (
        table.encode("é"),
        next(i for i in range(32, table.size) if table.spellings()[i - 32].tolist() == [0xC3]),
    )
    state = grammar.start([])
    assert grammar.allowed(state, 2)[[EOS, whole, first]].all()
    assert not grammar.allowed(state, 2)[[0, 1, 3, 31, *range(table.size, 300)]].any()
    assert not grammar.allowed(state, 1)[first], "no room for the rest of the character"
    after = grammar.allowed(grammar.advance(state, first), 1)
    assert sorted(table.spellings()[i - 32].tolist()[0] for i in np.flatnonzero(after)) == list(range(0x80, 0xC0))
    for prompt in ([first, first], [3], [299]):
        with pytest.raises(CorruptSymbols, match="of the prompt"):
            grammar.start(prompt)


def test_a_codec_without_a_grammar_is_counted(tmp_path):
    table, run = untrained(tmp_path, "text/bwt")
    with pytest.raises(InvalidConfig, match="text/bwt has no grammar"):
        TableGrammar(table)
    assert CODECS["text/bwt"]().grammar() is None
    free = read_written(generate(run, n=60), table)
    assert free.whole + free.cut == 60, "at least the beginning, which is empty"
    assert free.whole < 10
