"""Shards that count upwards and two runs on them, written and trained once for all tests that only read them."""

import pytest

PLAIN = {"steps": 6, "batch_size": 4, "context": 16}
SEEDED = {"steps": 10, "batch_size": 4, "context": 8, "epsilon": 8.0, "secure_random": False}


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    from toy import counting, write

    return write(tmp_path_factory.mktemp("shards") / "a", counting(80))


@pytest.fixture(scope="session")
def run(shards, tmp_path_factory):
    """A run by the recipe `PLAIN`."""
    return _trained(shards, tmp_path_factory, PLAIN)


@pytest.fixture(scope="session")
def private_run(shards, tmp_path_factory):
    """A run by the recipe `SEEDED`, with differential privacy and noise that repeats."""
    return _trained(shards, tmp_path_factory, SEEDED)


def _trained(shards, tmp_path_factory, options):
    from ult.trainer.recipe import Recipe
    from ult.trainer.train import train

    folder = tmp_path_factory.mktemp("runs")
    train(shards, folder / "run", Recipe(**options))
    return folder / "run"
