"""Per-record gradients, computed in a batch, against a plain loop, for every kind of model."""

import numpy as np
import pytest
import torch
import transformers

from toy import SIZE, TABLE, labelled, two_classes, write
from ult.errors import TrainingError
from ult.privacy.randomness import Seeded
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.collator import IGNORED, collate
from ult.trainer.datasets.packing import open_shards, pack
from ult.trainer.datasets.windows import Windows
from ult.trainer.dp.clipping import clipped_sum
from ult.trainer.dp.poisson import PoissonSamples
from ult.trainer.models.build import build
from ult.trainer.models.lora import Adapters
from ult.trainer.models.presets import from_preset
from ult.trainer.models.seq2seq import encoder_decoder, own_settings
from ult.trainer.recipe import Recipe

RNG = np.random.default_rng(0)
V = Vocabulary(SIZE)


def ids(n):
    return RNG.integers(32, SIZE, n)


def streams(*lengths):
    return [{"input_ids": (row := ids(n)), "labels": np.where(np.arange(n) == 1, IGNORED, row)} for n in lengths]


def pairs(*lengths):
    return [
        {
            "input_ids": ids(n),
            "attention_mask": np.ones(n, np.int64),
            "decoder_input_ids": ids(m),
            "labels": ids(m),
        }
        for n, m in lengths
    ]


def llama():
    model = from_preset("tiny", V)
    model.set_attn_implementation("eager")
    return model


