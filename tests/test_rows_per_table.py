"""One body with embedding rows per table: each table's run is its own, and every verb takes the right rows."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from toy import OTHER, TABLE, counting, same, weights, write
from ult.cli import app
from ult.errors import FormatError, InvalidConfig, TrainingError, WrongTable
from ult.public.run import Run
from ult.trainer.callbacks.progress import Progress
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.take import take
from ult.trainer.train import train

NEW = "ef" * 16
TINY = {"steps": 40, "batch_size": 8, "context": 16}


def backwards(rows, seed=0):
    """Records that count down by one: under shared rows the opposite of those that count up."""
    return [record[::-1] for record in counting(rows, seed=seed)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards of two tables whose ids mean opposite things, and a run with rows for each."""
    found = tmp_path_factory.mktemp("tables")
    write(found / "up", counting(80))
    write(found / "down", backwards(80), table=OTHER)
    write(found / "new", counting(40), table=NEW)
    train([found / "up", found / "down"], found / "run", Recipe(**TINY, rows_per_table=True))
    return found


def test_a_body_and_a_file_of_rows_for_each_table(folder):
    run = Run.open(folder / "run")
    assert run.per_table
    assert {path.stem for path in (folder / "run/rows").iterdir()} == {TABLE, OTHER} == run.tables
    assert not [name for name in weights(folder / "run") if "embed" in name or "lm_head" in name]
    ups, downs = (load_file(run.rows_file(table))["input"] for table in (TABLE, OTHER))
    assert ups.shape == downs.shape == (64, 128)
    assert not torch.equal(ups, downs)


def test_each_table_is_predicted_by_its_own_rows(folder):
    for name in ("up", "down"):
        assert evaluate(folder / "run", folder / name)["bits_per_id"] < 3.2, "ids drawn evenly cost 5"
    swapped = shutil.copytree(folder / "run", folder / "swapped")
    ups, downs = (swapped / "rows" / f"{table}.safetensors" for table in (TABLE, OTHER))
    held = ups.read_bytes()
    ups.write_bytes(downs.read_bytes())
    downs.write_bytes(held)
    assert evaluate(swapped, folder / "up")["bits_per_id"] > 4
    assert Run.open(swapped).digest() != Run.open(folder / "run").digest()


def test_the_loss_is_that_of_each_table_alone(folder, tmp_path):
    """The validation that a training reports is the mean of both tables' own evaluations."""
    told = train(
        [folder / "up", folder / "down"], tmp_path / "run", Recipe(**TINY | {"steps": 2}, rows_per_table=True),
        validation=[folder / "down", folder / "up"],
    )  # fmt: skip
    found = [evaluate(tmp_path / "run", folder / name) for name in ("up", "down")]
    mean = sum(one["bits"] for one in found) / sum(one["predictions"] for one in found)
    assert told["validation"]["bits"][-1][1] == pytest.approx(mean, abs=1e-4)


def test_of_one_table_it_is_an_ordinary_training(folder, tmp_path):
    """The same steps from the same weights, whether the rows lie in the run or beside it, but for rounding."""
    for k, options in enumerate(({}, {"rows_per_table": True})):
        train(folder / "up", tmp_path / f"{k}", Recipe(**TINY | {"steps": 5}, from_run=tmp_path / "0" if k else None,
                                                       embeddings="keep" if k else None, **options))  # fmt: skip
    train(folder / "up", tmp_path / "plain", Recipe(**TINY | {"steps": 5}, from_run=tmp_path / "0"))
    take(tmp_path / "1", folder / "up", tmp_path / "taken")
    taken, plain = weights(tmp_path / "taken"), weights(tmp_path / "plain")
    assert taken.keys() == plain.keys()
    for name, tensor in taken.items():
        torch.testing.assert_close(tensor, plain[name], rtol=1e-3, atol=1e-4, msg=name)


