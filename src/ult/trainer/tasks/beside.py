"""The bag of the same ids that every run for labels or numbers is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ult.errors import InvalidConfig
from ult.public.run import BAG_TYPE, Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.labelled import Labelled
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
