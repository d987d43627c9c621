"""What every run is held against: the bag of the same ids, for labels or numbers, or their n-grams, for the next id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.public.run import BAG_TYPE, NGRAMS_TYPE, Run
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import pack
from ult.trainer.models.embeddings import Model


def check_no_bag(run: Run, model: Model) -> None:
    """Raise `InvalidConfig` for a run that is a bag itself, beside which none can stand."""
    if model.config.model_type == BAG_TYPE:
        raise InvalidConfig(f"{run.path} is a bag itself", hint="leave out --bag")


def fitted_bag(vocabulary: Vocabulary, classes: Sequence[Any], data: Labelled, seed: int) -> Model:
    """Return a bag that is fitted to `data`, and whose penalty was chosen on a fifth of it."""
    from ult.trainer.bag_fit import fit  # not above: the class of a bag needs all of transformers
    from ult.trainer.models.bag import Bag

    bag = Bag.of(vocabulary, classes)
    fit(bag, data, None, seed)
    return bag


def check_no_ngrams(run: Run, model: Model) -> None:
    """Raise `InvalidConfig` for a run that is n-grams itself, beside which none can stand."""
    if model.config.model_type == NGRAMS_TYPE:
        raise InvalidConfig(f"{run.path} is n-grams itself", hint="leave out --ngrams")


def fitted_ngrams(run: Run, shards: Sequence[Shards], folder: Path, seed: int) -> Model:
    """Return the n-grams of shards, packed into `folder`, chosen by a fifth of their records."""
    from ult.trainer.models.ngrams import Ngrams  # as above
    from ult.trainer.ngram_fit import fit

    pack(shards, folder, modality_token=run.modality_token)
    model = Ngrams.of(run.vocabulary)
    fit(model, Blocks.open(folder, context=run.context), None, seed=seed)
    return model
