"""The model `ngrams`: what counts of n-grams, and of the record so far, predict of the next id.

It is counted in a second, and is the line that every other language model should be beside; with one, mixed by
`ult mix`, it is better than either. Two parts, one after the other:

- Interpolated Kneser-Ney (1995) with one discount an order. An n-gram is a leaf of a tree: its place among those of its
  length, sorted, is the node under which longer ones stand. What stands before a record's first id are `<eos>`, so that
  no n-gram reaches from one record into the next.
- What followed the same last 0, 1 and 2 ids earlier in the record, each with a share of the probability where they
  stood there before.

Bits a byte of medical abstracts, 300 kB, 2,048 ids, blocks of 128, shares by validation: counts alone 1.929 (with three
discounts an order, of Chen and Goodman 1999, 1.933), with the last 0 ids 1.900, with 0 to 2 1.807, with 3 too 1.806; a
tuned transformer `tiny` 1.96.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ult.errors import FormatError
from ult.host.extras import require
from ult.public.run import NGRAMS_TYPE
from ult.public.vocabulary import EOS, N_SPECIAL, Vocabulary

with require("torch", "transformers", extra="train"):
    import torch
    import transformers
    from transformers.modeling_outputs import CausalLMOutputWithPast

NGRAMS = "ngrams"
MOST = 8  # ids of an n-gram
RECENT = 3  # numbers of last ids, from 0 on, that are looked for in the record so far


class Level(NamedTuple):
    """The n-grams of one length, sorted, and what follows each context, an n-gram that is one id shorter."""

    keys: torch.Tensor  # (grams,) int64, increasing: context x vocabulary + last id
    counts: torch.Tensor  # (grams,) float32
    starts: torch.Tensor  # (contexts + 1,) int64: those of context c are `keys[starts[c] : starts[c + 1]]`
    totals: torch.Tensor  # (contexts,) float32: the sum of their counts
    kinds: torch.Tensor  # (contexts,) float32: how many of them were counted at all


class NgramsConfig(transformers.PretrainedConfig):
    """What `config.json` says of n-grams: how many there are of each length from 2 on, which gives the order too."""

    model_type = NGRAMS_TYPE

    def __init__(self, vocab_size: int = N_SPECIAL, grams: Sequence[int] = (), **others: Any) -> None:
        if len(grams) >= MOST:
            raise FormatError(f"n-grams of {len(grams) + 1} ids were asked for; expected at most {MOST}")
        self.vocab_size, self.grams = vocab_size, list(grams)
        self.num_hidden_layers = 0  # for transformers, which asks when it writes
        super().__init__(**others)


class Ngrams(transformers.PreTrainedModel, transformers.GenerationMixin):
    """Counts of n-grams up to the length `order`; the row (1,) of an id is how likely it is whatever stands before."""

    config_class = NgramsConfig
    config: Any
    main_input_name = "input_ids"
    keys: torch.Tensor  # (grams,) int64: those of `Level`, one length after the other
    counts: torch.Tensor  # (grams,) int32
    discounts: torch.Tensor  # (order - 1,) float32, from length 2 on
    shares: torch.Tensor  # (RECENT,) float32: how much what followed the last 0, 1, .. ids in the record counts

    def __init__(self, config: NgramsConfig) -> None:
        super().__init__(config)
        self.asked: int | None = None  # the order to count, if it is not to be chosen
        self.rows = torch.nn.Embedding(config.vocab_size, 1)
        many = sum(config.grams)
        none = torch.zeros(many, dtype=torch.int64), torch.zeros(many, dtype=torch.int32)
        self._set(*none, torch.zeros(len(config.grams)))
        self.register_buffer("shares", torch.zeros(RECENT))
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, vocabulary: Vocabulary, order: int | None = None) -> Ngrams:
        """Return n-grams of which none is counted; `order` is the length to count up to, None if it is to be chosen."""
        model = cls(NgramsConfig(vocabulary.size))
        model.asked = order
        return model

    def _init_weights(self, module: Any) -> None:
        if isinstance(module, torch.nn.Embedding):
            torch.nn.init.constant_(module.weight, 1 / max(1, self.config.vocab_size))

    def _set(self, keys: torch.Tensor, counts: torch.Tensor, discounts: torch.Tensor) -> None:
        self.register_buffer("keys", keys)
        self.register_buffer("counts", counts)
        self.register_buffer("discounts", discounts)
        self._levels: list[Level] = []

    def put(self, rows: Any, levels: Sequence[tuple[Any, Any]], discounts: Sequence[float]) -> None:
        """Let the model be of these counts.

        `rows` (ids,) float64 are how likely each id is whatever stands before, `levels` the keys (grams,) int64 and
        counts (grams,) of each length from 2 on.
        """
        self.config.grams = [len(keys) for keys, _ in levels]
        keys, counts = (torch.cat([torch.as_tensor(one[k]) for one in levels]) for k in range(2))
        self._set(keys, counts.to(torch.int32), torch.tensor(discounts, dtype=torch.float32))
        with torch.no_grad():
            self.rows.weight.copy_(torch.as_tensor(rows)[:, None])

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.config.grams) + 1

    @property
    def levels(self) -> list[Level]:
        """The n-grams of each length from 2 on."""
        if not self._levels or self._levels[0].keys.device != self.keys.device:
            self._levels = list(self._opened())
        return self._levels

    def _opened(self) -> Iterator[Level]:
        size, contexts = self.config.vocab_size, self.config.vocab_size
        for keys, counts in zip(*(one.split(self.config.grams) for one in (self.keys, self.counts)), strict=True):
            starts = torch.searchsorted(keys, torch.arange(contexts + 1, device=keys.device) * size)
            sums = (torch.nn.functional.pad(one.cumsum(0), (1, 0)) for one in (counts.long(), (counts > 0).long()))
            totals, kinds = ((one[starts[1:]] - one[starts[:-1]]).float() for one in sums)
            yield Level(keys.contiguous(), counts.float(), starts, totals, kinds)
            contexts = len(keys)

    def num_parameters(self, *_: Any, **__: Any) -> int:
        """Return how many n-grams there are, single ids included."""
        return int(self.config.vocab_size) + len(self.keys)

    def get_input_embeddings(self) -> Any:
        """Return the rows of the ids."""
        return self.rows

    def get_output_embeddings(self) -> None:
        """Return None: no layer makes the logits."""

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Return the logarithms of the probabilities (b, n, ids) of what follows each id of `input_ids` (b, n).

        With `logits_to_keep` only of what follows so many of the last ids.

        Where a position is 0 nothing is known of what stands before. Padding, which follows a record, needs no mask.
        """
        read = Read.after(past_key_values if isinstance(past_key_values, Read) else None, input_ids, position_ids)
        new = logits_to_keep or input_ids.shape[1]
        chance = self._chances(read, new)
        for k, seen in enumerate(zip(read.ids, read.records, strict=True)):  # a row at a time: n x n places of each
            for share, told in zip(self.shares, _recent(*seen, new), strict=True):
                total = told.sum(1, keepdim=True)
                chance[k] *= torch.where(total > 0, 1 - share, 1)
                chance[k].scatter_add_(1, seen[0].expand(new, -1), told * (share / total.clamp(min=1)))
        return CausalLMOutputWithPast(logits=chance.log(), past_key_values=read if use_cache else None)  # type: ignore[arg-type]

    def _chances(self, read: Read, new: int) -> torch.Tensor:
        """Return how likely each id is after each of the last `new` ids (b, new, ids), by counts of n-grams."""
        size = self.config.vocab_size
        chance = self.rows.weight[:, 0].repeat(len(read.ids) * new, 1)
        for level, discount, context in zip(self.levels, self.discounts, self._contexts(read), strict=True):
            place, at, total, kept = _weights(level, discount, context[:, -new:].flatten())
            chance *= kept[:, None]
            first = level.starts[at]
            many = level.starts[at + 1] - first
            shift = (first - many.cumsum(0) + many).repeat_interleave(many)
            each = torch.arange(int(many.sum()), device=shift.device) + shift
            told = (level.counts[each] - discount).clamp(min=0) / total.repeat_interleave(many)
            chance.view(-1).index_add_(0, place.repeat_interleave(many) * size + level.keys[each] % size, told)
        return chance.view(len(read.ids), new, size)

    @torch.no_grad()
    def counted(self, read: Read, labels: torch.Tensor) -> torch.Tensor:
        """Return how likely labels (b, n), ids, are after those that were read, by counts of n-grams alone."""
        size, labels = self.config.vocab_size, labels.flatten()
        chance = self.rows.weight[labels, 0]
        for level, discount, context in zip(self.levels, self.discounts, self._contexts(read), strict=True):
            place, at, total, kept = _weights(level, discount, context.flatten())
            node = _find(level.keys, at * size + labels[place])
            count = torch.where(node < 0, 0, level.counts[node.clamp(min=0)])
            chance *= kept
            chance[place] += (count - discount).clamp(min=0) / total
        return chance.view(read.ids.shape)

    def _contexts(self, read: Read) -> Iterator[torch.Tensor]:
        """Yield the node (b, n) of the last 1, 2, .. ids up to each; -1 if they were never read or are not known."""
        ids, ended, size = read.ids, read.ids == EOS, self.config.vocab_size
        node, end = ids, torch.tensor(EOS, device=ids.device)
        for level in self.levels:
            yield node
            before = torch.nn.functional.pad(node[:, :-1], (1, 0), value=-1).masked_fill(read.begins, -1)
            end = _find(level.keys, end * size + EOS)
            node = torch.where(ended, end, _find(level.keys, before * size + ids))

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Any, past_key_values: Any = None, attention_mask: Any = None, **_: Any
    ) -> dict[str, Any]:
        """Return what `forward` takes at the next id: the ids that it has not read, and those that it has."""
        known = past_key_values if isinstance(past_key_values, Read) else None
        return {"input_ids": input_ids[:, known.get_seq_length() if known else 0 :], "past_key_values": known,
                "use_cache": True}  # fmt: skip


