"""The privacy account of a run: the sum of all promises that were made to a record."""

import pytest

from ult.public.guarantee import composed, of_training

TRAINING = {"epsilon": 2.0, "delta": 1e-5, "secure_random": True}
TABLE = {"epsilon": 1.0, "delta": 1e-6, "patches": 4, "noise": 9.0, "threshold": 50.0}


def lot(name="ab" * 16, **facts):
    return {"table": name, "codec": "text/bytes", "column": "text", **facts}


def run(*lots, **facts):
    return {"privacy": TRAINING, "shards": list(lots), "targets": [], **facts}


def test_a_training_without_a_promise_has_no_account():
    assert composed(run(lot(privacy=TABLE)) | {"privacy": None}) is None


@pytest.mark.parametrize(
    "lots", [[lot()], [lot(privacy=None, public_table=False)], [lot(privacy=TABLE), lot("c" * 32)]]
)
def test_a_table_that_promises_nothing_takes_the_promise_from_the_records(lots):
    account = composed(run(*lots))
    assert not account.of_records
    assert (account.epsilon, account.delta) == (2.0, 1e-5)
    assert "not of the records, because the table is not private" in str(account)
    assert "for each record" not in str(account)
    assert account.document()["of"] == "weights given the ids"


def test_targets_count_too():
    assert not composed(run(lot(privacy=TABLE), targets=[lot("c" * 32)])).of_records
    assert composed(run(lot(privacy=TABLE), targets=[lot("c" * 32, public_table=True)])).of_records


def test_public_tables_cost_nothing():
    account = composed(run(lot(public_table=True)))
    assert (account.of_records, account.epsilon, account.delta) == (True, 2.0, 1e-5)
    assert str(account) == "(2, 1e-05)-differential privacy for each record"


def test_each_private_table_is_paid_for_once():
    account = composed(run(lot(privacy=TABLE), lot(privacy=TABLE), lot("c" * 32, privacy=TABLE)))
    assert account.of_records
    assert account.epsilon == pytest.approx(4.0)
    assert account.delta == pytest.approx(1.2e-5)
    assert "training (2, 1e-05) + table abababab (1, 1e-06) + table cccccccc (1, 1e-06)" in str(account)
    assert [part["of"] for part in account.document()["parts"]] == ["training", "table abababab", "table cccccccc"]


def test_what_takes_back_a_promise_is_said():
    told = run(lot(public_table=True), from_run="before", validation={"bits": [[1, 2.0]]})
    told["privacy"] = TRAINING | {"secure_random": False}
    said = composed(told).conditions
    assert len(said) == 3
    assert "seed" in said[0]
    assert "before" in said[1]
    assert "validation" in said[2]


def test_classes_are_told_as_they_are():
    """A label of one record alone is a row of the head and a name in `config.json`, whatever the noise."""
    assert "labels" in composed(run(lot(public_table=True), task="classify")).conditions[0]
    assert not composed(run(lot(public_table=True), task="lm")).conditions


def test_attacks_on_a_run_can_refute_the_promise_of_its_training_alone():
    """Members and others were encoded by the same table, so that its epsilon and delta are no part of it."""
    account = of_training(run(lot(privacy=TABLE)))
    assert (account.epsilon, account.delta) == (2.0, 1e-5)
    assert of_training(run(lot()) | {"privacy": None}) is None
    assert of_training(run(lot(), from_run="before")) is None
    assert of_training(run(lot()) | {"privacy": TRAINING | {"secure_random": False}}) is None
