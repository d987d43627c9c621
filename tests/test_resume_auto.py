"""`--resume auto`: one command that begins, goes on, or finds the run finished, on one process and on two."""

import json
import signal

import pytest

from forked import ended, started, wait_for_a_checkpoint
from test_recipe import command
from test_train import QUICK, interrupt_at
from toy import counting, same, weights, write
from ult.errors import InvalidConfig, OutputExists, TrainingError
from ult.public.run import Run
from ult.trainer.recipe import Recipe
from ult.trainer.train import train
from ult.trainer.workdir import partial_folder

pytestmark = pytest.mark.slow


def again(shards, out, **options):
    return train(shards, out, Recipe(**{**QUICK, **options}), resume="auto")


def test_one_command_begins_goes_on_and_is_done(shards, tmp_path, monkeypatch, capfd):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(shards, whole, Recipe(**QUICK))
    with monkeypatch.context() as patch:
        interrupt_at(7, patch)
        with pytest.raises(KeyboardInterrupt):
            again(shards, cut)
    with pytest.raises(TrainingError, match="started with other seed"):
        again(shards, cut, seed=3)
    assert again(shards, cut)["resumed_at"] == 6
    assert same(weights(cut), weights(whole))
    before = (cut / "model.safetensors").stat()
    capfd.readouterr()
    assert again(shards, cut)["resumed_at"] == 6
    assert capfd.readouterr().err == "cut: done already, 10 steps; nothing was trained\n"
    command(shards, "-o", cut, "--resume", "auto", *(f"--{n.replace('_', '-')}={v}" for n, v in QUICK.items()))
    assert (cut / "model.safetensors").stat() == before
    assert {path.name for path in tmp_path.iterdir()} == {"cut", "whole"}


def test_another_run_in_its_place_is_refused(run, shards, tmp_path):
    options = {"steps": 6, "batch_size": 4, "context": 16}  # of `run`
    for changed in ({"steps": 7}, {"model": "small"}):
        with pytest.raises(OutputExists, match=f"was trained with other {next(iter(changed))}"):
            again(shards, run, **{**options, **changed})
    with pytest.raises(OutputExists, match="was trained with other shards"):
        again(write(tmp_path / "other", counting(9)), run, **options)
    with pytest.raises(OutputExists, match="is not a run"):
        again(shards, tmp_path, **options)
    with pytest.raises(InvalidConfig, match="resume and force"):
        train(shards, run, Recipe(**options), resume="auto", force=True)
    assert again(shards, run, **options) == Run.open(run).metrics


def test_a_training_killed_before_its_first_checkpoint_begins_again(shards, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_at(1, patch)
        patch.setattr("ult.host.atomic.Claim.discard", lambda self: None)  # as after a kill, which clears nothing
        with pytest.raises(KeyboardInterrupt):
            again(shards, out)
    assert (partial_folder(out) / "recipe.json").is_file()
    assert again(shards, out)["resumed_at"] == 0


def test_two_processes_of_which_one_is_killed(tmp_path):
    shards, out = write(tmp_path / "a", counting(80)), tmp_path / "run"
    words = ["train", shards, "-o", out, "--resume", "auto", "--steps", "60", "--batch-size", "4", "--context", "16"]
    processes = started(words, tmp_path)
    wait_for_a_checkpoint(processes, out, tmp_path)
    processes[1].kill()
    statuses, printed = ended(processes, tmp_path)
    assert statuses == [1, -signal.SIGKILL], printed
    assert not out.exists()
    statuses, printed = ended(started(words, tmp_path), tmp_path)
    assert statuses == [0, 0], printed
    assert json.loads((out / "metrics.json").read_text())["resumed_at"] > 0
    statuses, printed = ended(started(words, tmp_path), tmp_path)
    assert (statuses, printed) == ([0, 0], "run: done already, 60 steps; nothing was trained\n")
