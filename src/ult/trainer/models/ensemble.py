"""Several models as one, whose probabilities are the means of theirs: what a run with members predicts.

Probabilities are averaged, not logits, and equally unless each member has a weight. Members that were drawn with other
seeds err in other places, and their mean costs fewer bits than each of them, never more than they do on average
(Jensen's inequality).
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ult.host.extras import require
from ult.trainer.models.embeddings import Model

with require("torch", "transformers", extra="train"):
    import torch
    import transformers
    from transformers.modeling_outputs import CausalLMOutputWithPast


class Ensemble(transformers.PreTrainedModel, transformers.GenerationMixin):
    """Models of one vocabulary and task, asked together. It answers as one model does, and cannot be saved as one.

    `places` (members) say which class of the whole each class of a member is, and `width` how many classes there are: a
    member that was never shown a class finds it impossible. `weights` (members), above 0, say how much each counts;
    without them all do alike. `scales` (members) are the mean and the deviation of the
    numbers that each member was trained on, the first of them those of the whole.
    """

    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(
        self,
        members: Sequence[Model],
        *,
        places: Sequence[torch.Tensor] | None = None,
        width: int = 0,
        scales: Sequence[tuple[float, float]] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(copy.deepcopy(members[0].config))
        self.members = torch.nn.ModuleList(members)
        self.places, self.width, self.scales = places, width, scales
        each = weights or [1.0] * len(members)
        self.logs = [math.log(one / math.fsum(each)) for one in each]
        takes = (inspect.signature(type(one).forward).parameters for one in members)
        self.caches = all("past_key_values" in names for names in takes)
        self.train(False)

    @property
    def base_model(self) -> Any:
        """The body of the first member: all see of a record what it sees."""
        return self.members[0].base_model

    def get_input_embeddings(self) -> Any:
        """Return the rows of the first member."""
        return self.members[0].get_input_embeddings()  # type: ignore[operator]

    def get_output_embeddings(self) -> None:
        """Return None: no one layer makes the logits."""

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Return the logarithms of the mean probabilities (b, n, ids) or (b, classes), or the mean numbers (b, 1)."""
        asked = {"input_ids": input_ids, "attention_mask": attention_mask, "position_ids": position_ids}
        asked = {name: value for name, value in asked.items() if value is not None}
        before = past_key_values.each if isinstance(past_key_values, Caches) else [None] * len(self.members)
        caches: list[Any] = []
        total = functools.reduce(self._added, self._each(asked, before, caches, bool(use_cache and self.caches)))
        mean = total / len(self.members) if self.scales is not None else total
        whole: Any = Caches(caches) if caches and all(one is not None for one in caches) else None
        return CausalLMOutputWithPast(logits=mean, past_key_values=whole)

    def _each(
        self, asked: dict[str, Any], before: Sequence[Any], caches: list[Any], use_cache: bool
    ) -> Iterator[torch.Tensor]:
        """Yield what each member says, and put what it remembers into `caches`."""
        for k, member in enumerate(self.members):
            known = {} if before[k] is None else {"past_key_values": before[k]}
            found = member(**asked, use_cache=use_cache, **known)
            caches.append(getattr(found, "past_key_values", None) if use_cache else None)
            yield self._whole(k, found.logits.float())

    def _added(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return one + other if self.scales is not None else torch.logaddexp(one, other)

    def _whole(self, k: int, logits: torch.Tensor) -> torch.Tensor:
        """Return what member k says, of all classes and in the scale of the whole."""
        if self.scales is not None:
            (mean, deviation), (own, spread) = self.scales[0], self.scales[k]
            return (logits * spread + own - mean) / deviation
        said = logits.log_softmax(-1) + self.logs[k]
        if self.places is None:
            return said
        return said.new_full((*said.shape[:-1], self.width), -torch.inf).index_copy(-1, self.places[k], said)

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Any, past_key_values: Any = None, attention_mask: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return what `forward` takes at the next id: each member has a cache of its own, and transformers' none."""
        known = past_key_values if isinstance(past_key_values, Caches) else None
        seen = known.get_seq_length() if known else 0
        asked = {"input_ids": input_ids[:, seen:], "attention_mask": attention_mask}
        return {**asked, "past_key_values": known, "use_cache": True}


class Caches:
    """What each member remembers of the ids before."""

    is_compileable = False

    def __init__(self, each: Sequence[Any]) -> None:
        self.each = list(each)

    def get_seq_length(self) -> int:
        """Return how many ids the members have read."""
        return int(self.each[0].get_seq_length())

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Remember each row so many times, one after the other."""
        for one in self.each:
            one.batch_repeat_interleave(repeats)
