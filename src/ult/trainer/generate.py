"""Let a run write records as ids. Only the owner's table can tell what they say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.errors import InvalidConfig, TrainingError
from ult.host.extras import require
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.shards import Shards
from ult.public.vocabulary import EOS, FREE, N_SPECIAL
from ult.trainer.datasets.packing import open_shards
from ult.trainer.ids import Ids, given_ids, record_of
from ult.trainer.models.generation import write
from ult.trainer.models.together import load_predictor

with require("torch", "transformers", extra="train"):
    import torch
    from transformers import LogitsProcessor, RepetitionPenaltyLogitsProcessor


class Grammar(Protocol):
    """Says which ids may follow so that the owner's table can decode the record; the owner lends it to `generate`."""

    def start(self, ids: NDArray[Any]) -> Any:
        """Return the state after a prompt (n,). Raises `CorruptSymbols` if no record begins with it."""

    def allowed(self, state: Any, room: int) -> NDArray[np.bool_]:
        """Return which ids (vocabulary,) may come next if `room` ids are left; `<eos>` where a record may end."""

    def advance(self, state: Any, written: int) -> Any:
        """Return the state after an allowed id. The given state is not changed."""


class Condition(Grammar, Protocol):
    """A grammar of records that have something given; `free` allows what could come if nothing were."""

    def free(self, state: Any, room: int) -> NDArray[np.bool_]:
        """Return which ids (vocabulary,) may come next without the condition; `allowed` is some of them."""


def generate(
    run: Run | str | Path,
    prompts: Sequence[ArrayLike] = ((),),
    *,
    n: int = 1,
    max_new: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    modality: str | None = None,
    seed: int = 0,
    batch_size: int = 32,
    reserved: Sequence[int] = (),
    grammar: Grammar | None = None,
    condition: Condition | None = None,
    weigh: Callable[[int, float], None] = lambda record, nats: None,
    advance: Callable[[int, int], None] = lambda records, ids: None,
) -> list[Ids]:
    """Return `n` records for each prompt, in order, as ids (length,) uint32 that start with it, without `<eos>`.

    A record starts after `<eos>`, as in training. It ends before the next `<eos>` or after `max_new` ids; by default,
    and at most, the run's context is filled. A run with modality tokens writes records of `modality`, by default of the
    only one that it knows.

    Temperature 0 takes the likeliest id each time, and the continuation of a prompt depends on no other prompt. Above 0
    ids are drawn: `top_k` keeps the k likeliest, `top_p` the likeliest of this total probability, `min_p` those with at
    least this share of the likeliest one's probability. The same arguments give the same ids on one machine; another
    `batch_size` draws other ids.

    With a `condition` in place of a grammar, `weigh` is called with the number of each record and the logarithm of how
    likely the run, under its free grammar, finds what the condition left open at each id: the weight that the record
    has among draws of records that fulfil the condition.

    `reserved` are special ids, from 8 on, that prompts and records may hold, such as labels that were trained as ids.
    `advance` is called with the numbers of records and new ids of each batch, and with zeros once the model is loaded.

    Raises `InvalidConfig`, `CorruptSymbols` or `TrainingError`.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    if opened.task != "lm":
        raise TrainingError(
            f"run {opened.path} was trained for {opened.task}; it writes nothing by itself",
            hint="ult translate" if opened.task == "seq2seq" else "ult train --task lm",
        )
    starts = [given_ids(ids, opened.vocabulary.size, "prompt", reserved) for ids in prompts]
    head = np.array(opened.head(modality), np.int64)
    for start in starts:
        _check_room(opened.context - len(head) - len(start), max_new, len(start))
    _check(n=n >= 1, batch_size=batch_size >= 1, top_k=top_k is None or top_k >= 1)
    _check(temperature=temperature >= 0, repetition_penalty=repetition_penalty > 0)
    _check(top_p=top_p is None or 0 < top_p <= 1, min_p=min_p is None or 0 <= min_p <= 1)
    _check(reserved=all(FREE <= special < N_SPECIAL and special not in head for special in reserved))
    never = [special for special in range(N_SPECIAL) if special not in (EOS, *reserved)]
    options: dict[str, Any] = {"never": never, "do_sample": temperature > 0}
    if temperature > 0:  # of top_k, None would mean transformers' own default, 50
        options |= {"temperature": temperature, "top_k": top_k or 0, "top_p": top_p or 1.0, "min_p": min_p}
    # The option of transformers would penalise <eos>, which stands before each record, so that no record would end.
    penalty = RepetitionPenaltyLogitsProcessor(float(repetition_penalty), prompt_ignore_length=len(head))
    penalties = [penalty] if repetition_penalty != 1 else []
    model = load_predictor(opened)
    advance(0, 0)
    records: list[Ids] = [np.empty(0, np.uint32)] * (n * len(starts))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for batch in _batches([len(start) for start in starts], n, batch_size):
            stack = np.stack([starts[k // n] for k in batch])
            room = opened.context - len(head) - stack.shape[1] if max_new is None else max_new
            masks = [_Mask(held, stack, len(head), room, temperature)] if (held := condition or grammar) else []
            processors = [*penalties, *masks]
            starting = np.hstack([np.tile(head, (len(stack), 1)), stack])
            for k, record in zip(batch, _write(model, starting, len(head), room, processors, options), strict=True):
                records[k] = record
            for mask in masks if condition else []:
                for k, nats in zip(batch, mask.nats.tolist(), strict=True):
                    weigh(k, nats)
            advance(len(batch), sum(len(records[k]) for k in batch) - stack.size)
    return records


def _batches(lengths: Sequence[int], n: int, batch_size: int) -> list[list[int]]:
    """Return the numbers of the records of each batch. Prompts of a batch have one length, so nothing is padded."""
    order = sorted(range(n * len(lengths)), key=lambda k: lengths[k // n])
    groups = [list(group) for _, group in itertools.groupby(order, key=lambda k: lengths[k // n])]
    return [group[at : at + batch_size] for group in groups for at in range(0, len(group), batch_size)]


def _write(
    model: Any, starts: NDArray[Any], head: int, room: int, processors: list[Any], options: dict[str, Any]
) -> list[Ids]:
    """Return a record for each row of `starts` (b, n), whose first `head` ids are not part of the record."""
    given = torch.from_numpy(starts).to(model.device)
    asked = {"input_ids": given, "attention_mask": torch.ones_like(given)}
    written = write(model, asked, processors=processors, max_new_tokens=room, **options)
    return [record_of(row) for row in written[:, head:].cpu().numpy()]


class _Mask(LogitsProcessor):
    """Sets the scores of ids that the grammar forbids to -inf, before any id is drawn.

    `nats` (b,) are the logarithms of what a condition leaves open of the probability of each record.
    """

    def __init__(
        self, grammar: Grammar | Condition, prompts: NDArray[Any], head: int, room: int, temperature: float
    ) -> None:
        self.grammar, self.room, self.start = grammar, room, head + prompts.shape[1]
        self.states = [grammar.start(prompt) for prompt in prompts]
        self.free = getattr(grammar, "free", None)
        self.temperature, self.nats = temperature or 1.0, np.zeros(len(prompts))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores (b, vocabulary) of what follows `input_ids` (b, n)."""
        length = input_ids.shape[1]
        last = input_ids[:, -1].tolist() if length > self.start else []
        for row, written in enumerate(last):  # a record that has ended is in no state, and nobody reads its scores
            ended = written == EOS or self.states[row] is None
            self.states[row] = None if ended else self.grammar.advance(self.states[row], written)
        room = self.start + self.room - length
        allowed = np.ones(scores.shape, np.bool_)
        for row, state in enumerate(self.states):
            if state is not None:
                allowed[row] = self.grammar.allowed(state, room)
                if self.free is not None:
                    self.nats[row] += self._left_open(scores[row], allowed[row], self.free(state, room))
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -torch.inf)

    def _left_open(self, scores: torch.Tensor, allowed: NDArray[np.bool_], free: NDArray[np.bool_]) -> float:
        """Return the logarithm of the share of `allowed` ids in the probability of all `free` ones."""
        if np.array_equal(allowed, free):
            return 0.0
        told = (scores / self.temperature).double().cpu().numpy()
        return float(np.logaddexp.reduce(told[allowed]) - np.logaddexp.reduce(told[free | allowed]))


