"""Cards and tokenizers of shards and runs, and what others make of such a folder."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from toy import OTHER, SIZE, TABLE, counting, write
from ult.errors import FormatError, InvalidConfig, OutputExists
from ult.public.card import run_card, shards_card
from ult.public.manifest import UNTOLD, Canaries
from ult.public.metrics import check_metrics
from ult.public.published import released
from ult.public.shard_writer import ShardWriter
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary

FILES = {".card/README.md", ".card/tokenizer.json", ".card/tokenizer_config.json"}


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Twenty records in two parts."""
    folder = tmp_path_factory.mktemp("shards") / "a"
    told = {"vocabulary": Vocabulary(SIZE), "table": TABLE, "codec": "text/bytes", "column": "text"}
    kept = pa.table({"ward": ["n"] * 10})
    with ShardWriter(folder, kept=kept.schema, part_ids=1, **told) as writer:
        writer.write(counting(10), 100, kept)
        writer.write(counting(10, seed=1), 100, kept)
    return folder


def front_matter(card):
    import yaml

    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_a_shards_folder_carries_a_card_and_a_tokenizer_that_need_no_other_library(shards):
    assert names(shards) >= FILES
    card = (shards / ".card" / "README.md").read_text()
    assert front_matter(card)["configs"] == [{"config_name": "default", "data_files": "part-*.parquet"}]
    assert "Treat it as you treat the records" in card
    assert all(told in card for told in (TABLE, "20 encoded records", "| `ward` |"))
    assert card == shards_card(Shards(shards).manifest)
    code = (
        "import sys; from ult.public.shard_writer import ShardWriter; from ult.public.vocabulary import Vocabulary\n"
        f"with ShardWriter(sys.argv[1], vocabulary=Vocabulary(40), table={TABLE!r}, codec='text/bytes', column='t'):\n"
        "    pass\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, shards.parent / "b"], capture_output=True, text=True, check=True)
    assert not {"transformers", "tokenizers", "torch", "datasets"} & set(done.stdout.split())
    assert names(shards.parent / "b") >= FILES


def test_a_name_cannot_write_into_a_card():
    metrics = {
        "task": "lm",
        "context": 8,
        "shards": [{"table": TABLE, "codec": "text/bytes", "column": "x", "rows": 3}],
        "from_run": "a` |\n\n<script>\n# b",
    }
    card = run_card(metrics)
    assert "`a <script> # b`" in card
    assert "\n# b" not in card


@pytest.mark.parametrize(
    "told",
    [
        {"validation": "x"},
        {"validation": {"bits": 3, "best_step": 1}},
        {"validation": {"bits": [[1, "many"]], "best_step": 1}},
        {"validation": {"bits": [[1, 2.0]], "best_step": 1, "shards": [{"bytes": "a", "ids": 1}]}},
        {"release": "never"},
        {"classes": ["high", "high"]},
        {"scale": [1.0, 0.0]},
        {"scale": [1.0, -2.0]},
        {"scale": [0.0, 1e200]},
        {"federated": "by nobody"},
    ],
)
def test_metrics_that_no_card_can_be_made_of_are_refused(told):
    lot = {"table": TABLE, "codec": "text/bytes", "column": "x", "rows": 3}
    plain = {"task": "lm", "context": 8, "classes": [], "shards": [lot]}
    check_metrics(plain, Path("metrics.json"))
    with pytest.raises(FormatError, match="which no run says"):
        check_metrics(plain | told, Path("metrics.json"))


def test_a_step_that_was_not_evaluated_says_nothing():
    lot = {"table": TABLE, "codec": "text/bytes", "column": "x"}
    for held in ({"bits": [[1, 2.0]], "best_step": 5}, {"bits": []}, {}):
        card = run_card({"task": "lm", "context": 8, "shards": [lot], "validation": held})
        assert "| bits per byte | unknown |" in card


@pytest.mark.parametrize("size", [33, 300])
def test_the_tokenizer_is_the_vocabularys_own(tmp_path, size):
    vocabulary = Vocabulary(size)
    for name, text in vocabulary.tokenizer_files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    own = vocabulary.tokenizer()
    own.save_pretrained(tmp_path / "own")
    theirs = json.loads((tmp_path / "own" / "tokenizer.json").read_text(encoding="utf-8"))
    theirs["post_processor"] = None  # a template that adds nothing
    assert json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8")) == theirs
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tmp_path)
    ids = [*range(size), 2, 0]
    assert loaded(own.decode(ids))["input_ids"] == ids == loaded(vocabulary.to_text(ids))["input_ids"]
    assert loaded.decode(ids) == vocabulary.to_text(ids)
    assert (loaded.pad_token_id, loaded.bos_token_id, loaded.eos_token_id, loaded.unk_token_id) == (0, 1, 2, 3)
    assert len(loaded) == size


