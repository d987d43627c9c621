"""Speed of `text/bytes` beside tokenizers and tiktoken: one process, one thread, the same merges on all sides.

The peers get our table's merges and a regular expression of our cut, and their ids are checked against ours, line by
line. Lines with a run of over 60 bytes with or without white space are left out: our cut bounds patches, not theirs.
Text: the Python sources in this environment (real text, always at hand), as lines, as documents of 100 lines, and as
one string; "ult" gives and takes all ids and where records end, "ult, arrays" an array a record. `--megabytes` sets how
much. The worst cases are not real text.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import tiktoken
from peers import fitted, peers, text
from session import write
from timing import compared, turns
from tokenizers import Tokenizer

import ult

ROUNDS = 3
LINES = 100  # in a document


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=50)
    megabytes = parser.parse_args().megabytes
    lines = text(megabytes)
    documents = ["\n".join(lines[i : i + LINES]) for i in range(0, len(lines), LINES)]
    table = ult.Table.fit(lines, vocabulary=ult.Vocabulary(16384), min_records=1)
    hugging, tik, ours_of = peers(table)
    check(lines, table, ours_of, hugging, tik)
    metrics = speeds(table, hugging, tik, lines, documents)
    metrics += [worst(name, text, table, hugging) for name, text in hostile().items()]
    metrics += [fits(documents, entries) for entries in (16384, 32768)]
    write(
        "text-speed", "Speed of text", metrics, __doc__, command=f"python bench/text_speed.py --megabytes {megabytes}"
    )


def speeds(
    table: ult.Table, hugging: Tokenizer, tik: tiktoken.Encoding, lines: list[str], documents: list[str]
) -> list[dict[str, Any]]:
    """Compare encoding and decoding of the text in its three forms, and the best form of each side."""
    whole = "\n".join(lines)
    size = len(whole.encode()) / 1e6
    metrics, encode, decode = [], {}, {}
    for form, records in (("lines", lines), ("documents", documents), ("one string", [whole])):
        runs: dict[str, Callable[[], Any]] = {
            "ult": partial(table.encode_ragged, records),
            "ult, arrays": partial(table.encode_batch, records),
            "tokenizers": partial(hugging.encode_batch_fast, records),
            "tiktoken": partial(tik.encode_ordinary_batch, records, num_threads=1),
        }
        if form == "one string":  # one word for tokenizers, which take it up in minutes
            del runs["tokenizers"]
        seconds = turns(runs, rounds=ROUNDS, warm=False)  # `check` has warmed up
        for ours, peer in (("ult", "tokenizers"), ("ult, arrays", "tokenizers"), ("ult", "tiktoken")):
            if peer in runs:
                metrics.append(
                    compared(f"encode, {form}", seconds, ours, [peer], amount=size, unit="MB", n=len(records),
                             goal="at least 20" if peer == "tokenizers" else "")
                )  # fmt: skip
        encode |= {f"{name}, {form}": times for name, times in seconds.items()}
        ids, ends = table.encode_ragged(records)
        many = table.encode_batch(records)
        theirs = tik.encode_ordinary_batch(records, num_threads=1)
        assert table.decode_ragged(ids, ends) == table.decode_batch(many) == tik.decode_batch(theirs, num_threads=1)
        runs = {
            "ult": partial(table.decode_ragged, ids, ends),
            "ult, arrays": partial(table.decode_batch, many),
            "tiktoken": partial(tik.decode_batch, theirs, num_threads=1),
        }
        if form != "one string":
            their_ids = [e.ids for e in hugging.encode_batch_fast(records)]
            runs["tokenizers"] = partial(hugging.decode_batch, their_ids)
        seconds = turns(runs, rounds=ROUNDS, warm=False)  # `check` has warmed up
        decode |= {f"{name}, {form}": times for name, times in seconds.items()}
        peers_of = [name for name in runs if "ult" not in name]
        metrics += [
            compared(f"decode, {form}", seconds, ours, peers_of, amount=size, unit="MB", n=len(records), goal=goal)
            for ours, goal in (("ult", "at least 5"), ("ult, arrays", ""))
        ]
    for what, seconds in (("encode", encode), ("decode", decode)):
        ours = min((name for name in seconds if "ult" in name), key=lambda name: sum(seconds[name]))
        tiks = [name for name in seconds if "tiktoken" in name]
        metrics.append(
            compared(f"{what}, best form of each", seconds, ours, tiks, amount=size, unit="MB", n=len(lines),
                     goal="at least 5")
        )  # fmt: skip
    return metrics


def worst(name: str, text: str, table: ult.Table, hugging: Tokenizer) -> dict[str, Any]:
    """Compare encoding one long string; ours remembers nothing of an earlier round, as tokenizers may."""
    payload = table.cleartext()
    table.encode("warm up")

    def seconds(encode: Callable[[str], Any]) -> float:
        started = time.process_time()
        encode(text)
        return time.process_time() - started

    both: dict[str, list[float]] = {"ult": [], "tokenizers": []}
    for _ in range(3):
        fresh = ult.Table.from_cleartext(payload)
        fresh.encode("")  # its memory is laid out
        both["ult"].append(seconds(fresh.encode))
        both["tokenizers"].append(seconds(lambda text: hugging.encode_batch_fast([text])))
    return compared(f"worst case: {name}", both, "ult", ["tokenizers"], amount=len(text.encode()) / 1e6, unit="MB",
                    n=len(text), goal="at least 0.33")  # fmt: skip


def hostile() -> dict[str, str]:
    """Return text that no cut and no memory of words helps with, about a megabyte each."""
    rng = np.random.default_rng(0)
    scripts = [0x41, 0xC0, 0x370, 0x400, 0x530, 0x5D0, 0x620, 0x710, 0x780, 0x905, *range(0x985, 0xE80, 0x80),
               *range(0xF40, 0x2000, 0x50), 0x2C00, 0x2D30, 0x3041, 0x30A1, 0x3105, 0x4E00, 0xA000, 0xA500, 0xAA00,
               0xAC00, *range(0x10280, 0x12000, 0x100), 0x12000, 0x13000, 0x1B000, 0x1F300, 0x20000]  # fmt: skip
    words = zip(rng.choice(scripts, 80_000).tolist(), rng.integers(1, 9, 80_000).tolist(), strict=True)
    return {
        "one character": "a" * 10**6,
        "spaces": " " * 10**6,
        "no spaces": rng.integers(97, 123, 10**6, np.uint8).tobytes().decode(),
        "random bytes, as Latin-1": rng.bytes(700_000).decode("latin-1"),
        "random words": " ".join(rng.bytes(8).hex() for _ in range(60_000)),
        f"{len(scripts)} scripts": " ".join(
            "".join(map(chr, (first + rng.integers(0, 32, n)).tolist())) for first, n in words
        ),
    }


def fits(documents: list[str], entries: int) -> dict[str, Any]:
    """Compare fitting a table with training a tokenizer of as many entries, each with its own cut."""
    seconds = turns(
        {
            "ult": lambda: ult.Table.fit(documents, vocabulary=ult.Vocabulary(entries), min_records=1),
            "tokenizers": lambda: fitted(documents, entries),
        },
        rounds=3,
        warm=False,
    )
    size = sum(len(document.encode()) for document in documents) / 1e6
    return compared(f"fit, {entries} entries", seconds, "ult", ["tokenizers"], amount=size, unit="MB",
                    n=len(documents), goal="at least 3")  # fmt: skip


def check(lines: list[str], table: ult.Table, ours_of: np.ndarray, hugging: Tokenizer, tik: tiktoken.Encoding) -> None:
    """Compare the ids of every line."""
    ids = table.encode_batch(lines)
    for name, theirs in (
        ("tokenizers", (e.ids for e in hugging.encode_batch_fast(lines))),
        ("tiktoken", tik.encode_ordinary_batch(lines, num_threads=1)),
    ):
        same = sum(np.array_equal(ours, ours_of[others]) for ours, others in zip(ids, theirs, strict=True))
        print(f"{name} gives the same ids on {same:,} of {len(lines):,} lines")
        assert same == len(lines), name


if __name__ == "__main__":
    main()
