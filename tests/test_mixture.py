"""`--mixture`, the shares of several shards folders, and the id that names a record's modality."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from forked import two
from test_processes import check_same
from test_train import interrupt_at
from toy import OTHER, SIZE, TABLE, blocks, counting, labelled, two_classes, write
from ult.errors import FormatError, InvalidConfig, TrainingError
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import Vocabulary, modality_id
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.packing import open_shards, pack
from ult.trainer.datasets.sampler import Mixture, mixture
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

IMAGE, TEXT = 5, 4
OPTIONS = {"steps": 9, "batch_size": 4, "context": 16}


def test_samples_come_by_share_and_each_folder_pass_after_pass():
    mixed = Mixture((0, 5, 7, 10), (3, 1, 1))
    order = list(mixed.order(100, 4))
    folders = np.searchsorted([5, 7], order, side="right")
    assert len(order) == len(mixed.order(100, 4)) == 100
    for t in range(1, 101):
        found = np.bincount(folders[:t], minlength=3)
        np.testing.assert_array_less(np.abs(found - t * np.array([0.6, 0.2, 0.2])), 1)
    for folder, (first, end) in enumerate(((0, 5), (5, 7), (7, 10))):
        own = [k for k, of in zip(order, folders, strict=True) if of == folder]
        for start in range(0, len(own) - (end - first) + 1, end - first):
            assert sorted(own[start : start + end - first]) == list(range(first, end))
    assert order == list(mixed.order(100, 4))
    assert order != list(mixed.order(100, 5))
    assert order[:30] == list(mixed.order(30, 4))


def test_a_block_is_of_the_folder_of_its_first_prediction(tmp_path):
    paths = [write(tmp_path / name, counting(n, seed=n)) for name, n in (("x", 5), ("y", 1), ("z", 9))]
    data, many = blocks(tmp_path / "packed", paths, context=4), open_shards(paths)
    starts = mixture((1, 1, 1), many, data).starts
    assert starts[-1] == len(data)
    owner = np.repeat([0, 1, 2], [5, 1, 9])
    for folder, (first, end) in enumerate(pairwise(starts)):
        assert {int(owner[data.records(k)[0]]) for k in range(first, end)} == {folder}
    wide = Blocks(data.stream, data.ends, 64)
    with pytest.raises(InvalidConfig, match=r"y is too small.*--context"):
        mixture((1, 1, 1), many, wide)


def test_rows_are_the_samples_of_a_classifier(tmp_path):
    paths = [two_classes(tmp_path / "x", 6), two_classes(tmp_path / "y", 4)]
    data = labelled(tmp_path / "packed", paths, context=16)
    assert mixture((1, 2), open_shards(paths), data).starts == (0, 6, 10)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    return [write(folder / "a", counting(61)), coded(folder / "b", counting(20, seed=1), "image/dct")]


def coded(path, records, codec, table=OTHER):
    with ShardWriter(path, vocabulary=Vocabulary(SIZE), table=table, codec=codec, column="x") as writer:
        writer.write(records, 3 * sum(map(len, records)))
    return path


def test_mixed_training_resumes_and_is_shared_among_processes(several, tmp_path, monkeypatch):
    options = {**OPTIONS, "mixture": (1, 3), "modality_token": True}
    metrics = train(several, tmp_path / "one", Recipe(**options))
    assert (metrics["mixture"], metrics["modality_token"]) == ([1, 3], True)
    with monkeypatch.context() as patch:
        interrupt_at(5, patch)
        with pytest.raises(KeyboardInterrupt):
            train(several, tmp_path / "cut", Recipe(**options))
    with pytest.raises(TrainingError, match="started with other mixture"):
        train(several, tmp_path / "cut", Recipe(**{**options, "mixture": (3, 1)}), resume=True)
    train(several, tmp_path / "cut", Recipe(**options), resume=True)
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    given = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    command = ["train", *several, "-o", tmp_path / "two", *given, "--mixture", "1,3", "--modality-token"]
    statuses, printed = two(command, tmp_path)
    assert statuses == [0, 0], printed
    check_same(tmp_path / "one", tmp_path / "two")


def test_modality_is_given_and_never_predicted(several, tmp_path):
    records = [np.array(r, np.uint32) for r in ([40, 41], [], [43])]
    paths = [write(tmp_path / "x", records[:2]), coded(tmp_path / "y", records[2:], "image/dct")]
    pack(open_shards(paths), tmp_path / "packed", modality_token=True)
    data = Blocks.open(tmp_path / "packed", context=4)
    assert data.stream.tolist() == [2, TEXT, 40, 41, 2, TEXT, 2, IMAGE, 43, 2]
    assert [data[k]["labels"].tolist() for k in range(3)] == [[-100, 40, 41, 2], [-100, 2, -100, 43], [2]]
    assert [data.records(k).tolist() for k in range(3)] == [[0, 0, 0], [1, 2], [2]]
    assert data.counts.tolist() == [3, 1, 2]


def test_records_of_fields_have_a_modality_too(tmp_path):
    """Its id was free before: where no such shards are trained with modality tokens it is an id as any other."""
    assert modality_id("record/columns") == 31
    labelled = [np.array([31, 40], np.uint32)]
    paths = [write(tmp_path / "x", labelled), coded(tmp_path / "y", [np.array([43], np.uint32)], "record/columns")]
    for count, modality_token, stream, labels in (
        (1, False, [2, 31, 40, 2], [31, 40, 2]),
        (1, True, [2, TEXT, 31, 40, 2], [-100, 31, 40, 2]),
        (2, False, [2, 31, 40, 2, 43, 2], [31, 40, 2, 43, 2]),
        (2, True, [2, TEXT, 31, 40, 2, 31, 43, 2], [-100, -100, 40, 2, -100, 43, 2]),
    ):
        pack(open_shards(paths[:count]), tmp_path / "packed", modality_token=modality_token)
        data = Blocks.open(tmp_path / "packed", context=9)
        assert (data.stream.tolist(), data[0]["labels"].tolist()) == (stream, labels)


def test_labelled_records_start_with_their_modality(tmp_path):
    records = [np.arange(40, 40 + n, dtype=np.uint32) for n in (0, 3, 1)]
    path = write(tmp_path / "x", records, kept={"label": [7, 8, 7]})
    classes = pack(open_shards(path), tmp_path / "packed", label="label", modality_token=True)
    data = labelled(tmp_path / "packed", path, context=5)
    assert not np.isin(data.stream, TEXT).any()
    pack(open_shards(path), tmp_path / "packed", label="label", modality_token=True)
    data = type(data).open(tmp_path / "packed", context=5, label="label", classes=classes)
    assert [data[k]["input_ids"].tolist() for k in range(3)] == [[2, TEXT, 2], [2, TEXT, 40, 41, 2], [2, TEXT, 40, 2]]
    assert (data.truncated, data.ids) == (1, 3 + 5 + 4)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """A run that counts up if it is text, and down if it is an image."""
    folder = tmp_path_factory.mktemp("marked")
    up, down = (
        write(folder / "up", counting(300)),
        coded(folder / "down", [r[::-1] for r in counting(300, seed=1)], "image/dct"),
    )
    options = {"steps": 200, "batch_size": 16, "context": 16, "learning_rate": 3e-3}
    train([up, down], folder / "run", Recipe(mixture=(1, 1), modality_token=True, **options), validation=down)
    return folder / "run", up, down


def test_a_run_writes_the_modality_that_it_is_asked_for(marked):
    run, *_ = marked
    for modality, step in (("text", 1), ("image", -1)):
        record = generate(run, [[45]], temperature=0, modality=modality)[0].tolist()
        assert record == list(range(45, 45 + step * len(record), step))
        assert len(record) > 2
    assert max(map(len, generate(run, n=20, modality="text"))) <= 14
    with pytest.raises(InvalidConfig, match="knows image, text; expected one of them"):
        generate(run, n=1)
    with pytest.raises(InvalidConfig, match="not on series"):
        generate(run, n=1, modality="series")


def test_bits_are_those_of_the_data_alone(marked):
    run, _, down = marked
    model, nats, predictions = load_trained(Run.open(run)), 0.0, 0
    stream = [i for shards in open_shards(down) for ids in shards.ids() for i in (IMAGE, *ids.tolist(), 2)]
    stream = [2, *stream]
    for start in range(0, len(stream) - 1, 16):
        window = stream[start : start + 17]
        with torch.no_grad():
            logs = model(input_ids=torch.tensor([window[:-1]])).logits[0].log_softmax(-1)
        for row, wanted in zip(logs, window[1:], strict=True):
            if wanted != IMAGE:
                nats -= float(row[wanted])
                predictions += 1
    found = evaluate(run, down)
    assert (found["predictions"], found["rows"]) == (predictions, 300)
    assert found["bits"] == pytest.approx(nats / np.log(2), rel=1e-5)
    bits = json.loads((run / "metrics.json").read_text())["validation"]["bits"]
    assert found["bits_per_id"] == pytest.approx(min(b for _, b in bits), rel=1e-5)


def test_classifiers_with_a_modality(tmp_path):
    data = two_classes(tmp_path / "x")
    options = {"task": "classify", "steps": 20, "batch_size": 8, "context": 16}
    train(data, tmp_path / "run", Recipe(modality_token=True, **options))
    assert evaluate(tmp_path / "run", data)["accuracy"] > 0.9


@pytest.mark.parametrize("weights", [(1,), (1, 0), (1, -1), (1, float("nan")), (1, float("inf"))])
def test_weights_out_of_range(several, tmp_path, weights):
    with pytest.raises(InvalidConfig, match="mixture"):
        train(several, tmp_path / "run", Recipe(**OPTIONS, mixture=weights))
    assert list(tmp_path.iterdir()) == []


def test_a_codec_without_a_modality_of_ours(tmp_path):
    with pytest.raises(FormatError, match="codec is 'sound/fft'"):
        train(
            coded(tmp_path / "x", counting(9), "sound/fft", TABLE),
            tmp_path / "run",
            Recipe(modality_token=True, **OPTIONS),
        )
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    with pytest.raises(InvalidConfig, match="'sound/fft' is of no modality"):  # what Python may ask for
        modality_id("sound/fft")
