"""The public vocabulary: the number of ids, which of them are special, and the printable symbol of each.

All tables of one model share its vocabulary. It holds no secret, so a trainer may have it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import CorruptSymbols, FormatError, InvalidConfig, MissingSource
from ult.host import arguments
from ult.host.extras import require
from ult.host.formats import check_format as check_format
from ult.host.regular import read_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FORMAT = "ult-vocabulary/1"
PAD, BOS, EOS, UNK = range(4)
N_SPECIAL = 32
FREE = 8  # special ids from here on are free for experiments, such as labels that are trained as ids
# Special ids for the start of a record. That of records came when the next ids were free already, so it is the last,
# and names a modality only in what is trained with modality tokens and with such shards.
MODALITIES = {"text": 4, "image": 5, "series": 6, "molecule": 7, "record": N_SPECIAL - 1}
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", *(f"<reserved_{i}>" for i in range(4, N_SPECIAL)))

# One letter per id. All of them have been assigned since Unicode 14, are of category Lo and written left to right, and
# do not change under NFC and NFKC, so that no editor, log or tokenizer alters them: CJK ideographs, Hangul syllables,
# then the ideographs of CJK extensions A to G. There are too few such letters for 128 k ids, so beyond 104,057 ids the
# letters are private-use ones of planes 15 and 16, which are as stable but are drawn as boxes.
LETTERS = (
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B738),
    (0x2B740, 0x2B81D),
    (0x2B820, 0x2CEA1),
    (0x2CEB0, 0x2EBE0),
    (0x30000, 0x3134A),
    (0xF0000, 0xFFFFD),
    (0x100000, 0x10FFFD),
)
_CODES = np.concatenate([np.arange(low, high + 1, dtype=np.uint32) for low, high in LETTERS])
MAX_SIZE = N_SPECIAL + len(_CODES)


class Vocabulary:
    """The ids `range(size)`, special tokens first. It cannot be changed, and may be published.

    >>> vocabulary = Vocabulary(size=512)
    >>> vocabulary.to_text([32, 33, 2])
    '一丁<eos>'
    >>> vocabulary.from_text("一丁<eos>")
    array([32, 33,  2], dtype=uint32)
    """

    pad_id, bos_id, eos_id, unk_id = PAD, BOS, EOS, UNK

    def __init__(self, size: int = 8192) -> None:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or not N_SPECIAL < size <= MAX_SIZE:
            raise InvalidConfig(f"vocabulary size is {size!r}; expected an integer from {N_SPECIAL + 1} to {MAX_SIZE}")
        self._size = int(size)

    @property
    def size(self) -> int:
        """The number of ids, special tokens included."""
        return self._size

    def __repr__(self) -> str:
        return f"Vocabulary(size={self.size})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and other.size == self.size

    def __hash__(self) -> int:
        return hash(self.size)

    def to_text(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Return a text with one letter per id; special tokens are written by name, as in `<eos>`.

        Raises `CorruptSymbols` for an id outside `range(size)`.
        """
        array = np.asarray(ids)
        if array.size == 0:
            return ""
        if array.ndim != 1 or array.dtype.kind not in "ui":
            raise CorruptSymbols(f"ids are {array.dtype} {array.shape}; expected integers (n,)")
        if int(array.min()) < 0 or int(array.max()) >= self.size:
            raise CorruptSymbols(f"an id is outside range({self.size})")
        special = array < N_SPECIAL
        codes = _CODES[np.where(special, 0, array.astype(np.int64) - N_SPECIAL)]
        text = codes.astype("<u4").tobytes().decode("utf-32-le")
        if not special.any():
            return text
        return "".join(SPECIAL[i] if i < N_SPECIAL else c for i, c in zip(array.tolist(), text, strict=True))

    @arguments.checked(text=arguments.text())
    def from_text(self, text: str) -> NDArray[np.uint32]:
        """Return the ids of a text that `to_text` wrote, (n,) uint32; it is the exact inverse.

        Raises `CorruptSymbols` at any other character.
        """
        ids: list[int] = []
        at = 0
        while at < len(text):
            if text[at] == "<":
                name = text[at : text.find(">", at) + 1]
                if name not in _SPECIAL_ID:
                    raise CorruptSymbols(f"no special token of this vocabulary at character {at}")
                ids.append(_SPECIAL_ID[name])
                at += len(name)
                continue
            end = text.find("<", at)
            end = len(text) if end < 0 else end
            ids.extend(self._letters_to_ids(text[at:end], at))
            at = end
        return np.array(ids, np.uint32)

    def _letters_to_ids(self, letters: str, at: int) -> list[int]:
        codes = np.frombuffer(letters.encode("utf-32-le", "surrogatepass"), "<u4")
        place = np.minimum(np.searchsorted(_SORTED, codes), len(_SORTED) - 1)
        ids = _SORTED_ID[place]
        wrong = (_SORTED[place] != codes) | (ids >= self.size)
        if wrong.any():
            where = at + int(wrong.argmax())
            raise CorruptSymbols(f"character {where} is not a symbol of a vocabulary of {self.size}")
        return ids.tolist()  # type: ignore[no-any-return]

    def symbols(self) -> list[str]:
        """Return the printable form of every id, in the order of the ids."""
        return [*SPECIAL, *map(chr, _CODES[: self.size - N_SPECIAL].tolist())]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return a Hugging Face tokenizer over the printable symbols. It holds no phrase of any table.

        `save_pretrained` and `AutoTokenizer.from_pretrained` read what it writes. Raises `MissingExtra` without
        transformers.
        """
        with require("transformers", extra="train"):
            from tokenizers import AddedToken, Tokenizer, decoders, models
            from transformers import PreTrainedTokenizerFast
        ids = {symbol: i for i, symbol in enumerate(self.symbols())}
        # Byte-pair encoding without merges reads one letter per token, and is faster than any pre-tokenizer.
        tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token="<unk>"))  # noqa: S106
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="<pad>",  # noqa: S106
            bos_token="<bos>",  # noqa: S106
            eos_token="<eos>",  # noqa: S106
            unk_token="<unk>",  # noqa: S106
            clean_up_tokenization_spaces=False,
        )

    def tokenizer_files(self) -> dict[str, str]:
        """Return the files that `tokenizer().save_pretrained` writes, texts by name, without loading a library."""
        added = [
            {"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
            | {"special": True}
            for i, name in enumerate(SPECIAL)
        ]
        unused = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor"))
        model: dict[str, Any] = {
            "type": "BPE",
            **dict.fromkeys(("dropout", "continuing_subword_prefix", "end_of_word_suffix")),
            "unk_token": "<unk>",
            **dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False),
            "vocab": {symbol: i for i, symbol in enumerate(self.symbols())},
            "merges": [],
        }
        tokenizer = {"version": "1.0", **unused, "added_tokens": added, "decoder": {"type": "Fuse"}, "model": model}
        config: dict[str, Any] = {f"{name}_token": f"<{name}>" for name in ("pad", "bos", "eos", "unk")}
        config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        return {
            "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n",
            "tokenizer_config.json": json.dumps(config, indent=1) + "\n",
        }

    @arguments.checked(path=arguments.path)
    def save(self, path: str | Path) -> None:
        """Write the vocabulary to `path` as JSON, a public file."""
        Path(path).write_text(json.dumps({"format": FORMAT, "size": self.size}) + "\n", encoding="utf-8")

    @classmethod
    @arguments.checked(path=arguments.path)
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a vocabulary that `save` wrote. Raises `MissingSource`, `FormatError` or `NewerFormat`."""
        try:
            document = json.loads(read_text(path, 2**16))
        except FileNotFoundError as error:
            raise MissingSource(f"{path} is not there; expected a vocabulary") from error
        except FormatError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{path} is not a vocabulary") from error
        check_format(document, FORMAT, path)
        if set(document) != {"format", "size"}:
            raise FormatError(f"{path} has fields {sorted(document)}; expected format and size")
        try:
            return cls(document["size"])
        except InvalidConfig as error:
            raise FormatError(f"{path}: {error.what}") from error


def modality_id(codec: str) -> int:
    """Return the special id of the modality with which the name of a codec begins.

    >>> modality_id("image/dct")
    5
    """
    name = codec.partition("/")[0]
    if name not in MODALITIES:
        raise InvalidConfig(f"codec {codec!r} is of no modality that has a token; expected {', '.join(MODALITIES)}")
    return MODALITIES[name]


_SPECIAL_ID = {name: i for i, name in enumerate(SPECIAL)}
_ORDER = np.argsort(_CODES)
_SORTED = _CODES[_ORDER]
_SORTED_ID = (_ORDER + N_SPECIAL).astype(np.int64)
