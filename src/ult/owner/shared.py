"""Phrases that a table shares with the public: the merges of a public tokenizer, or a public table that it extends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs import codec_class
from ult.codecs.base import Codec
from ult.errors import InvalidConfig
from ult.owner.bpe.extended import Base
from ult.owner.bpe.public_merges import read_merges
from ult.owner.fields import CODEC
from ult.owner.inputs import Secret, secret
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL


@dataclass(frozen=True, slots=True)
class Phrases:
    """What is taken over: `merges` of a tokenizer, or `base` and `codec` of a table. `of` names the file."""

    of: str = ""
    merges: NDArray[np.int32] | None = None
    base: Base | None = None
    codec: Codec[Any] | None = None

    def told(self, table: Table) -> list[str]:
        """Return a sentence on the price, for a table that was fitted with them."""
        if self.base is not None:
            counts = table.counts
            read = float(counts[: self.base.ids].sum() / max(1, counts.sum()))
            own = table.size - N_SPECIAL - self.base.ids
            return [
                f"whoever has {self.of} reads {read:.0%} of the ids of these records, those of its phrases; the "
                f"{own:,} phrases that are added are yours. ult audit code measures it"
            ]
        return [f"the phrases are those of {self.of}; only which id each has is secret"] * (self.merges is not None)


def shared_phrases(
    merges: str | Path | None,
    base: Secret | None,
    codec: str,
    options: Mapping[str, float] | None,
    min_records: int | None,
    *,
    secret_ids: bool,
) -> Phrases:
    """Read what a table is to share with the public. Raises `InvalidConfig` for what does not go with it."""
    kind = codec_class(codec)
    if merges is not None and base is not None:
        raise InvalidConfig("both merges and base say which phrases are public; expected one of them")
    if base is not None:
        return _of_base(base, codec, options, secret_ids=secret_ids)
    if merges is None:
        return Phrases()
    if kind.id != "text/bytes":
        raise InvalidConfig(f"a public tokenizer's merges are of text; the codec is {codec}", hint="--codec text/bytes")
    if min_records is not None:
        raise InvalidConfig(
            "min_records says which phrases of the records may enter; with merges all phrases are public",
            hint="leave out --min-records",
        )
    return Phrases(str(merges), merges=read_merges(merges, longest=kind.max_patch))


def _of_base(given: Secret, codec: str, options: Mapping[str, float] | None, *, secret_ids: bool) -> Phrases:
    table = secret(given, None, ())
    name = str(given) if isinstance(given, str | Path) else f"table {table.fingerprint}"
    if table.codec.id != codec:
        raise InvalidConfig(
            f"{name} is of {table.codec.id}; the records are of {codec}", hint=f"--codec {table.codec.id}"
        )
    if codec == CODEC or codec_class(codec).calibrates:
        raise InvalidConfig(
            f"{codec} fits its own range, columns or fields to the records, which a public table has not",
            hint="no --base",
        )
    if options:
        raise InvalidConfig(f"{name} has the options of its codec already", hint="--base without --option")
    if secret_ids:
        raise InvalidConfig(
            f"the ids of {name} are public in a table that extends it; their order cannot be secret",
            hint="--base or --secret-ids",
        )
    return Phrases(name, base=table.as_base(), codec=table.codec)
