"""TensorBoard files hold the curves, once, and nothing else; Weights & Biases gets no more."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from toy import arguments_of
from ult.errors import InvalidConfig, MissingExtra
from ult.trainer.callbacks.progress import Progress
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

QUICK = {"steps": 10, "batch_size": 4, "context": 16}


def curves(folder):
    """Return every curve that TensorBoard would draw, and check that there is nothing else."""
    events = EventAccumulator(str(folder))
    events.Reload()
    assert not any(events.Tags()[kind] for kind in ("images", "audio", "histograms", "tensors", "graph"))
    return {name: [(point.step, point.value) for point in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_curves_are_those_of_the_metrics(shards, tmp_path):
    metrics = train(
        shards, tmp_path / "run", Recipe(evaluate_every=5, report_to="tensorboard", **QUICK), validation=shards
    )
    found = curves(tmp_path / "run" / "tensorboard")
    assert set(found) == {"training/loss", "training/gradient norm", "training/learning rate", "validation/bits"}
    assert found["training/loss"] == [(step, pytest.approx(loss, rel=1e-6)) for step, loss in metrics["loss"]]
    assert found["validation/bits"] == [
        (step, pytest.approx(bits, rel=1e-6)) for step, bits in metrics["validation"]["bits"]
    ]
    assert max(rate for _, rate in found["training/learning rate"]) == pytest.approx(metrics["learning_rate"])
    assert {p.name for p in tmp_path.iterdir()} == {"run"}


def interrupted_at_step_9(shards, out, monkeypatch, **options):
    """Train until Ctrl-C comes after step 9."""
    step_end = Progress.on_step_end

    def stop(self, args, state, control, **rest):
        step_end(self, args, state, control, **rest)
        if state.global_step == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step_end", stop)
        with pytest.raises(KeyboardInterrupt):
            train(shards, out, **arguments_of(**options))


def test_a_resumed_training_draws_each_step_once(shards, tmp_path, monkeypatch):
    options = {**QUICK, "validation": shards, "evaluate_every": 6, "report_to": "tensorboard"}  # saves at 6 and 10
    interrupted_at_step_9(shards, tmp_path / "run", monkeypatch, **options)
    assert len(curves(tmp_path / ".run.partial" / "tensorboard")["training/loss"]) == 8
    metrics = train(shards, tmp_path / "run", **arguments_of(**options, resume=True))
    assert metrics["resumed_at"] == 6
    found = curves(tmp_path / "run" / "tensorboard")["training/loss"]
    assert found == [(step, pytest.approx(loss, rel=1e-6)) for step, loss in metrics["loss"]]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_an_extra_that_is_not_installed(shards, tmp_path, monkeypatch, name):
    for module in (name, f"torch.utils.{name}"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"{name} is not installed.*\[{name}\]"):
        train(shards, tmp_path / "run", Recipe(report_to=name, **QUICK))
    assert list(tmp_path.iterdir()) == []


class Wandb:
    """What is used of the package, not connected: it writes a file as that does."""

    errors = SimpleNamespace(Error=type("Error", (Exception,), {}))
    Settings = dict

    def __init__(self):
        self.asked, self.points, self.ended = [], [], 0

    def init(self, **asked):
        self.asked.append(asked)
        folder = Path(asked["dir"]) / "wandb" / f"offline-run-{len(self.asked)}-{asked['id']}"
        for name in (f"run-{asked['id']}.wandb", "logs/debug.log"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("numbers")
        return SimpleNamespace(log=lambda values, step: self.points.append((step, values)), finish=self.finish)

    def finish(self):
        self.ended += 1


def test_wandb_gets_the_points_and_nothing_of_the_machine(shards, tmp_path, monkeypatch):
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    options = {**QUICK, "validation": shards, "evaluate_every": 6, "report_to": "wandb"}
    interrupted_at_step_9(shards, tmp_path / "run", monkeypatch, **options)
    metrics = train(shards, tmp_path / "run", **arguments_of(**options, resume=True))
    first, second = wandb.asked
    assert (first["id"], wandb.ended) == (second["id"], 2)
    assert set(first) == {"project", "id", "resume", "dir", "settings"}
    assert first["project"] == "ult"
    said = {name: value for name, value in first["settings"].items() if value not in ("", True, False, "off")}
    assert said == {}
    assert {name for _, values in wandb.points for name in values} == {
        "training/loss", "training/gradient norm", "training/learning rate", "validation/bits",
    }  # fmt: skip
    losses = {step: values["training/loss"] for step, values in wandb.points if "training/loss" in values}
    assert [[step, pytest.approx(losses[step])] for step in losses] == metrics["loss"]
    kept = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run" / "wandb").rglob("*.*")}
    assert kept == {f"wandb/offline-run-{n}-{first['id']}/run-{first['id']}.wandb" for n in (1, 2)}
    train(shards, tmp_path / "run", **arguments_of(**options, force=True))  # which knows all that is in a run


def test_wandb_that_takes_nothing_is_one_line(shards, tmp_path, monkeypatch):
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)

    def refuse(**_):
        raise wandb.errors.Error("api key abc")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(InvalidConfig, match="wandb does not take the curves") as caught:
        train(shards, tmp_path / "run", Recipe(report_to="wandb", **QUICK))
    assert "abc" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
