"""Ids that keep what a model writes decodable: the grammar of a table's codec, lifted to the table's phrases.

It belongs to the owner, because it holds the table. `ult.trainer.generate` sees it only as a `Grammar` of ids.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.codecs.grammar import REFUSED, Automaton, Grammar
from ult.errors import CorruptSymbols, InvalidConfig
from ult.owner.table import Table
from ult.public.vocabulary import EOS, N_SPECIAL

_LINE_FEED = 10  # the byte, and the symbol that stands for it


class TableGrammar:
    """Allows an id if its phrase continues a record that can still end within the room that is left.

    Every symbol has an id of its own, so a record can end if at most as many symbols are missing as there is room for
    ids; a required field of a record may need fewer. A record that cannot end in any case, such as one after a prompt
    of too large an image, is not held to that. A prompt may hold what no record that is made up does, such as null in a
    required field. For a table of wide numeric records only records of its number of values are allowed. Raises
    `InvalidConfig` if the codec has no grammar.
    """

    def __init__(self, table: Table, given: Grammar[Any] | None = None) -> None:
        """Take the grammar of the table's codec, or a stricter one that is `given`."""
        any_ = table.codec.grammar(len(table.fields))
        grammar = table.codec.usual_grammar(len(table.fields)) if given is None else given
        if grammar is None or any_ is None:
            raise InvalidConfig(f"{table.codec.id} has no grammar: only whole patches tell whether they decode")
        self._any = any_  # of prompts
        self.grammar, self.size, self.vocabulary_size = grammar, table.size, table.vocabulary.size
        self._spellings = table.spellings()
        self._symbols = np.concatenate(self._spellings)
        lengths = [len(spelling) for spelling in self._spellings]
        self._ends, self._longest = np.cumsum(lengths), max(lengths)
        # Of states that are alike: what `after` says, the most that is missing, and what is allowed with room for that.
        self._known: dict[Hashable, tuple[NDArray[np.int64], int, NDArray[np.bool_]]] = {}

    @classmethod
    def of_file(cls, table: Table, out: str | Path | None) -> TableGrammar:
        """Return the grammar of records that the file `out` can hold: a line of .txt has no line feed."""
        usual = table.codec.usual_grammar(len(table.fields))
        lines = out is not None and Path(out).suffix == ".txt"
        return cls(table, usual.without(_LINE_FEED) if lines and isinstance(usual, Automaton) else None)

    def start(self, ids: ArrayLike) -> Any:
        """Return the state after ids (n,); raise `CorruptSymbols` if no record starts so."""
        state: Any = self._any.start()
        for number, written in enumerate(np.asarray(ids).tolist()):
            known = N_SPECIAL <= written < self.size
            state = self._any.advance(state, self._spellings[written - N_SPECIAL]) if known else None
            if state is None:
                raise CorruptSymbols(f"no record goes on with id {number} of the prompt")
        return state

    def advance(self, state: Any, written: int) -> Any:
        """Return the state after an id that is allowed."""
        return self.grammar.advance(state, self._spellings[written - N_SPECIAL])

    def allowed(self, state: Any, room: int) -> NDArray[np.bool_]:
        """Return which ids (vocabulary,) may come next with room for so many; `<eos>` where a record may end.

        The array may be the one of an earlier call: it is to be read.
        """
        least = self.grammar.least(state)
        alike = self.grammar.alike(state, self._longest)
        if alike is None:
            return self._of(self.grammar.after(state, self._symbols, self._ends), least, room)
        if alike not in self._known:
            missing = self.grammar.after(state, self._symbols, self._ends)
            self._known[alike] = missing, int(missing.max()), self._of(missing, least, least - 1)
        missing, most, always = self._known[alike]
        return always if least > room or most < room else self._of(missing, least, room)

    def _of(self, missing: NDArray[np.int64], least: int, room: int) -> NDArray[np.bool_]:
        """Return what `allowed` does where phrases leave so many symbols missing, or are REFUSED."""
        fits = missing < room if least <= room else True
        allowed = np.zeros(self.vocabulary_size, np.bool_)
        allowed[N_SPECIAL : self.size] = (missing != REFUSED) & fits
        allowed[EOS] = least == 0
        return allowed


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote, decoded: `whole` of `asked` records as they are, `cut` others up to where they make sense."""

    asked: int
    whole: int
    records: list[Any]  # `whole` and `cut` ones together, in order
    rows: list[int]  # where each of `records` stood

    @property
    def cut(self) -> int:
        """How many records are but a beginning of what was written."""
        return len(self.records) - self.whole

    @property
    def nothing(self) -> int:
        """Of how many records not even a beginning decodes."""
        return self.asked - len(self.records)


def read_written(many: Sequence[NDArray[np.uint32]], table: Table) -> Written:
    """Decode what `generate` gave, each record or its longest prefix that decodes, and count."""
    records, rows, whole = [], [], 0
    for row, ids in enumerate(many):
        try:
            record, used = table.decode_prefix(ids)
        except CorruptSymbols:
            continue
        records.append(record)
        rows.append(row)
        whole += used == len(ids)
    return Written(len(many), whole, records, rows)
