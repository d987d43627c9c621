"""The model `ngrams`: counts of ids, held against a plain twin; a run like any other, but not to be given away."""

import json
import shutil
from collections import Counter, defaultdict
from math import log2

import numpy as np
import pytest
import torch

from toy import SIZE, blocks, counting, write
from ult.errors import FormatError, InvalidConfig
from ult.owner.handover.withhold import publish, withhold
from ult.public.run import Run
from ult.public.vocabulary import EOS, Vocabulary
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate
from ult.trainer.models.load import load_trained
from ult.trainer.models.ngrams import Ngrams, Read
from ult.trainer.ngram_fit import beside, count, fit
from ult.trainer.recipe import Recipe
from ult.trainer.scoring import Endings, Scorer
from ult.trainer.train import train

NGRAMS = Recipe(model="ngrams", context=16)
SHARES = (0.1, 0.2, 0.5)


def noisy(rows, seed=0):
    """Records in which some of the ids of `counting` are others, said twice."""
    rng = np.random.default_rng(seed)
    records = [np.where(rng.random(len(one)) < 0.2, rng.integers(32, 64, len(one)), one) for one in counting(rows)]
    return [np.concatenate([one, one]).astype(np.uint32) for one in records]


def stream_of(records, context):
    whole = np.concatenate([[EOS], *[np.append(one, EOS) for one in records]]).astype(np.int32)
    return Blocks(whole, np.cumsum([len(one) + 1 for one in records]), context)


class Twin:
    """Interpolated Kneser-Ney and what stands in the record before, slowly and as a text book says it."""

    def __init__(self, records, order):
        self.order, self.follows = order, [defaultdict(Counter) for _ in range(order)]
        for record in records:
            ids = [EOS] * (order - 1) + [*map(int, record), EOS]
            for k in range(order - 1, len(ids)):
                self.follows[order - 1][tuple(ids[k - order + 1 : k])][ids[k]] += 1
        for n in range(order - 1, 0, -1):
            for context, next_ids in self.follows[n].items():
                for one in next_ids:
                    self.follows[n - 1][context[1:]][one] += 1
        self.discounts = []
        for each in self.follows:
            times = Counter(count for next_ids in each.values() for count in next_ids.values())
            self.discounts.append(times[1] / (times[1] + 2 * times[2]) if times[1] else 0.5)

    def counted(self, before, one):
        chance = 1 / SIZE
        for n, (each, discount) in enumerate(zip(self.follows, self.discounts, strict=True)):
            found = each.get(tuple(before[len(before) - n :]))
            if found:
                kept = discount * len(found) * chance
                chance = (max(found[one] - discount, 0) + kept) / sum(found.values())
        return chance

    def chance(self, record, k):
        """How likely id k of a record is, of which all before is known."""
        ids = [*map(int, record), EOS]
        chance = self.counted([EOS] * (self.order - 1) + ids[:k], ids[k])
        for m, share in enumerate(SHARES):
            after = [ids[j] for j in range(m, k) if k and ids[j - m : j] == ids[k - m : k]]
            if after:
                chance = (1 - share) * chance + share * after.count(ids[k]) / len(after)
        return chance


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ngrams")
    write(root / "shards", noisy(120))
    write(root / "held", noisy(30, seed=1))
    train(root / "shards", root / "run", NGRAMS, validation=root / "held")
    return root


