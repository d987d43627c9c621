"""The rows that an owner of a federation begins with: no seed draws them, so nobody has them who tries all seeds."""

import inspect

import pytest
import torch

from toy import counting, weights, write
from ult.errors import InvalidConfig
from ult.trainer.federated.group import Group, begin
from ult.trainer.federated.join import join
from ult.trainer.federated.owner import Owner
from ult.trainer.federated.plan import Plan
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import partial_folder

pytestmark = pytest.mark.slow

RECIPE = Recipe(batch_size=4, context=16, learning_rate=1e-9)  # trained rows are those that it began with
ROWS = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("rows")
    write(root / "a", counting(40))
    begin("tiny", Plan(rounds=2, local_steps=1), root / "group")
    return root


def trained(root, out, *, seeded):
    """An owner's rows after both rounds, in which the body stays as it began, and what its run says."""
    one = Owner.of(root / "a", out, RECIPE, Group.open(root / "group"), seeded=seeded)
    for number in range(2):
        one.message(number, one.group.body())
    metrics = one.finish(one.group.body(), {"rounds": 2})
    return weights(out)[ROWS], metrics


def test_no_seed_draws_the_first_rows_of_an_owner_who_names_none(folder, tmp_path):
    seeded, told = trained(folder, tmp_path / "seeded", seeded=True)
    rows, untold = trained(folder, tmp_path / "a", seeded=False)
    again, _ = trained(folder, tmp_path / "b", seeded=False)
    for one, other in ((rows, seeded), (rows, again)):
        near = torch.nn.functional.cosine_similarity(one, other).abs()
        assert float(near.max()) < 0.5, "the recipe and its seed are the same"
    assert 0.018 < float(rows.std()) < 0.022, "as the model's own initializer draws them"
    assert ("initial_digest" in told, "initial_digest" in untold) == (True, False), "none that could be had again"


def test_joining_needs_no_seed_and_takes_no_noise_of_one(folder, tmp_path):
    assert inspect.signature(join).parameters["seeded"].default is False
    noisy = Recipe(epsilon=4.0, secure_random=False)
    with pytest.raises(InvalidConfig, match="tries all seeds"):
        join(folder / "group", folder / "a", tmp_path / "run", noisy, "127.0.0.1:1", "north", patience=0)
    assert not partial_folder(tmp_path / "run").exists()