def test_force_replaces_a_card_and_nothing_beside_it(tmp_path):
    folder = write(tmp_path / "a", counting(3))
    write(folder, counting(4), force=True)
    assert "4 encoded records" in (folder / ".card" / "README.md").read_text()
    (folder / ".card" / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"\.card/notes\.txt"):
        write(folder, counting(4), force=True)


def test_shards_without_a_card_are_read_as_before(tmp_path):
    folder = write(tmp_path / "a", counting(3))
    digest = Shards(folder).manifest.digest
    for name in FILES:
        (folder / name).unlink()
    (folder / ".card").rmdir()
    assert sum(1 for _ in Shards(folder).ids()) == 3
    assert Shards(folder).manifest.digest == digest


# ---- what others read


def expected(shards):
    return [ids.tolist() for ids in Shards(shards).ids()]


def test_pandas_reads_the_folder(shards):
    frame = pd.read_parquet(shards)
    assert list(frame) == ["input_ids", "ward"]
    assert [ids.tolist() for ids in frame["input_ids"]] == expected(shards)


def test_pyarrow_reads_the_folder(shards):
    assert pq.read_table(shards)["input_ids"].to_pylist() == expected(shards)
    assert pyarrow.dataset.dataset(shards).to_table()["input_ids"].to_pylist() == expected(shards)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("builder", [None, "parquet"])
def test_datasets_reads_the_folder(shards, tmp_path, builder, streaming):
    import datasets

    how = {"path": "parquet", "data_dir": str(shards)} if builder else {"path": str(shards)}
    rows = datasets.load_dataset(**how, split="train", streaming=streaming, cache_dir=str(tmp_path))
    assert [row["input_ids"] for row in rows] == expected(shards)


def test_datasets_reads_the_folder_with_its_card_in_sight(shards, tmp_path):
    """As on a Hub, where the card lies beside the parts: its front matter says which files are data."""
    import datasets

    copy = shutil.copytree(shards, tmp_path / "copy")
    shutil.copytree(copy / ".card", copy, dirs_exist_ok=True)
    rows = datasets.load_dataset(str(copy), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["input_ids"][:] == expected(shards)


# ---- records between ends


def test_shards_say_that_records_carry_no_ends_and_to_datasets_adds_them(shards):
    opened = Shards(shards)
    assert opened.has_begin_and_end is False
    assert dict(opened.facts())["begin and end ids"].startswith("none")
    data = opened.to_datasets()
    assert data["input_ids"][:] == [[2, *ids, 2] for ids in expected(shards)]
    assert data.column_names == ["input_ids", "ward"]
    assert not data.cache_files
    stream = opened.to_datasets(streaming=True)
    assert list(stream) == list(data)
    assert stream.num_shards == len(opened.manifest.parts) > 1
    assert list(stream.shard(2, 1)) == list(data)[-len(list(stream.shard(2, 1))) :]


def test_pieces_of_long_records_predict_each_id_once(tmp_path):
    records = [np.arange(32, 32 + n, dtype=np.uint32) for n in (0, 1, 2, 3, 5, 6, 29)]
    opened = Shards(write(tmp_path / "a", records, kept={"n": list(range(7))}))
    rows = list(opened.to_datasets(context=4))
    assert list(opened.to_datasets(context=4, streaming=True)) == rows
    for k, record in enumerate(records):
        pieces = [row["input_ids"] for row in rows if row["n"] == k]
        assert all(2 <= len(piece) <= 4 for piece in pieces)
        assert [pieces[0][0], *(id_ for piece in pieces for id_ in piece[1:])] == [2, *record.tolist(), 2]
        assert all(after[0] == before[-1] for before, after in itertools.pairwise(pieces))
    with pytest.raises(InvalidConfig, match="context is 3"):
        opened.to_datasets(context=3)


def test_a_plain_collator_learns_to_stop(tmp_path):
    """On rows of `input_ids` alone no label is the end; on those of `to_datasets` the model ends where records do."""
    import torch
    from transformers import DataCollatorForLanguageModeling, LlamaConfig, LlamaForCausalLM

    record = np.arange(40, 45, dtype=np.uint32)
    opened = Shards(write(tmp_path / "a", [record] * 8))
    collate = DataCollatorForLanguageModeling(opened.vocabulary.tokenizer(), mlm=False)
    plain = collate([{"input_ids": ids} for ids in expected(opened.path)])
    assert 2 not in plain["labels"]
    batch = collate([{"input_ids": ids} for ids in opened.to_datasets()["input_ids"]])
    assert (batch["labels"][:, -1] == 2).all()
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=SIZE, pad_token_id=0, bos_token_id=1, eos_token_id=2, **size))
    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    for _ in range(40):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    written = model.generate(torch.tensor([[2]]), max_new_tokens=12, do_sample=False)[0].tolist()  # type: ignore[misc]
    assert written == [2, *record.tolist(), 2]


