"""Cards: the README.md that says of a shards folder, or of a run, what it is, to people and to Hugging Face's tools.

A card says nothing that the manifest or `metrics.json` beside it does not, and is the same for the same manifest or
metrics. That of shards lies in the hidden folder `.card`, with the tokenizer: pandas and pyarrow take every file in
sight for Parquet, and `load_dataset("parquet", data_dir=...)` even those of folders whose name begins with `_`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ult.public.guarantee import composed
from ult.public.manifest import UNTOLD, Manifest
from ult.public.metrics import METHODS
from ult.public.vocabulary import Vocabulary

CARD = "README.md"
FOLDER = ".card"  # of shards; runs have theirs in sight
FILES = rf"{re.escape(FOLDER)}/(README\.md|tokenizer\.json|tokenizer_config\.json)"  # a pattern of all that is there

_SHARDS = """---
pretty_name: encoded records
tags:
- unified-lookup-tables
configs:
- config_name: default
  data_files: part-*.parquet
---

# {rows} encoded records

`ult encode` wrote this folder: a row is a record, turned into ids by a table that stayed with the records' owner.

**Treat it as you treat the records.** The ids are a code, not anonymous: whoever has many of them, or knows some of
the records, can read a part of them. `load_dataset` leaves a copy in its cache (`HF_DATASETS_CACHE`): remove it too.

| column | what |
|---|---|
| `input_ids` | the record, list of int32, each from 32 to {last}: without begin, end or padding ids |
{kept}
| | |
|---|---|
| records, ids | {rows}, {ids} |
| bytes of the original data | {bytes} |
| codec | `{codec}`, of column {column} |
| table | `{table}`, its fingerprint |
{told}
## Reading

```python
from datasets import load_dataset
from transformers import AutoTokenizer

data = load_dataset("parquet", data_dir="SHARDS", split="train")
tokenizer = AutoTokenizer.from_pretrained("SHARDS/.card")  # one printed letter an id; it knows no phrase of the table
```

`pandas.read_parquet("SHARDS")` and `pyarrow.parquet.read_table("SHARDS")` read it as well; polars reads
`SHARDS/part-*.parquet`. Only `ult` checks what it reads by the SHA-256 in `.manifest.json`.

A model learns where records end if each stands between end ids: `ult.Shards("SHARDS").to_datasets()` puts `<eos>`
before and after it, as `ult train` does. `<pad>` is 0, `<bos>` is 1, `<eos>` is 2. `ult adopt MODEL --shards SHARDS -o
RUN` makes a run of what another trainer wrote.
"""


def write_shards_card(folder: Path, manifest: Manifest) -> None:
    """Write the card and the tokenizer of shards into their folder."""
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    (place / CARD).write_text(shards_card(manifest), encoding="utf-8")
    for name, text in Vocabulary(manifest.vocabulary_size).tokenizer_files().items():
        (place / name).write_text(text, encoding="utf-8")


def shards_card(manifest: Manifest) -> str:
    """Return the dataset card, in Markdown."""
    told = []
    if manifest.privacy:
        told.append(("the table promises", _promise(manifest.privacy.epsilon, manifest.privacy.delta)))
    if manifest.public_table:
        told.append(("the table's records", "are public, as its owner said"))
    if manifest.canaries:
        told.append(("canaries", f"{manifest.canaries.rows:,} of the records are made up, for audits"))
    if manifest.coin:
        told.append(("half", f"the {manifest.coin.side}, as a coin decided of {manifest.coin.records:,} records"))
    kept = [f"| {_code(name)} | as it was with the owner, in the clear |\n" for name in manifest.kept]
    return _SHARDS.format(
        rows=f"{manifest.rows:,}",
        ids=f"{manifest.ids:,}",
        bytes=f"{manifest.bytes:,}" if manifest.bytes else "unknown",
        last=f"{manifest.vocabulary_size - 1:,}",
        kept="".join(kept),
        codec=manifest.codec,
        column=_code(manifest.column),
        table=manifest.table,
        told=_rows(told),
    )


_RUN = """---
library_name: transformers
pipeline_tag: {tag}
tags:
- unified-lookup-tables
---

# A model of encoded records

{does}
Ids are records turned into a code by a table that stayed with their owner: without it, nobody can make sense of what
goes in or comes out.

| | |
|---|---|
{facts}
## Limits

- Weights remember: parts of the records that a model was trained on can be read out of it. `ult audit model` measures
  it, and `ult release` gives a run away with what its audit found.
- {promise}
- It fits the shards' {tables} alone: ids of another table mean other things.
- Nobody has looked at what it writes for truth, bias or harm.

