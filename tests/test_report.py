"""TensorBoard files hold the curves, once, and nothing else."""

import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from toy import arguments_of
from ult.errors import MissingExtra
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


def test_a_resumed_training_draws_each_step_once(shards, tmp_path, monkeypatch):
    options = {**QUICK, "validation": shards, "evaluate_every": 6, "report_to": "tensorboard"}  # saves at 6 and 10
    log = Progress.on_step_end

    def stop(self, args, state, control, **rest):
        log(self, args, state, control, **rest)
        if state.global_step == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step_end", stop)
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "run", **arguments_of(**options))
    assert len(curves(tmp_path / ".run.partial" / "tensorboard")["training/loss"]) == 8
    metrics = train(shards, tmp_path / "run", **arguments_of(**options, resume=True))
    assert metrics["resumed_at"] == 6
    found = curves(tmp_path / "run" / "tensorboard")["training/loss"]
    assert found == [(step, pytest.approx(loss, rel=1e-6)) for step, loss in metrics["loss"]]


def test_an_extra_that_is_not_installed(shards, tmp_path, monkeypatch):
    for module in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"tensorboard is not installed.*\[tensorboard\]"):
        train(shards, tmp_path / "run", Recipe(report_to="tensorboard", **QUICK))
    assert list(tmp_path.iterdir()) == []