def test_resumed_as_if_never_interrupted(folder, tmp_path, monkeypatch):
    from ult.trainer import train as module

    both, recipe = [folder / "up", folder / "down"], Recipe(**TINY | {"steps": 6}, rows_per_table=True)
    train(both, tmp_path / "whole", recipe)

    class Interrupted(Progress):
        def on_step_end(self, args, state, control, **more):
            super().on_step_end(args, state, control, **more)
            if state.global_step == 4:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "Progress", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(both, tmp_path / "run", recipe)
    train(both, tmp_path / "run", recipe, resume=True)
    for path in [path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*.safetensors")]:
        assert (tmp_path / "run" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_a_later_training_picks_its_own_rows(folder, tmp_path, capsys):
    frozen = {**TINY, "steps": 1, "freeze_body": 1, "learning_rate": 1e-9, "from_run": folder / "run"}
    assert train(folder / "down", tmp_path / "known", Recipe(**frozen))["embeddings"] == "keep"
    assert "drawn anew" not in capsys.readouterr().err
    rows = load_trained(Run.open(tmp_path / "known")).get_input_embeddings().weight
    kept = load_file(folder / "run/rows" / f"{OTHER}.safetensors")["input"]
    torch.testing.assert_close(rows.cpu(), kept, atol=1e-6, rtol=0)
    assert train(folder / "new", tmp_path / "strange", Recipe(**frozen))["embeddings"] == "fresh"
    assert "embedding rows are drawn anew" in capsys.readouterr().err
    told = train([folder / "down", folder / "new"], tmp_path / "grown", Recipe(**frozen, rows_per_table=True))
    assert told["embeddings"] == "per table"
    grown = [load_file(tmp_path / "grown/rows" / f"{table}.safetensors")["input"] for table in (OTHER, NEW)]
    torch.testing.assert_close(grown[0], kept, atol=1e-6, rtol=0)
    assert float(grown[1][32:].std()) == pytest.approx(0.02, rel=0.1), "rows of a new table are drawn"
    assert same(weights(tmp_path / "grown"), weights(folder / "run")), "the body stays as it is"


def test_one_table_is_taken_out_as_a_run_of_its_own(folder, tmp_path):
    command = ["attach", folder / "run", "--shards", folder / "down", "-o", tmp_path / "one"]
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert (done.exit_code, OTHER in done.output) == (0, True), done.output
    one, both = Run.open(tmp_path / "one"), Run.open(folder / "run")
    assert (one.tables, one.per_table, one.metrics["from_run"]) == ({OTHER}, False, "run")
    assert set(one.metrics["trained_before"]) == set(both.trained_on), "the body saw both"
    before, after = evaluate(folder / "run", folder / "down"), evaluate(tmp_path / "one", folder / "down")
    assert before["bits"] == after["bits"]
    prompts = [np.array([40, 39, 38], np.uint32)]
    written = [generate(run, prompts, temperature=0, max_new=5)[0] for run in (both.of_tables({OTHER}), one)]
    assert written[0].tolist() == written[1].tolist() == [40, 39, 38, *written[0][3:].tolist()]
    with pytest.raises(InvalidConfig, match="one set of rows"):
        take(tmp_path / "one", folder / "down", tmp_path / "two")


def test_what_names_no_one_table_is_refused_in_a_line(folder, tmp_path):
    with pytest.raises(InvalidConfig, match="2 were asked for at once"):
        evaluate(folder / "run", [folder / "up", folder / "down"])
    with pytest.raises(WrongTable, match="has no rows of table ef"):
        evaluate(folder / "run", folder / "new")
    for use in (lambda: generate(folder / "run"), lambda: load_trained(Run.open(folder / "run"))):
        with pytest.raises(InvalidConfig, match="expected a run with those of one") as caught:
            use()
        assert "ult attach" in str(caught.value.hint)
    with pytest.raises(InvalidConfig, match="no rows of table ef"):
        train(folder / "new", tmp_path / "x", Recipe(**TINY, from_run=folder / "run", embeddings="keep"))
    with pytest.raises(InvalidConfig, match="rows_per_table and epsilon"):
        Recipe(rows_per_table=True, epsilon=1.0)
    write(tmp_path / "empty", [], table=OTHER)
    with pytest.raises(TrainingError, match="no record in"):
        train([folder / "up", tmp_path / "empty"], tmp_path / "x", Recipe(**TINY, rows_per_table=True))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("harm", ["missing", "shape", "infinite", "junk", "name"])
def test_damaged_rows_are_refused(folder, tmp_path, harm):
    bad = shutil.copytree(folder / "run", tmp_path / "bad")
    path = bad / "rows" / f"{TABLE}.safetensors"
    if harm == "missing":
        path.unlink()
    elif harm == "junk":
        path.write_bytes(b"x" * 99)
    elif harm == "name":
        told = json.loads((bad / "metrics.json").read_text())
        told["shards"][0]["table"] = "../../etc"
        (bad / "metrics.json").write_text(json.dumps(told))
    else:
        rows = torch.zeros(63, 128) if harm == "shape" else torch.full((64, 128), torch.inf)
        save_file({"input": rows}, path)
    with pytest.raises(FormatError) if harm != "name" else pytest.raises((FormatError, WrongTable)):
        evaluate(bad, folder / "up")


def test_a_mixture_gives_each_table_its_share(folder, tmp_path):
    told = train([folder / "up", folder / "new"], tmp_path / "run",
                 Recipe(**TINY | {"steps": 2}, rows_per_table=True, mixture=(1, 3), modality_token=True))  # fmt: skip
    assert told["mixture"] == [1, 3]
    assert evaluate(tmp_path / "run", folder / "new")["predictions"] > 0