def read_prompts(run: Run | str | Path, shards: Shards | str | Path, *, first: int) -> list[Ids]:
    """Return the first ids of each record of shards of a run's table, as prompts for `generate`.

    Raises `InvalidConfig`, `WrongVocabulary`, or `WrongTable` for shards whose ids mean something else to the run.
    """
    if first < 1:
        raise InvalidConfig(f"the first {first} ids of each record were asked for; expected at least 1")
    opened = run if isinstance(run, Run) else Run.open(run)
    (found,) = open_shards([shards], opened.vocabulary)
    opened.check_shards(found)
    return [ids[:first] for ids in found.ids()]


def write_generated(
    run: Run | str | Path, records: Sequence[NDArray[np.uint32]], out: str | Path, *, force: bool = False
) -> None:
    """Write generated records as a shards folder that the owner of the run's table can decode.

    Raises `TrainingError` if the run was trained on several tables: no one table decodes its ids.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    sources = {(s["table"], s["codec"], s["column"]) for s in opened.metrics["shards"]}
    if len(opened.tables) != 1:
        raise TrainingError(
            f"run {opened.path} was trained on {len(opened.tables)} tables; expected one to decode with"
        )
    table, codec, column = min(sources)
    of = {"table": table, "codec": codec, "column": column, "written_by": Run.open(opened.path).digest()}
    with ShardWriter(out, vocabulary=opened.vocabulary, **of, force=force) as writer:
        writer.write(records, nbytes=0)


def _check_room(room: int, max_new: int | None, prompt: int) -> None:
    asked = room if max_new is None else max_new
    if not 1 <= asked <= room:
        raise InvalidConfig(
            f"{asked} ids to write after a prompt of {prompt}; the run's context leaves room for {max(room, 0)}",
            hint="fewer ids, or a run trained with a longer --context",
        )


def _check(**right: bool) -> None:
    wrong = [name for name, is_right in right.items() if not is_right]
    if wrong:
        raise InvalidConfig(
            f"{', '.join(wrong)} out of range; expected n, batch_size, top_k from 1, top_p and min_p up to 1, a "
            f"temperature from 0, a repetition penalty above 0, reserved ids from {FREE} to {N_SPECIAL - 1}"
        )
