"""Say how likely a run finds ids: of several endings of one beginning, and of each id that may come next."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.errors import TrainingError
from ult.host.extras import require
from ult.public.run import Run
from ult.public.vocabulary import PAD
from ult.trainer.ids import Ids
from ult.trainer.models.generation import normalizer
from ult.trainer.models.together import load_predictor

with require("torch", "transformers", extra="train"):
    import torch

_CELLS = 2**26  # logits that are in memory at once, about


class Endings(NamedTuple):
    """A beginning of a record, (p,) ids, and several ids (m,) of which each may end it.

    Only the last ids of each ending count, those from place `counted` on; of `<eos>` too, which belongs to the ending.
    """

    start: Ids
    ends: Sequence[Ids]
    counted: Sequence[int] | None = None


class _Work(NamedTuple):
    """A part of the endings of item `k`, from ending `first` on, cut to what a model sees at once."""

    k: int
    first: int
    start: NDArray[np.int64]
    ends: list[NDArray[np.int64]]
    counted: list[int]


class Scorer:
    """A run for "lm", loaded once, that says how likely ids are. Raises `TrainingError` for a run of another task."""

    def __init__(self, run: Run, *, modality: str | None = None, batch_size: int = 64) -> None:
        if run.task != "lm":
            raise TrainingError(
                f"run {run.path} was trained for {run.task}; expected one for lm, which finds whole records likely",
                hint="ult train --task lm",
            )
        self.head = np.array(run.head(modality), np.int64)
        self.context, self.batch_size = run.context, batch_size
        self.model = load_predictor(run)
        self.vocabulary_size = run.vocabulary.size
        takes = inspect.signature(self.model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._caches = "past_key_values" in takes

    def score(self, items: Sequence[Endings]) -> tuple[list[NDArray[np.float64]], int]:
        """Return the natural logarithm of the probability of each ending (endings,), and how many items were cut.

        Of what exceeds the run's context, the first ids of the beginning are left out, and if that is not enough, down
        to half the context, the last ids of all endings.
        """
        found = [np.zeros(len(item.ends)) for item in items]
        works, cut = self._works(items)
        with torch.inference_mode():
            for group in self._groups(works):
                for work, nats in zip(group, self._nats(group), strict=True):
                    found[work.k][work.first : work.first + len(nats)] = nats
        return found, cut

    def following(self, starts: Sequence[Ids]) -> NDArray[np.float64]:
        """Return the probability of each id (n, vocabulary) after each of n beginnings."""
        found = np.zeros((len(starts), self.vocabulary_size))
        seen = [np.concatenate([self.head, start])[-self.context :].astype(np.int64) for start in starts]
        order = sorted(range(len(seen)), key=lambda k: len(seen[k]))
        with torch.inference_mode():
            for size in sorted({len(one) for one in seen}):
                same = [k for k in order if len(seen[k]) == size]
                for first in range(0, len(same), self.batch_size):
                    batch = same[first : first + self.batch_size]
                    logits, _ = self._begin(np.stack([seen[k] for k in batch]), cache=False)
                    found[batch] = _log_softmax(logits).exp().double().cpu().numpy()
        return found

    def _works(self, items: Sequence[Endings]) -> tuple[list[_Work], int]:
        works, cut = [], 0
        for k, item in enumerate(items):
            start = np.concatenate([self.head, item.start]).astype(np.int64)
            ends, was_cut = list(item.ends), False
            if len(start) + max(map(len, ends)) - 1 > self.context:
                start, ends = self._fitted(start, ends)
                was_cut = True
            cut += was_cut
            counted = list(item.counted) if item.counted is not None else [0] * len(ends)
            longest = max(map(len, ends))
            most = max(1, min(self.batch_size, _CELLS // (longest * self.vocabulary_size)))
            for first in range(0, len(ends), most):
                some = [np.asarray(end, np.int64) for end in ends[first : first + most]]
                works.append(_Work(k, first, start, some, counted[first : first + most]))
        return works, cut

    def _fitted(self, start: NDArray[np.int64], ends: list[Ids]) -> tuple[NDArray[np.int64], list[Ids]]:
        """Return a beginning and endings that fit into the context; of all endings the same number of ids is cut."""
        longest = max(map(len, ends))
        start = start[-max(self.context // 2, self.context + 1 - longest) :]
        over = len(start) + longest - 1 - self.context
        if over <= 0:
            return start, ends
        room = self.context + 1 - len(start)
        return start, [end[: max(1, min(room, len(end) - over))] for end in ends]

    def _groups(self, works: Sequence[_Work]) -> Iterator[list[_Work]]:
        """Yield works whose beginnings are of one length and whose endings are of one number, in batches."""
        order = sorted(works, key=lambda work: (len(work.start), len(work.ends), max(map(len, work.ends))))
        group: list[_Work] = []
        for work in order:
            longest = max(map(len, work.ends))
            most = max(1, min(self.batch_size, _CELLS // (longest * self.vocabulary_size)))
            like = group and (len(group[0].start), len(group[0].ends)) == (len(work.start), len(work.ends))
            if group and (not like or (len(group) + 1) * len(work.ends) > most):
                yield group
                group = []
            group.append(work)
        if group:
            yield group

    def _nats(self, group: Sequence[_Work]) -> list[NDArray[np.float64]]:
        """Return the logarithms of the probabilities of the endings of each work."""
        starts, many = np.stack([work.start for work in group]), len(group[0].ends)
        ends = [end for work in group for end in work.ends]
        longest = max(map(len, ends))
        padded = np.full((len(ends), longest), PAD, np.int64)
        for row, end in enumerate(ends):
            padded[row, : len(end)] = end
        counted = np.array([first for work in group for first in work.counted])[:, None]
        sizes = np.array([len(end) for end in ends])[:, None]
        places = np.arange(longest)[None]
        wanted = torch.from_numpy((places >= counted) & (places < sizes)).to(self.model.device)
        logits = self._logits(starts, padded, many)
        ids = torch.from_numpy(padded).to(self.model.device)
        nats = _log_softmax(logits).gather(-1, ids[..., None])[..., 0].double()
        total: NDArray[np.float64] = torch.where(wanted, nats, 0.0).sum(-1).cpu().numpy()
        return list(total.reshape(len(group), many))

    def _logits(self, starts: NDArray[np.int64], ends: NDArray[np.int64], many: int) -> torch.Tensor:
        """Return the logits (b * many, m, ids) before each id of the endings (b * many, m) of beginnings (b, p)."""
        if self._caches:
            first, cache = self._begin(starts, cache=ends.shape[1] > 1)
            first = first.repeat_interleave(many, 0)[:, None]
            if ends.shape[1] == 1:
                return first
            self._caches = hasattr(cache, "batch_repeat_interleave")
            if self._caches:
                cache.batch_repeat_interleave(many)
                given = torch.from_numpy(ends[:, :-1]).to(self.model.device)
                later = self.model(input_ids=given, past_key_values=cache, use_cache=True).logits.float()
                return torch.cat([first, later], 1)
        given = torch.from_numpy(np.hstack([starts.repeat(many, 0), ends[:, :-1]])).to(self.model.device)
        logits: torch.Tensor = self.model(input_ids=given, use_cache=False).logits[:, starts.shape[1] - 1 :]
        return logits.float()

    def _begin(self, starts: NDArray[np.int64], *, cache: bool) -> tuple[torch.Tensor, Any]:
        """Return the logits (b, ids) after beginnings (b, p), and what the model remembers of them."""
        given = torch.from_numpy(starts).to(self.model.device)
        out = self.model(input_ids=given, use_cache=cache, **self._last)
        return out.logits[:, -1].float(), out.past_key_values if cache else None


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return log probabilities (.., ids). Raises `TrainingError` if the model predicts no numbers."""
    return logits - normalizer(logits)[..., None]
