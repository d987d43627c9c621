"""SmolLM2-135M in the rows: its own tokens in the place of ids, and the run in which these tokens have its own rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib.baselines import Ids, Ours, fingerprint
from ult.owner.handover.align_to_model import found_on
from ult.owner.handover.public_model import PublicModel
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary
from ult.trainer.models.smollm2 import WEIGHTS, smollm2_folder


class Tabled(Ours):
    """A table of `ult` that was fitted elsewhere."""

    def __init__(self, path: Path) -> None:
        self.table = Table.load(path)
        self.codec, self.size = self.table.codec.id, self.table.vocabulary.size


class OwnTokens:
    """SmolLM2's own tokens, each `N_SPECIAL` higher."""

    codec = "raw/smollm2"

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer_file()))
        self.size = N_SPECIAL + self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the tokens of each text."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [np.array(one.ids, np.uint32) + N_SPECIAL for one in found]

    def found(self, out: Path) -> dict[str, int]:
        """Write the run of SmolLM2 for these tokens, with its own rows."""
        public = PublicModel.open(WEIGHTS)
        parts = [np.array([token]) for token in range(self.size - N_SPECIAL)]
        shards: dict[str, Any] = {"table": fingerprint(self.codec), "codec": self.codec, "column": "text"}
        return found_on(public, parts, out, vocabulary=Vocabulary(self.size), shards=shards)


def tokenizer_file() -> Path:
    """Return the path of SmolLM2's tokenizer.json."""
    return smollm2_folder() / "tokenizer.json"