`metrics.json` says how it was trained. `ult evaluate RUN SHARDS` measures it, `ult generate RUN -t TABLE -o OUT` lets
the table's owner read what it writes.
"""
_DOES = {
    "lm": ("text-generation", "It writes records as ids, one after the other."),
    "classify": ("text-classification", "It says of a record's ids which label they have."),
    "regress": ("tabular-regression", "It says of a record's ids which number they have."),
    "seq2seq": ("text2text-generation", "It turns the ids of a source into those of its target."),
}


def run_card(metrics: Mapping[str, Any]) -> str:
    """Return the model card, in Markdown, of a run that says this in its `metrics.json`, and no more than that."""
    tag, does = _DOES[metrics["task"]]
    tables = "tables" if metrics.get("embeddings") == "per table" else "table"
    facts = [("task", metrics["task"]), ("ids at once", f"{metrics['context']:,}")]
    for lot, name in (("shards", "trained on"), ("targets", "with targets of")):
        name += ", by its adopter's word" if metrics.get("adopted") else ""
        facts += [(name, _lot(shards)) for shards in metrics.get(lot) or []]
    facts += [("began with", _origin(metrics))]
    facts += [(name, f"{metrics[name]:,}") for name in ("parameters", "steps") if metrics.get(name) is not None]
    if metrics.get("classes"):
        facts.append(("labels", f"{len(metrics['classes']):,}"))
    facts.append(("bits per byte", _bits(metrics)))
    if metrics.get("embeddings") == "withheld":
        facts.append(("embedding rows", "withheld: they stayed with the owner"))
    if metrics.get("embeddings") == "per table":
        facts.append(("embedding rows", "a file for each table, in `rows`; `ult attach` makes a checkpoint of one"))
    if metrics.get("members"):
        facts.append(("members", f"{metrics['members']['count']}, each a checkpoint in `members`: average them"))
    if metrics.get("averaged"):
        facts.append(("averaged of", ", ".join(_code(one["run"]) for one in metrics["averaged"])))
    if told := metrics.get("forgotten"):
        exact = told["method"] in METHODS[:2]
        facts.append(("forgotten" if exact else "trained against", f"{told['rows']:,} records, by `{told['method']}`"))
        facts += [] if exact else [("guarantee to them", "none: it still depends on them")]
    if metrics.get("distilled"):
        facts.append(("distilled from", ", ".join(_code(one["run"]) for one in metrics["distilled"])))
    if metrics.get("release"):
        facts.append(("released", f"{_text(metrics['release'].get('date'))}, audit: {_verdict(metrics['release'])}"))
    return _RUN.format(tag=tag, does=does, facts=_rows(facts), promise=_kept_promise(metrics), tables=tables)


def _lot(shards: Mapping[str, Any]) -> str:
    table = "a table that is not named" if shards["table"] == UNTOLD else f"table `{_text(shards['table'])}`"
    records = f"{shards['rows']:,} records, " if "rows" in shards else ""
    digest = f", shards `{_text(shards['digest'])}`" if "digest" in shards else ""
    return f"{records}`{_text(shards['codec'])}`, {table}{digest}"


def _origin(metrics: Mapping[str, Any]) -> str:
    if metrics.get("adopted"):
        return "unknown: another trainer wrote it, and `ult adopt` made a run of it"
    if metrics.get("from_run"):
        return f"run {_code(metrics['from_run'])}"
    drawn = {"random": ", drawn at random", "loaded": ", weights of others"}.get(metrics.get("initial_weights", ""), "")
    return f"model {_code(metrics['model'])}{drawn}" if metrics.get("model") else "unknown"


def _bits(metrics: Mapping[str, Any]) -> str:
    """Return what one prediction on validation shards cost, and a byte where `metrics.json` tells their bytes."""
    held = metrics.get("validation") or {}
    bits = dict(map(tuple, held.get("bits") or ())).get(held.get("best_step"))
    if bits is None:
        return "unknown"
    lots: Sequence[Mapping[str, Any]] = held.get("shards", [])
    if (
        metrics["task"] != "lm"
        or not lots
        or not all(lot.get("bytes") and {"ids", "rows"} <= lot.keys() for lot in lots)
    ):
        return f"unknown; {bits:.3f} bits a prediction on validation"
    predictions = sum(lot["ids"] + lot["rows"] for lot in lots)
    return f"{bits * predictions / sum(lot['bytes'] for lot in lots):.3f} on validation"


def _kept_promise(metrics: Mapping[str, Any]) -> str:
    """Return the promise on one account, what it covers and on what conditions: never that of the training alone."""
    if account := composed(metrics):
        return f"It promises {_text(account, 1000)}."
    if metrics.get("adopted"):
        return "Nobody can say whether privacy was promised to the records."
    return "No privacy was promised to the records."


def _verdict(release: Mapping[str, Any]) -> str:
    return _text(release.get("verdict") or "none")


def _promise(epsilon: float, delta: float) -> str:
    return f"({epsilon:.3g}, {delta:.2g})-differential privacy"


def _rows(facts: Sequence[tuple[str, str]]) -> str:
    return "".join(f"| {name} | {value} |\n" for name, value in facts)


def _text(value: object, most: int = 200) -> str:
    """Return a stranger's word as one line that is no markup of a table."""
    return re.sub(r"[`|\s]+", " ", str(value))[:most]


def _code(value: object) -> str:
    return f"`{_text(value)}`"