# ---- runs


def test_a_run_has_a_card_that_says_what_its_metrics_say(shards, tmp_path):
    from ult.trainer.recipe import Recipe
    from ult.trainer.train import train

    write(tmp_path / "held", counting(9, seed=3))
    metrics = train(shards, tmp_path / "run", Recipe(steps=2, batch_size=2, context=8), validation=tmp_path / "held")
    card = (tmp_path / "run" / "README.md").read_text()
    assert card == run_card(metrics)
    assert front_matter(card)["pipeline_tag"] == "text-generation"
    assert Shards(shards).manifest.digest in card
    from ult.trainer.evaluate import evaluate

    bits = evaluate(tmp_path / "run", tmp_path / "held")["bits_per_byte"]
    assert f"| bits per byte | {bits:.3f} on validation |" in card
    train(shards, tmp_path / "run", Recipe(steps=2, batch_size=2, context=8), force=True)  # a card is no stranger


def test_the_card_of_a_private_or_released_run_tells_no_more_than_its_metrics(tmp_path):
    lot = {"name": "secret-name", "table": OTHER, "codec": "text/bytes", "column": "x", "rows": 3, "digest": "a" * 64}
    metrics = {
        "task": "lm",
        "context": 8,
        "model": "tiny",
        "shards": [lot | {"ids": 31337, "bytes": 65537}],
        "privacy": {"epsilon": 8.0, "delta": 1e-5},
        "validation": {"shards": [lot], "bits": [[5, 3.14159]], "best_step": 5},
        "loss": [],
    }
    card = run_card(released(metrics))
    for told in ("secret-name", OTHER, "a" * 64, "31,337", "65,537", "3.14", UNTOLD):
        assert told not in card
    assert "(8, 1e-05)-differential privacy of the weights given the ids; not of the records" in card


def test_a_card_promises_what_the_account_says_and_no_more():
    """The table's part is added up, conditions are told, and the ids of a plain table are not called private."""
    lot = {"table": TABLE, "codec": "text/bytes", "column": "x", "rows": 3}
    metrics = {"task": "lm", "context": 8, "shards": [lot], "privacy": {"epsilon": 8.0, "delta": 1e-5}}
    card = run_card(metrics)
    assert "not of the records, because the table is not private" in card
    assert "if nobody knows the seed" in card
    assert "Each record was promised" not in card
    both = run_card(metrics | {"shards": [lot | {"privacy": {"epsilon": 2.0, "delta": 1e-5}}], "from_run": "a |\n# b"})
    assert "(10, 2e-05)-differential privacy for each record" in both
    assert "records that a # b, which it started from" in both
    public = run_card(metrics | {"shards": [lot | {"public_table": True}]})
    assert "(8, 1e-05)-differential privacy for each record" in public


def test_canaries_are_told(tmp_path):
    folder = write(tmp_path / "a", counting(9), canaries=Canaries(2, 3))
    assert "6 of the records are made up" in (folder / ".card" / "README.md").read_text()