@pytest.mark.parametrize("order", [2, 3, 4])
def test_it_is_what_a_plain_twin_says_of_every_id(order):
    known, other = noisy(60), noisy(8, seed=2)
    model, twin = Ngrams.of(Vocabulary(SIZE)), Twin(known, order)
    count(model, stream_of(known, 16), order)
    model.shares.copy_(torch.tensor(SHARES))
    expected = [twin.chance(record, k) for record in other for k in range(len(record) + 1)]
    ids = torch.from_numpy(stream_of(other, 1).stream.astype(np.int64))
    with torch.inference_mode():
        told = model(input_ids=ids[None, :-1]).logits[0]
        alone = model.counted(Read.after(None, ids[None, :-1]), ids[None, 1:])[0]
    np.testing.assert_allclose(told.gather(1, ids[1:, None])[:, 0].exp(), expected, rtol=1e-4)
    np.testing.assert_allclose(told.exp().sum(1), 1, rtol=1e-4)
    each = [
        twin.counted([EOS] * (order - 1) + [*map(int, r)][:k], int([*r, EOS][k]))
        for r in other
        for k in range(len(r) + 1)
    ]
    np.testing.assert_allclose(alone, each, rtol=1e-4)


def test_it_is_a_run_whose_evaluation_is_what_was_chosen_by(folder):
    metrics, found = Run.open(folder / "run").metrics, evaluate(folder / "run", folder / "held")
    bits = dict(map(tuple, metrics["validation"]["bits"]))
    assert found["bits_per_id"] == pytest.approx(min(bits.values()), rel=1e-5)
    assert found["bits_per_id"] == pytest.approx(bits[metrics["validation"]["best_step"]], rel=1e-5)
    assert found["bits_per_id"] < log2(SIZE) - 1
    assert (metrics["model"], metrics["initial_weights"], len(bits)) == ("ngrams", "random", 4)
    model = load_trained(Run.open(folder / "run"))
    assert metrics["parameters"] == SIZE + len(model.keys)
    assert float(model.shares[2]) > 0.1


def test_without_validation_a_fifth_of_the_records_chooses_and_all_are_counted(folder, tmp_path):
    model, data = Ngrams.of(Vocabulary(SIZE)), blocks(tmp_path / "a", folder / "shards", context=16)
    fit(model, data, None, seed=0)
    again = Ngrams.of(Vocabulary(SIZE))
    count(again, data, model.order)
    assert torch.equal(model.keys, again.keys)
    assert float(model.shares[2]) > 0.1
    one = Ngrams.of(Vocabulary(SIZE), 3)
    fit(one, stream_of(noisy(1), 16), None, seed=0)
    assert (one.order, one.shares.tolist()) == (3, [0, 0, 0])


def test_it_stands_beside_other_runs(folder, tmp_path, capsys):
    short = Recipe(steps=2, batch_size=4, context=16)
    metrics = train(folder / "shards", tmp_path / "run", short, validation=folder / "held")
    data, held = (blocks(tmp_path / name, folder / name, context=16) for name in ("shards", "held"))
    bits = metrics["validation"]["ngrams_bits"]
    assert bits == pytest.approx(beside(data, held, SIZE) / np.log(2))
    assert f"bits a prediction on validation, by n-grams of the same ids {bits:.3f}" in capsys.readouterr().err
    told = evaluate(tmp_path / "run", folder / "held", ngrams=folder / "shards")["ngrams"]
    assert told["bits_per_id"] == pytest.approx(bits, rel=0.05)
    with pytest.raises(InvalidConfig, match="is n-grams itself"):
        evaluate(folder / "run", folder / "held", ngrams=folder / "shards")
    with pytest.raises(InvalidConfig, match=r"the run is for lm \(hint: --ngrams"):
        evaluate(folder / "run", folder / "held", bag=folder / "shards")


def test_it_writes_what_is_likeliest_after_all_it_has_read(folder):
    run = Run.open(folder / "run")
    (written,) = generate(run, temperature=0, max_new=8)
    model, ids = load_trained(run), [EOS]
    for _ in range(8):
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([ids])).logits[0, -1].tolist()
        ids.append(max([EOS, *range(32, SIZE)], key=scores.__getitem__))
    assert written.tolist() == ids[1 : 1 + len(written)]
    assert all(len(one) for one in generate(run, n=4, seed=1))
    start, ends = np.array([40, 41], np.uint32), [np.array([42, 43, EOS]), np.array([50, 51, EOS])]
    (found,), _ = Scorer(run).score([Endings(start, ends)])
    with torch.inference_mode():
        for end, nats in zip(ends, found, strict=True):
            log = model(input_ids=torch.tensor([[EOS, 40, 41, *end[:-1]]])).logits[0, 2:]
            assert nats == pytest.approx(float(log[range(3), end.tolist()].sum()), abs=1e-4)


