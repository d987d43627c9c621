"""The model that a training begins with: a preset, a checkpoint with fresh embedding rows, or an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.run import PER_TABLE
from ult.public.task import LABELS, VALUE
from ult.public.vocabulary import BOS, EOS, PAD, Vocabulary
from ult.trainer.models.bag import BAG, Bag
from ult.trainer.models.checkpoint import GROUP
from ult.trainer.models.earlier import Earlier
from ult.trainer.models.embeddings import Model, draw_rows, draw_rows_in_secret
from ult.trainer.models.heads import clear_head, set_head
from ult.trainer.models.labels import keep_labels
from ult.trainer.models.load import load_checkpoint
from ult.trainer.models.ngrams import NGRAMS, Ngrams
from ult.trainer.models.presets import PRESETS, from_preset, from_preset_to_predict
from ult.trainer.models.seq2seq import ENCODER_DECODERS, encoder_decoder, own_settings
from ult.trainer.models.smollm2 import WEIGHTS, smollm2
from ult.trainer.models.table_rows import spread
from ult.trainer.recipe import Recipe

with require("torch", "transformers", extra="train"):
    import transformers


def build(recipe: Recipe, vocabulary: Vocabulary, tables: set[str], classes: list[Any]) -> tuple[Model, str]:
    """Return the model to train, and what its embedding rows are: "fresh", those of an earlier run ("keep"), or both.

    "Both" is `PER_TABLE`: each table has rows of its own, kept if the earlier run has some for it.

    `tables` are the fingerprints of the tables of the shards to train on. Unless the recipe says otherwise, rows of an
    earlier run are kept if it was trained on the same tables, because an id means something else under another table.

    Raises `InvalidConfig`, `WrongVocabulary`, `MissingSource` or `FormatError`.
    """
    embeddings = "fresh"
    if recipe.model == BAG:
        return Bag.of(vocabulary, classes if recipe.task == "classify" else VALUE), embeddings
    if recipe.model == NGRAMS:
        return Ngrams.of(vocabulary, recipe.order), embeddings
    earlier = None
    if recipe.from_run is not None:
        earlier = Earlier.open(recipe, vocabulary)
        model = earlier.model
        if not recipe.rows_per_table:
            embeddings = earlier.arrange(tables, recipe.embeddings)
    else:
        name = recipe.model or "tiny"
        presets = _presets(recipe.task)
        model = presets[name](name, vocabulary) if name in presets else from_checkpoint(name, vocabulary, recipe.task)
    room = getattr(model.config, "max_position_embeddings", None)
    if room is not None and recipe.context > room:
        raise InvalidConfig(f"context is {recipe.context}; the model has room for {room}", hint=f"--context {room}")
    for config in (model.config, model.generation_config):
        config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, BOS, EOS
    if recipe.rows_per_table:
        kept = earlier.kept(tables, recipe.embeddings) if earlier else {}
        spread(model, sorted(tables), kept, first=earlier.first_drawn if earlier else 0)
        return model, PER_TABLE
    if recipe.secret_rows:
        if embeddings != "fresh":
            raise InvalidConfig(
                f"secret_rows was given, and the rows of {recipe.from_run} are kept", hint="--embeddings fresh"
            )
        draw_rows_in_secret(model, earlier.first_drawn if earlier else 0)
    if recipe.task == "seq2seq":
        own_settings(model)
    if recipe.task not in LABELS:
        clear_head(model)
        return model, embeddings
    classifier = with_classes(model, classes if recipe.task == "classify" else VALUE)
    if earlier is not None and embeddings == "keep" and earlier.run.task == recipe.task == "classify":
        keep_labels(classifier, earlier.run, classes)
    set_head(classifier, recipe.pool, recipe.attention)
    return classifier, embeddings


def _presets(task: str) -> dict[str, Callable[[str, Vocabulary], Model]]:
    if task == "seq2seq":
        return dict.fromkeys(ENCODER_DECODERS, encoder_decoder)
    draw = from_preset_to_predict if task == "lm" else from_preset
    return dict.fromkeys(PRESETS, draw) | {WEIGHTS: lambda _, vocabulary: _resized(smollm2(), vocabulary)}


def from_checkpoint(name: str, vocabulary: Vocabulary, task: str = "lm") -> Model:
    """Return the model of a folder or of the Hub, with as many embedding rows as `vocabulary`, drawn afresh."""
    if not Path(name).is_dir() and name.count("/") != 1:
        known = ", ".join(_presets(task))
        raise InvalidConfig(
            f"model {name!r} is no preset for {task} and no folder", hint=f"one of {known}, a folder, or org/name"
        )
    if all((Path(name) / one).is_file() for one in ("metrics.json", "vocabulary.json")):
        raise InvalidConfig(
            f"model {name!r} is a run: nothing would tell what it was trained on", hint=f"--from {name}, not --model"
        )
    whole = not (Path(name) / GROUP).is_file()  # the body of a federation has no rows; all are drawn below
    return _resized(load_checkpoint(name, task, rows=whole), vocabulary)


def _resized(model: Model, vocabulary: Vocabulary) -> Model:
    model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    draw_rows(model)
    return model


def initial_weights(recipe: Recipe) -> str:
    """Return "random" if `build` draws the weights that a training begins with, "loaded" if it reads them."""
    drawn = recipe.from_run is None and (recipe.model or "tiny") in {BAG, NGRAMS, *_presets(recipe.task)} - {WEIGHTS}
    return "random" if drawn else "loaded"


def with_classes(model: Model, classes: Sequence[Any]) -> Model:
    """Return a sequence classifier with the body of `model` and a fresh head, which may have more than one layer."""
    config = model.config
    config.num_labels = len(classes)
    config.id2label = {i: str(label) for i, label in enumerate(classes)}
    config.label2id = {str(label): i for i, label in enumerate(classes)}
    try:
        classifier = transformers.AutoModelForSequenceClassification.from_config(config)
    except ValueError as error:
        raise InvalidConfig(f"{config.model_type} models cannot classify sequences", hint="another --model") from error
    lacking = classifier.base_model.load_state_dict(model.base_model.state_dict(), strict=False)
    if lacking.unexpected_keys or not all("pooler" in name for name in lacking.missing_keys):
        raise InvalidConfig(
            f"{config.model_type} models classify with another body than that of {type(model).__name__}",
            hint="another --model",
        )
    return classifier
