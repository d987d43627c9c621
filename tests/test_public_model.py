"""`ult align --to-model`: a public model reads the ids of a table by its own tokens' rows, at a price that is told."""

import json

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from typer.testing import CliRunner

from toy import weights
from ult.audit.code.embedding_rows import NAME, attack_public_rows
from ult.audit.code.evidence import Coded
from ult.cli import app
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputExists
from ult.owner.handover.align_to_model import align_to_model
from ult.owner.handover.public_model import PublicModel
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import BOS, EOS, N_SPECIAL, UNK, Vocabulary
from ult.trainer.models.build import initial_weights
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

PUBLIC = ["the cat sat on the mat", "the dog sat on the log", "naïve cats"] * 4
OWN = ["the cat and the dog sat", "the frog sat on a naïve log"] * 4
ROWS = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny public model: byte-level BPE and a Llama of its tokens, as transformers and tokenizers save them."""
    found = tmp_path_factory.mktemp("public") / "model"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        PUBLIC, trainers.BpeTrainer(vocab_size=300, initial_alphabet=letters, special_tokens=["<end>"])
    )
    torch.manual_seed(0)
    size = tokenizer.get_vocab_size()
    config = transformers.LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(found)
    tokenizer.save(str(found / "tokenizer.json"))
    return found


@pytest.fixture(scope="module")
def table():
    return Table.fit(OWN, vocabulary=Vocabulary(320), min_records=1)


def test_each_phrase_has_the_mean_of_its_public_tokens(folder, table, tmp_path):
    told = align_to_model(folder, table, tmp_path / "run")
    before, after = weights(folder), weights(tmp_path / "run")
    public = PublicModel.open(folder)
    for phrase in (" the", "d", " frog", " na\u00efve"):
        (rank,) = [k for k, s in enumerate(table.spellings()) if bytes(s.astype(np.uint8)) == phrase.encode()]
        tokens = public.tokenizer.encode(phrase, add_special_tokens=False).ids
        torch.testing.assert_close(after[ROWS][N_SPECIAL + rank], before[ROWS][tokens].mean(0))
    assert torch.equal(after[ROWS][EOS], before[ROWS][0])
    assert torch.equal(after[ROWS][BOS], before[ROWS][0])
    torch.testing.assert_close(after[ROWS][UNK], before[ROWS].mean(0))
    assert all(torch.equal(before[name], after[name]) for name in before if name != ROWS)
    assert told["special"] + told["copied"] + told["composed"] + told["unused"] == 320
    assert 0 < told["named"] < 1
    assert [len(part) for part in public.tokens([b"\xc3", b"a\xc3"])] == [1, 2], "half a letter is a byte's token"


def test_the_run_goes_on_with_these_rows_and_says_where_they_are_from(folder, table, tmp_path):
    align_to_model(folder, table, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert (run.tables, run.trained_on, run.metrics["from_run"]) == ({table.fingerprint}, None, "model")
    with ShardWriter(tmp_path / "shards", vocabulary=table.vocabulary, table=table.fingerprint, codec="text/bytes",
                     column="text") as writer:  # fmt: skip
        writer.write(table.encode_batch(OWN), nbytes=sum(map(len, OWN)))
    told = train(tmp_path / "shards", tmp_path / "next", Recipe(steps=2, context=16, batch_size=2,
                                                              from_run=tmp_path / "run"))  # fmt: skip
    assert (told["embeddings"], told["trained_before"]) == ("keep", None)
    assert told["aligned"]["model"] == "model", "so that a release asks for the audit of these rows"
    found = attack_public_rows(Coded.of(table.encode_batch(OWN)), run=tmp_path / "next", model=folder, truth=table)
    assert found["occurrences"] == pytest.approx(found["ceiling"], abs=0.02), "what is one token is read outright"
    assert found["occurrences"] > 0.5 > found["blind"]


def test_by_command_with_the_price_and_its_audit(folder, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("\n".join(OWN) + "\n")
    for command in (
        "fit a.txt -o t.ult --min-records 1 --vocabulary-size 320 --no-encryption",
        "encode a.txt -t t.ult -o s",
        f"align -t t.ult --to-model {folder} -o run",
        f"audit code s -t t.ult --run run --from {folder} --json found.json",
    ):
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, done.output
        if command.startswith("align"):
            assert "these rows name the phrases" in done.output
    (attack,) = json.loads((tmp_path / "found.json").read_text())["attacks"]
    assert attack["name"] == "embedding rows"
    assert attack["occurrences"] == pytest.approx(attack["ceiling"])
    for audits, level, said in (("", "amber", "not measured"), ("--code-audit found.json", "red", "embedding rows")):
        done = CliRunner().invoke(app, f"audit release -o page --run run --force {audits}".split())
        assert done.exit_code == 0, done.output
        verdict = json.loads((tmp_path / "page" / "audit.json").read_text())
        (rows,) = (one for one in verdict["findings"] if one["topic"] == "rows")
        assert (rows["level"], said in rows["found"]) == (level, True), rows["found"]
    (tmp_path / "b.txt").write_text("the frog sat on a log\n" * 9)
    done = CliRunner().invoke(
        app, f"audit code s -t t.ult --run run --from {folder} --reference b.txt --json more.json".split()
    )
    assert done.exit_code == 0, done.output
    (more,) = (one for one in json.loads((tmp_path / "more.json").read_text())["attacks"] if one["name"] == NAME)
    assert more["occurrences"] > attack["occurrences"], "phrases of several tokens are read with public text"
    done = CliRunner().invoke(app, ["align", "run", "-t", "t.ult", "--to-model", str(folder), "-o", "x"])
    assert "ult align -t TABLE --to-model FOLDER" in str(done.exception.hint)


def test_weights_that_others_trained_are_not_said_to_be_drawn():
    told = {name: initial_weights(Recipe(model=name)) for name in ("tiny", "smollm2-135m", "smollm2-135m-weights")}
    assert told == {"tiny": "random", "smollm2-135m": "random", "smollm2-135m-weights": "loaded"}


def test_what_is_no_public_model_is_refused_before_anything_is_written(folder, table, tmp_path):
    with pytest.raises(MissingSource, match=r"tokenizer\.json"):
        align_to_model(tmp_path, table, tmp_path / "run")
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "tokenizer.json").write_text("{}")
    with pytest.raises(FormatError, match="no tokenizer"):
        align_to_model(broken, table, tmp_path / "run")
    series = Table.fit([np.linspace(0, 1, 30)] * 8, codec="series/mulaw", vocabulary=Vocabulary(320), min_records=1)
    with pytest.raises(InvalidConfig, match="expected text/bytes"):
        align_to_model(folder, series, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    align_to_model(folder, table, tmp_path / "run")
    with pytest.raises(OutputExists):
        align_to_model(folder, table, tmp_path / "run")
