"""`ult average`: a run of several, each of which counts as much as other records say it should."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ult
from toy import counting, two_classes, write
from ult.cli import app
from ult.errors import FormatError, InvalidConfig, WrongTable
from ult.owner.handover.withhold import publish
from ult.public.run import Run
from ult.trainer.average import average
from ult.trainer.evaluate import evaluate
from ult.trainer.forgetting.forget import _check
from ult.trainer.generate import generate
from ult.trainer.models.load import load_trained
from ult.trainer.models.together import load_predictor
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

TINY = {"steps": 6, "batch_size": 4, "context": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, n-grams, and both together; and n-grams of either half of the records."""
    root = tmp_path_factory.mktemp("average")
    write(root / "shards", counting(80))
    write(root / "held", counting(30, seed=1))
    train(root / "shards", root / "run", Recipe(**TINY, learning_rate=0.02))
    train(root / "shards", root / "counts", Recipe(model="ngrams", context=16))
    for k in range(2):
        train(root / "shards", root / f"half{k}", Recipe(model="ngrams", context=16, order=2, part=f"{k}/2"))
    average([root / "half0", root / "half1"], root / "halves", validation=root / "held")
    average([root / "run", root / "counts"], root / "whole", validation=root / "held")
    return root


def test_the_shares_are_those_by_which_validation_is_likeliest(folder):
    run = Run.open(folder / "halves")
    first, second = (load_trained(one) for one in run.each())
    bits = evaluate(folder / "halves", folder / "held")["bits_per_id"]
    alone = [evaluate(folder / name, folder / "held")["bits_per_id"] for name in ("half0", "half1")]
    assert bits < min(alone)
    assert bits == pytest.approx(run.metrics["validation"]["bits"][0][1], rel=1e-5)
    share = run.weights[0] / 2
    ids = torch.tensor([[2, 40, 41, 42]])
    with torch.inference_mode():
        mean = sum(w * one(input_ids=ids).logits.softmax(-1) for w, one in ((share, first), (1 - share, second)))
        torch.testing.assert_close(load_predictor(run)(input_ids=ids).logits.exp(), mean)
    for other in (share - 0.1, share + 0.1):  # no other shares are better
        told = json.loads((folder / "halves/metrics.json").read_text())
        told["members"]["weights"] = [other, 1 - other]
        shutil.copytree(folder / "halves", folder / "other", dirs_exist_ok=True)
        (folder / "other/metrics.json").write_text(json.dumps(told))
        assert evaluate(folder / "other", folder / "held")["bits_per_id"] > bits
        assert Run.open(folder / "other").digest() != run.digest()


def test_the_whole_writes_with_what_each_remembers_and_says_what_it_is(folder):
    run = Run.open(folder / "whole")
    model, (written,), ids = load_predictor(run), generate(run, temperature=0, max_new=6), [2]
    for _ in range(6):
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([ids])).logits[0, -1].tolist()
        ids.append(max([2, *range(32, 64)], key=scores.__getitem__))
    assert written.tolist() == ids[1 : 1 + len(written)]
    done = CliRunner().invoke(app, ["inspect", str(folder / "whole")])
    assert f"2 runs in members/, shares {run.weights[0] / 2:.2f}, {run.weights[1] / 2:.2f}" in done.output
    assert "averaged of" in done.output
    assert "| averaged of | `run`, `counts` |" in (folder / "whole/README.md").read_text()
    assert run.trained_on == Run.open(folder / "run").trained_on


def test_a_run_is_distilled_from_the_whole_and_wholes_are_averaged_again(folder, tmp_path):
    ult.distil(folder / "whole", folder / "shards", tmp_path / "small", Recipe(steps=1, batch_size=4, context=16))
    again = average([folder / "whole", tmp_path / "small"], tmp_path / "again", validation=folder / "held")
    own = again.weights[:2]
    assert own[0] / own[1] == pytest.approx(
        Run.open(folder / "whole").weights[0] / Run.open(folder / "whole").weights[1]
    )
    assert (again.members, again.metrics["averaged"][0]["members"]) == (3, 2)


def test_labels_are_averaged_too(tmp_path):
    for name, rows in (("a", 64), ("b", 40)):
        two_classes(tmp_path / name, rows=rows)
    train(tmp_path / "a", tmp_path / "run", Recipe(**TINY, task="classify"))
    train(tmp_path / "a", tmp_path / "bag", Recipe(task="classify", model="bag", context=16))
    whole = average([tmp_path / "run", tmp_path / "bag"], tmp_path / "whole", validation=tmp_path / "b")
    found = evaluate(tmp_path / "whole", tmp_path / "b")
    assert found["accuracy"] == 1.0
    assert found["log_loss"] / np.log(2) == pytest.approx(whole.metrics["validation"]["bits"][0][1], rel=1e-4)


def test_what_does_not_go_together_is_refused(folder, tmp_path):
    write(tmp_path / "strange", counting(9), table="cd" * 16)
    train(folder / "shards", tmp_path / "longer", Recipe(steps=1, batch_size=4, context=32))
    for runs, held, error, said in (
        (["run"], "held", InvalidConfig, "1 run was named; expected two or more"),
        (["run", "counts"], "shards", InvalidConfig, "was trained on .*shards, by which it would look better"),
        (["run", "counts"], tmp_path / "strange", WrongTable, "was encoded with table"),
        (["run", tmp_path / "longer"], "held", InvalidConfig, "has another context than"),
    ):
        with pytest.raises(error, match=said):
            average([folder / one for one in runs], tmp_path / "out", validation=folder / held)
    told = json.loads((folder / "run/metrics.json").read_text())
    shutil.copytree(folder / "run", tmp_path / "private")
    (tmp_path / "private/metrics.json").write_text(json.dumps(told | {"privacy": {"epsilon": 8.0, "delta": 1e-5}}))
    with pytest.raises(InvalidConfig, match="promises its records privacy, and runs together promise none"):
        average([tmp_path / "private", folder / "counts"], tmp_path / "out", validation=folder / "held")
    with pytest.raises(InvalidConfig, match=r"holds 2 members.*ult distil"):
        publish(folder / "whole", tmp_path / "out")
    with pytest.raises(InvalidConfig, match=r"was averaged of run counts.*then ult average"):
        _check(Run.open(folder / "whole"), "exact", None)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_those_of_the_members_are_refused(folder, tmp_path):
    shutil.copytree(folder / "whole", tmp_path / "run")
    told = json.loads((tmp_path / "run/metrics.json").read_text())
    for weights in ([1.0], [1.0, 0.0], [1.0, -1.0], ["a", 1], [1.0, float("nan")], [1e-300, 1e300]):
        (tmp_path / "run/metrics.json").write_text(json.dumps(told | {"members": {"count": 2, "weights": weights}}))
        with pytest.raises(FormatError):
            evaluate(tmp_path / "run", folder / "held")