def untied():
    config = transformers.LlamaConfig(
        vocab_size=SIZE, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    config.tie_word_embeddings = False
    return transformers.LlamaForCausalLM(config)


def gpt2():
    config = transformers.GPT2Config(vocab_size=SIZE, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    return transformers.GPT2LMHeadModel(config)


def classifier():
    recipe = Recipe(task="classify", steps=1, batch_size=1, context=16)
    return build(recipe, V, {TABLE}, ["a", "b", "c"])[0]


def t5():
    model = encoder_decoder("tiny", V)
    own_settings(model)
    return model


def bart():
    config = transformers.BartConfig(
        vocab_size=SIZE,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=32,
        dropout=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    return transformers.BartForConditionalGeneration(config)


def adapted():
    model = llama()
    Adapters(model, Recipe(steps=1, batch_size=1, context=16), 2)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)  # zeros would leave the gradients of A at zero
    return model


def looped(model, weights, items, clip):
    """The slow twin: each record alone, without padding or mask, by a plain backward pass."""
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    losses, lengths = 0.0, []
    for item in items:
        one = collate([item])
        read = {name: tensor for name, tensor in one.items() if name not in ("labels", "attention_mask")}
        logits = model(**read, use_cache=False).logits.flatten(0, -2)
        loss = torch.nn.functional.cross_entropy(logits, one["labels"].flatten(), ignore_index=IGNORED)
        found = torch.autograd.grad(loss, list(weights.values()))
        lengths.append(torch.sqrt(sum(gradient.square().sum() for gradient in found)).item())
        for name, gradient in zip(weights, found, strict=True):
            sums[name] += gradient * min(1.0, clip / lengths[-1])
        losses += loss.item()
    return sums, losses, lengths


@pytest.mark.parametrize(
    ("make", "items"),
    [
        (llama, streams(5, 9, 3, 7, 7)),
        (untied, streams(5, 9, 3)),
        (gpt2, streams(5, 9, 3)),
        (classifier, [{"input_ids": ids(n), "labels": np.array(n % 3)} for n in (5, 9, 3, 7)]),
        (t5, pairs((5, 3), (9, 6), (3, 8), (7, 2))),
        (bart, pairs((5, 3), (9, 6), (3, 8))),
        (adapted, streams(5, 9, 3)),
    ],
)
def test_clipped_gradients_are_those_of_a_loop_over_single_records(make, items):
    torch.manual_seed(0)
    model = make()
    model.set_attn_implementation("eager")
    model.train()
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    _, _, lengths = looped(model, weights, items, 1.0)
    clip = float(np.median(lengths))  # so that some are clipped and some are not
    expected, losses, _ = looped(model, weights, items, clip)
    for part in (2, len(items)):
        sums, found = clipped_sum(model, weights, items, clip=clip, part=part)
        assert found.item() == pytest.approx(losses, rel=1e-5)
        assert sums.keys() == expected.keys()
        for name, gradient in expected.items():
            assert torch.allclose(sums[name], gradient, rtol=1e-4, atol=1e-5 * clip), name


def test_no_record_moves_the_sum_by_more_than_the_clip():
    torch.manual_seed(0)
    model, items = llama(), streams(5, 9, 3)
    weights = dict(model.named_parameters())
    for clip in (0.01, 1e5):
        both = [clipped_sum(model, weights, some, clip=clip, part=3)[0] for some in (items, items[1:])]
        moved = sum((both[0][name] - both[1][name]).double().square().sum() for name in weights).sqrt().item()
        assert moved <= clip * (1 + 1e-5)
    assert moved < 1e4  # a gradient that is short stays as it is


def test_no_record_gives_zeros_and_one_without_end_an_error():
    model = llama()
    weights = dict(model.named_parameters())
    sums, losses = clipped_sum(model, weights, [], clip=1.0, part=4)
    assert not any(gradient.any() for gradient in sums.values())
    assert losses == 0
    torch.nn.init.constant_(model.model.norm.weight, float("inf"))
    with pytest.raises(TrainingError, match="not finite"):
        clipped_sum(model, weights, streams(3), clip=1.0, part=4)


def windows(folder, path, context, **options):
    pack(open_shards(path), folder, **options)
    return Windows.open(folder, context=context)


def test_windows_hold_one_record_and_cover_it(tmp_path):
    records = [np.array(r, np.uint32) for r in ([40, 41, 42, 43, 44, 45], [], [46])]
    data = windows(tmp_path / "packed", write(tmp_path / "x", records), 4)
    seen = [(data[k]["input_ids"].tolist(), data[k]["labels"].tolist()) for k in range(len(data))]
    first, second = ([2, 40, 41, 42], [40, 41, 42, 43]), ([43, 44, 45], [44, 45, 2])
    assert seen == [first, second, ([2], [2]), ([2, 46], [46, 2])]
    assert (data.rows, data.ids, data.counts.tolist()) == (3, 10, [7, 1, 2])
    assert [data.records(k).tolist() for k in range(4)] == [[0] * 4, [0] * 3, [1], [2, 2]]
    drawn = [data.window(0, share)["input_ids"].tolist() for share in (0.0, 0.49, 0.5, 0.9)]
    assert drawn == [first[0], first[0], second[0], second[0]]
    assert [data.window(k, 0.9)["input_ids"].tolist() for k in (1, 2)] == [[2], [2, 46]]


def test_modality_of_a_record_is_given_and_not_predicted(tmp_path):
    path = write(tmp_path / "x", [np.array([40], np.uint32)])
    data = windows(tmp_path / "packed", path, 8, modality_token=True)
    assert (data[0]["input_ids"].tolist(), data[0]["labels"].tolist()) == ([2, 4, 40], [IGNORED, 40, 2])
    assert (data.counts.tolist(), data.records(0).tolist()) == ([2], [0, 0])


def test_every_record_is_drawn_with_the_rate_and_on_its_own(tmp_path):
    data = labelled(tmp_path / "packed", two_classes(tmp_path / "x", rows=40), context=8)
    draws = PoissonSamples(data, 0.2, 400, Seeded(3))
    sizes = np.array([len(draws[t]) for t in range(len(draws))])
    assert sizes.mean() == pytest.approx(8, abs=0.4)  # 3.2 deviations of the mean
    assert sizes.var() == pytest.approx(40 * 0.2 * 0.8, rel=0.25)  # binomial: a fixed size would have none
    assert [len(draws[t]) for t in range(9)] == sizes[:9].tolist()
    assert all(np.array_equal(a["input_ids"], b["input_ids"]) for a, b in zip(draws[5], draws[5], strict=True))
