"""A planted leak and a clean run beside it, trained once for all tests of audits."""

import pytest

ROWS, REPEATS = 16, 16


def random_records(rows, seed):
    """Records that nothing but memory predicts."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return [rng.integers(32, 64, rng.integers(10, 15)).astype(np.uint32) for _ in range(rows)]


@pytest.fixture(scope="session")
def audited(tmp_path_factory):
    """A folder of shards `members` and `others`, and of two runs: `leak` saw each member many times, `clean` none.

    Members are trained on in ever other orders, so that a run knows them without what stood before them once.
    """
    import numpy as np

    from toy import write
    from ult.trainer.recipe import Recipe
    from ult.trainer.train import train

    folder = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    write(folder / "others", random_records(2 * ROWS, 1))
    write(folder / "members", members := random_records(ROWS, 2))
    for run, records in (("leak", members), ("clean", random_records(ROWS, 3))):
        orders = [rng.permutation(ROWS) for _ in range(REPEATS)]
        shards = write(folder / f"{run}.shards", [records[k] for order in orders for k in order])
        train(shards, folder / run, Recipe(steps=100, batch_size=4, context=32, learning_rate=3e-3))
    return folder