class Read:
    """The ids (b, n) that n-grams have read, and where records begin: what they remember."""

    is_compileable = False

    def __init__(self, ids: torch.Tensor, begins: torch.Tensor) -> None:
        self.ids, self.begins = ids, begins

    @classmethod
    def after(cls, before: Read | None, ids: torch.Tensor, positions: torch.Tensor | None = None) -> Read:
        """Return what is read once `ids` (b, n) are; at position 0 nothing is known of what stands before."""
        begins = torch.zeros_like(ids, dtype=torch.bool) if positions is None else (positions == 0).expand_as(ids)
        if before is None:
            return cls(ids, begins)
        return cls(torch.cat([before.ids, ids], 1), torch.cat([before.begins, begins], 1))

    @property
    def records(self) -> torch.Tensor:
        """The number (b, n) of the record that each id is of; an `<eos>` is of the record after it."""
        return (self.begins | (self.ids == EOS)).cumsum(1)

    def get_seq_length(self) -> int:
        """Return how many ids were read."""
        return self.ids.shape[1]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Remember each row so many times, one after the other."""
        self.ids, self.begins = (one.repeat_interleave(repeats, 0) for one in (self.ids, self.begins))


def recent(read: Read, labels: torch.Tensor) -> torch.Tensor:
    """Return how often the last 0, 1, .. ids up to each were followed by the label, and by anything: (RECENT, 2, b, n).

    What is counted stands earlier in the same record; labels (b, n) are ids.
    """
    found = [
        torch.stack([torch.stack([(told & (ids == label[:, None])).sum(1), told.sum(1)])
                     for told in _recent(ids, records, len(ids))])
        for ids, records, label in zip(read.ids, read.records, labels, strict=True)
    ]  # fmt: skip
    return torch.stack(found, 2)


def _recent(ids: torch.Tensor, records: torch.Tensor, new: int) -> Iterator[torch.Tensor]:
    """Yield, for the last 0, 1, .. ids up to each of the last `new` ones, after which places they stood before.

    A place is that of the id that followed: (new, n) bool, of ids (n,) of `records` (n,).
    """
    rows = slice(-min(len(ids), new + RECENT - 1), None)  # and those before that a match goes back to
    own, place = ids != EOS, torch.arange(len(ids), device=ids.device)
    inside = (records[rows, None] == records) & own & own[rows, None]  # (rows, n)
    found = inside & (place <= place[rows, None])
    yield found[-new:]
    same = inside & (ids[rows, None] == ids)
    for _ in range(1, RECENT):
        before = torch.nn.functional.pad(same[:, :-1], (1, 0))
        found = found & before
        yield found[-new:]
        same = torch.nn.functional.pad(same[:-1, :-1], (1, 0, 1, 0))


def _weights(
    level: Level, discount: torch.Tensor, context: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return, of contexts (m,), those that something followed: their places, nodes and totals, each (k,).

    And (m,) the share of all probability that the shorter context decides, 1 where the longer was never read.
    """
    place = torch.nonzero((context >= 0) & (level.totals[context.clamp(min=0)] > 0))[:, 0]
    at = context[place]
    total = level.totals[at]
    kept = torch.ones(len(context), device=context.device)
    kept[place] = discount * level.kinds[at] / total
    return place, at, total, kept


def _find(keys: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Return the place of each asked key; -1 if it is not there."""
    if not len(keys):
        return torch.full_like(asked, -1)
    place = torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == asked, place, -1)


transformers.AutoConfig.register(NgramsConfig.model_type, NgramsConfig)
transformers.AutoModelForCausalLM.register(NgramsConfig, Ngrams)
