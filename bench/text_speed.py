"""Speed of `text/bytes` beside tokenizers and tiktoken: one process, one thread, the same merges on all sides.

The peers get our table's merges and a regular expression of our cut, and their ids are checked against ours, line by
line. Lines with a run of over 60 characters without white space are left out: our cut bounds patches, theirs does not.
Text: the Python sources in this environment (real text, always at hand). `--megabytes` sets how much.
"""

import argparse
import os
import statistics
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import tiktoken
from result import metric, write
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import ult
from ult.vocabulary import N_SPECIAL

ROUNDS = 5
# The cut of `text/bytes`, as a regular expression.
_SYMBOLS = r"\x{80}-\x{BF}\x{2000}-\x{2BFF}\x{3000}-\x{303F}\x{1F000}-\x{1FFFF}"
_LETTER = rf"[^\x{{00}}-@\[-`\{{-\x{{7F}}{_SYMBOLS}]"
_OTHER = rf"[^ \t\n\v\f\r0-9A-Za-z\x{{80}}-\x{{10FFFF}}]|[{_SYMBOLS}]"
_WHITE = r"[ \t\n\v\f\r]"
CUT = rf" ?'?{_LETTER}+| ?[0-9]{{1,4}}| ?(?:{_OTHER})+|{_WHITE}+(?= [^ \t\n\v\f\r])|{_WHITE}+"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=50)
    lines = text(parser.parse_args().megabytes)
    whole = "\n".join(lines)
    size = len(whole.encode()) / 1e6
    print(f"{size:.1f} MB, {len(lines):,} lines")
    table = ult.Table.fit(lines, vocabulary=ult.Vocabulary(16384))
    hugging, tik, ours_of = peers(table)
    ids = table.encode_batch(lines)
    check(lines, ids, ours_of, hugging, tik)

    speeds = paired(
        {
            "encode, ult": lambda: table.encode_batch(lines),
            "encode, tokenizers": lambda: hugging.encode_batch_fast(lines),
            "encode, tiktoken, lines": lambda: tik.encode_ordinary_batch(lines, num_threads=1),
            "encode, tiktoken, one string": lambda: tik.encode_ordinary(whole),
            "encode, ult, one string": lambda: table.encode(whole),
        },
        size,
    )
    their_ids = [e.ids for e in hugging.encode_batch_fast(lines)]
    tik_ids = tik.encode_ordinary_batch(lines, num_threads=1)
    tik_whole, one = tik.encode_ordinary(whole), table.encode(whole)
    assert table.decode(one) == tik.decode(tik_whole) == whole
    speeds |= paired(
        {
            "decode, ult": lambda: table.decode_batch(ids),
            "decode, ult, one string": lambda: table.decode(one),
            "decode, tokenizers": lambda: hugging.decode_batch(their_ids),
            "decode, tiktoken, lines": lambda: tik.decode_batch(tik_ids, num_threads=1),
            "decode, tiktoken, one string": lambda: tik.decode(tik_whole),
        },
        size,
    )
    for entries in (16384, 32768):
        fits = {
            f"fit {entries}, ult": lambda n=entries: ult.Table.fit(lines, vocabulary=ult.Vocabulary(n)),
            f"fit {entries}, tokenizers": lambda n=entries: fitted(lines, n),
        }
        speeds |= paired(fits, size, rounds=3)
    report(speeds, len(lines))


def text(megabytes: int) -> list[str]:
    """Return lines of the installed packages' Python sources."""
    lines: list[str] = []
    size = 0
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
        found = path.read_text(encoding="utf-8", errors="ignore").split("\n")
        kept = [line for line in found if len(line) < 60 or max(map(len, line.split()), default=0) <= 60]
        lines += kept
        size += sum(map(len, kept))
        if size > megabytes * 1e6:
            break
    return lines


def peers(table: ult.Table) -> tuple[Tokenizer, tiktoken.Encoding, np.ndarray]:
    """Return both peers with the merges of `table`, and our id of each of theirs."""
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


def check(lines: list[str], ids: list, ours_of: np.ndarray, hugging: Tokenizer, tik: tiktoken.Encoding) -> None:
    """Compare the ids of every line."""
    same = sum(
        np.array_equal(ours, ours_of[e.ids]) for ours, e in zip(ids, hugging.encode_batch_fast(lines), strict=True)
    )
    print(f"tokenizers gives the same ids on {same:,} of {len(lines):,} lines")
    same = sum(
        np.array_equal(ours, ours_of[theirs])
        for ours, theirs in zip(ids, tik.encode_ordinary_batch(lines, num_threads=1), strict=True)
    )
    print(f"tiktoken gives the same ids on {same:,} of {len(lines):,} lines")


def paired(runs: dict[str, Callable[[], Any]], size: float, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return MB/s of each, in `rounds` rounds in which all take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            speeds[name].append(size / (time.perf_counter() - started))
    return speeds


def fitted(lines: list[str], entries: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=entries, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def report(speeds: dict[str, list[float]], n: int) -> None:
    metrics = [
        metric(name.split(", ", 1)[0], name.split(", ", 1)[1], statistics.median(v), n=n, higher_is_better=True,
               unit="MB/s") | {"low": min(v), "high": max(v), "rounds": len(v)}
        for name, v in speeds.items()
    ]  # fmt: skip

    def ratio(what: str, ours: str, theirs: list[str], goal: str) -> dict[str, Any]:
        best = max(theirs, key=lambda name: statistics.median(speeds[name]))
        ratios = [a / b for a, b in zip(speeds[ours], speeds[best], strict=True)]
        found = metric(f"{what}, ratio", f"ult / {best}", statistics.median(ratios), n=n, higher_is_better=True,
                       unit="x", goal=goal)  # fmt: skip
        return found | {"low": min(ratios), "high": max(ratios), "rounds": len(ratios)}

    tik = ["encode, tiktoken, lines", "encode, tiktoken, one string"]
    decoders_ = ["decode, tokenizers", "decode, tiktoken, lines", "decode, tiktoken, one string"]
    metrics += [
        ratio("encode", "encode, ult", ["encode, tokenizers"], "at least 20"),
        ratio("encode", "encode, ult", tik, "at least 5"),
        ratio("decode", "decode, ult", ["decode, tokenizers", "decode, tiktoken, lines"], "at least 5"),
        ratio("decode, one string", "decode, ult, one string", decoders_, "at least 5"),
        ratio("fit 16384", "fit 16384, ult", ["fit 16384, tokenizers"], "at least 3"),
        ratio("fit 32768", "fit 32768, ult", ["fit 32768, tokenizers"], "at least 3"),
    ]
    write("text-speed", metrics, command="python bench/text_speed.py")


if __name__ == "__main__":
    main()
