"""A public model with its tokenizer: a Hugging Face folder whose tokens anyone can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import FormatError, InvalidConfig, MissingSource
from ult.host.extras import require
from ult.host.regular import read_text
from ult.owner.bpe.public_merges import MOST, byte_letters
from ult.trainer.models.embeddings import Model, rows_of
from ult.trainer.models.load import load_whole
from ult.trainer.models.smollm2 import WEIGHTS, smollm2_folder

_SPACE = "\u2581"  # which SentencePiece writes for a space


@dataclass(frozen=True)
class PublicModel:
    """A causal model and what spells its tokens, a `tokenizers.Tokenizer`."""

    name: str
    model: Model
    tokenizer: Any

    @classmethod
    def open(cls, path: str | Path) -> PublicModel:
        """Load a folder with config.json, model.safetensors and tokenizer.json, or `smollm2-135m-weights`.

        Raises `MissingSource`, `FormatError`, or `InvalidConfig` if the model has fewer rows than the tokenizer tokens.
        """
        folder = smollm2_folder() if str(path) == WEIGHTS else Path(path)
        file = folder / "tokenizer.json"
        if not (folder / "config.json").is_file() or not file.is_file():
            raise MissingSource(
                f"{path} is no folder of a public model; expected config.json, model.safetensors and tokenizer.json",
                hint="model.save_pretrained(folder) and tokenizer.save_pretrained(folder)",
            )
        with require("tokenizers", extra="train"):
            from tokenizers import Tokenizer
        try:
            tokenizer = Tokenizer.from_str(read_text(file, MOST))
        except FormatError:
            raise
        except Exception as error:  # tokenizers raises nothing more exact
            raise FormatError(f"{file} is no tokenizer that the library tokenizers can read") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        model = load_whole(folder)
        if len(rows_of(model)[0]) < tokenizer.get_vocab_size(with_added_tokens=True):
            raise InvalidConfig(f"{path} has {len(rows_of(model)[0]):,} rows, fewer than its tokenizer has tokens")
        return cls(Path(path).resolve().name if str(path) != WEIGHTS else WEIGHTS, model, tokenizer)

    def tokens(self, phrases: Sequence[bytes]) -> list[NDArray[np.int64]]:
        """Return the tokens (n,) of each phrase, UTF-8 or a part of it; none where the tokenizer cannot say it."""
        texts = [self._text(phrase) for phrase in phrases]
        found = self.tokenizer.encode_batch([text or "" for text in texts], add_special_tokens=False)
        return [
            np.array(one.ids if text is not None else self._of_bytes(phrase), np.int64)
            for phrase, text, one in zip(phrases, texts, found, strict=True)
        ]

    def _text(self, phrase: bytes) -> str | None:
        try:
            text = phrase.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return text.removeprefix(" ") if self._leads and len(text) > 1 else text

    @cached_property
    def _leads(self) -> bool:
        """Whether the tokenizer puts a space before every text, as SentencePiece does."""
        return bool(self.tokenizer.encode("a", add_special_tokens=False).tokens[:1] != ["a"])

    def _of_bytes(self, phrase: bytes) -> list[int]:
        ids = [self._byte(value) for value in phrase]
        return [one for one in ids if one is not None]

    def _byte(self, value: int) -> int | None:
        """Return the token of a single byte, as byte-level BPE or SentencePiece's fallback writes it."""
        for name in (byte_letters()[value], f"<0x{value:02X}>"):
            found: int | None = self.tokenizer.token_to_id(name)
            if found is not None:
                return found
        return None

    def spelled(self) -> dict[bytes, int]:
        """Return the token of each text that is a single token, by its UTF-8 bytes."""
        vocabulary: dict[str, int] = self.tokenizer.get_vocab(with_added_tokens=False)
        byte_of = {letter: value for value, letter in enumerate(byte_letters())}
        found: dict[bytes, int] = {}
        for name, token in sorted(vocabulary.items(), key=lambda item: item[1]):
            if self._leads:
                found.setdefault(name.replace(_SPACE, " ").encode("utf-8", "surrogatepass"), token)
            elif all(letter in byte_of for letter in name):
                found.setdefault(bytes(byte_of[letter] for letter in name), token)
        return found

    def ends(self) -> NDArray[np.int64]:
        """Return the tokens (n,) with which the model's records begin or end; none if it does not say."""
        said = getattr(self.model.config, "eos_token_id", None)
        several = said if isinstance(said, list) else [said]
        rows = len(rows_of(self.model)[0])
        return np.array([one for one in several if type(one) is int and 0 <= one < rows][:1], np.int64)