def test_records_of_a_block_do_not_see_one_another(folder, tmp_path):
    """Neither do they with positions that say where each begins."""
    model = load_trained(Run.open(folder / "run"))
    first, second = ([EOS, *map(int, one)] for one in noisy(2))
    with torch.inference_mode():
        both = model(input_ids=torch.tensor([first + second])).logits[0, len(first) :]
        alone = model(input_ids=torch.tensor([second])).logits[0]
        places = torch.tensor([[*range(len(first) - 1), *range(len(second) - 1)]])
        parted = model(input_ids=torch.tensor([first[1:] + second[1:]]), position_ids=places).logits[0]
        bare = model(input_ids=torch.tensor([second[1:]])).logits[0]
    torch.testing.assert_close(both, alone)
    torch.testing.assert_close(parted[len(first) - 1 :], bare)
    train(folder / "shards", tmp_path / "run", Recipe(model="ngrams", context=16, document_mask=True, order=3))
    assert load_trained(Run.open(tmp_path / "run")).order == 3


def test_nobody_else_may_have_it_and_no_training_goes_on_from_it(folder, tmp_path):
    with pytest.raises(
        InvalidConfig, match=r"is n-grams: it has no body, it is the counts.*hint: keep it, or ult distil"
    ):
        publish(folder / "run", tmp_path / "out")
    with pytest.raises(InvalidConfig, match="is n-grams: it has no body"):
        withhold(folder / "run", tmp_path / "out", tmp_path / "rows.age", encrypt=False)
    with pytest.raises(InvalidConfig, match="is n-grams: counts of ids, from which no training goes on"):
        train(folder / "shards", tmp_path / "out", Recipe(from_run=folder / "run", steps=1, context=16))
    with pytest.raises(InvalidConfig, match="is a run: nothing would tell what it was trained on"):
        train(folder / "shards", tmp_path / "out", Recipe(model=str(folder / "run"), steps=1, context=16))
    assert not list(tmp_path.iterdir())


def test_a_run_is_distilled_from_it(folder, tmp_path):
    short = Recipe(steps=2, batch_size=4, context=16)
    train(folder / "shards", tmp_path / "run", short, teachers=[folder / "run"])
    assert Run.open(tmp_path / "run").metrics["distilled"][0]["run"] == "run"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "classify", "label": "x"}, "model ngrams was given for task 'classify'; it is for lm"),
        ({"epsilon": 3.0}, "epsilon was given for model ngrams, which is counted, .* promises nothing to a record"),
        ({"steps": 5}, "steps was given for model ngrams"),
        ({"order": 1}, "order is 1; expected an integer of at least 2"),
        ({"model": "tiny", "order": 3}, "order was given for model tiny; it is for ngrams"),
    ],
)
def test_what_means_nothing_to_it_is_refused(options, said):
    with pytest.raises(InvalidConfig, match=said):
        Recipe(**{"model": "ngrams", **options})


def test_a_config_that_asks_for_what_is_not_there_is_refused(folder, tmp_path):
    for grams in ([2**40], [1] * 30, [-1], "x"):
        shutil.copytree(folder / "run", tmp_path / "run", dirs_exist_ok=True)
        told = json.loads((tmp_path / "run/config.json").read_text())
        (tmp_path / "run/config.json").write_text(json.dumps(told | {"grams": grams}))
        with pytest.raises(FormatError):
            load_trained(Run.open(tmp_path / "run"))
