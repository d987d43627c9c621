"""The peers of `text/bytes`: tokenizers with our merges and our cut, or, where one takes neither, of their own.

tokenizers, tiktoken and splintr-rs take our merges and a regular expression of our cut. tokie takes them too, but its
regular expressions give other ids on some lines. gigatoken knows the cuts of published tokenizers alone: it gets
GPT-2's, with merges that tokenizers learnt on the same text, as many as ours.
"""

from __future__ import annotations

import base64
import re
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import ult
from ult.public.vocabulary import N_SPECIAL

LONG = re.compile(rb"\S{61}|\s{61}")
# The cut of `text/bytes`, as a regular expression.
_SYMBOLS = r"\x{80}-\x{BF}\x{2000}-\x{2BFF}\x{3000}-\x{303F}\x{1F000}-\x{1FFFF}"
_LETTER = rf"[^\x{{00}}-@\[-`\{{-\x{{7F}}{_SYMBOLS}]"
_OTHER = rf"[^ \t\n\v\f\r0-9A-Za-z\x{{80}}-\x{{10FFFF}}]|[{_SYMBOLS}]"
_WHITE = r"[ \t\n\v\f\r]"
CUT = rf" ?'?{_LETTER}+| ?[0-9]{{1,4}}| ?(?:{_OTHER})+|{_WHITE}+(?= [^ \t\n\v\f\r])|{_WHITE}+"


def text(megabytes: int) -> list[str]:
    """Return lines of the installed packages' Python sources."""
    lines: list[str] = []
    size = 0
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
        found = path.read_text(encoding="utf-8", errors="ignore").split("\n")
        kept = [line for line in found if not LONG.search(line.encode())]
        lines += kept
        size += sum(map(len, kept))
        if size > megabytes * 1e6:
            break
    return lines


def peers(table: ult.Table) -> tuple[Tokenizer, Any, np.ndarray]:
    """Return tokenizers and tiktoken with the merges of `table`, and our id of each of theirs."""
    import tiktoken

    spelled, unit_of, pairs = units(table)
    letter = byte_letters()
    names = ["".join(letter[b] for b in spelling) for spelling in spelled]
    merges = [(names[left], names[right]) for left, right in pairs]
    hugging = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=merges))
    hugging.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CUT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    hugging.decoder = decoders.ByteLevel()
    ranks: dict[bytes, int] = {}
    for i, spelling in enumerate(spelled):
        ranks.setdefault(spelling, i)
    tik = tiktoken.Encoding("ult", pat_str=CUT, mergeable_ranks=ranks, special_tokens={})
    ours = np.empty(len(spelled), np.uint32)
    ours[unit_of] = np.arange(N_SPECIAL, N_SPECIAL + len(unit_of))
    return hugging, tik, ours


def splintr_of(table: ult.Table) -> Any:
    """Return splintr's tokenizer with the merges of `table` and our cut."""
    import splintr

    ranks: dict[bytes, int] = {}
    for i, spelling in enumerate(units(table)[0]):
        ranks.setdefault(spelling, i)
    lines = (base64.b64encode(spelling) + b" %d\n" % rank for spelling, rank in ranks.items())
    return splintr.Tokenizer.from_bytes(b"".join(lines), CUT)


def tokie_of(tokenizer: Tokenizer, path: Path) -> Any:
    """Return tokie's tokenizer that does what `tokenizer` does; it is written to `path`."""
    import tokie

    tokenizer.save(str(path))
    return tokie.Tokenizer.from_json(str(path))


def gigatoken_of(tokenizer: Tokenizer) -> Any:
    """Return gigatoken's tokenizer that does what `tokenizer`, of GPT-2's form, does; it remembers no word yet."""
    import gigatoken

    return gigatoken.Tokenizer.from_json(tokenizer.to_str())


def units(table: ult.Table) -> tuple[list[bytes], np.ndarray, list[tuple[int, int]]]:
    """Return what each unit spells, the unit of each rank, and the merges; names are unique, as the peers need."""
    merges, ranks = table._merges.tolist(), table._ranks
    spelled = [bytes([b]) for b in range(256)]
    for left, right in merges:
        spelled.append(spelled[left] + spelled[right])
    return spelled, ranks, [tuple(pair) for pair in merges]


def byte_letters() -> list[str]:
    """Return GPT-2's letter for each byte, which the ByteLevel pre-tokenizer writes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, n = {}, 0
    for byte in range(256):
        if byte in plain:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + n)
            n += 1
    return [letters[b] for b in range(256)]


def fitted(lines: list[str], entries: int) -> Tokenizer:
    """Return a tokenizer of GPT-2's form with `entries` entries, learnt on lines."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=entries, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer
