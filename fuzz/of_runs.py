"""Runs that a trainer gives back, rows of a released body, and what audits wrote."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from of_shards import TABLE, shards_folder
from reading import Made, either, file

SUMMARY = {"name": "x", "table": TABLE, "codec": "text/bytes", "column": "text", "rows": 12, "ids": 66, "bytes": 200}


def run_folder(folder: Path) -> Path:
    """Write a run of the smallest model there is, without training it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from ult import Vocabulary

    path = folder / "run"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    Vocabulary(64).save(path / "vocabulary.json")
    (path / "metrics.json").write_text(json.dumps(metrics_document()), encoding="utf-8")
    return path


def metrics_document(**changes: Any) -> dict[str, Any]:
    """Return what a small run says of itself."""
    told = {"format": "ult-run/1", "task": "lm", "context": 16, "classes": [], "shards": [SUMMARY], "targets": []}
    told |= {"model": "tiny", "from_run": None, "label": None, "embeddings": "fresh", "steps": 4, "batch_size": 2}
    told |= {"parameters": 1234, "ids_per_second": 12.5, "device": "cpu", "loss": [[1, 4.0], [2, 3.5]]}
    told |= {"modality_token": True, "privacy": None, "validation": None, "versions": {"ult": "0.1.0"}}
    return {**told, **changes}


def metrics(folder: Path) -> Made:
    from ult.audit.release.facts import guarantees, holdings, run_facts
    from ult.cli.inspect import _run
    from ult.public.run import Run

    path = run_folder(folder)
    promise = {"epsilon": 8.0, "delta": 1e-5, "secure_random": True}
    several = [SUMMARY, {**SUMMARY, "codec": "image/dct"}]
    seeds = [
        metrics_document(),
        metrics_document(task="classify", classes=["a", "b"], label="label"),
        metrics_document(task="seq2seq", targets=[SUMMARY]),
        metrics_document(privacy=promise, loss=[], ids_per_second=None, from_run="first", embeddings="keep"),
        metrics_document(shards=several, embeddings="withheld"),
    ]

    def read(_: Path) -> None:
        run = Run.open(path)
        _told = (run.tables, run.context, run.classes, run.withheld, run.alone, run.modality_token)
        parts = {"shards": [], "run": run_facts(run), "body": False, "table": None}
        holdings(parts)
        guarantees(parts)
        run.head("text")
        with contextlib.redirect_stdout(io.StringIO()):
            _run(path, None)

    return [json.dumps(one).encode() for one in seeds], file(path, "metrics.json", read)


def vocabulary(folder: Path) -> Made:
    from ult import Vocabulary

    seeds = [b'{"format": "ult-vocabulary/1", "size": 8192}\n', b'{"format": "ult-vocabulary/1", "size": 33}']
    return seeds, file(folder, "vocabulary.json", Vocabulary.load)


def checkpoint(name: str) -> Callable[[Path], Made]:
    """Return what makes the target of a file of the checkpoint of a run."""

    def make(folder: Path) -> Made:
        from ult.public.run import Run
        from ult.trainer.models.load import load_trained

        path = run_folder(folder)
        opened = Run.open(path)
        return [(path / name).read_bytes()], file(path, name, lambda _: load_trained(opened))

    return make


def rows(folder: Path) -> Made:
    import torch
    from safetensors.torch import save

    from ult.owner.handover.withhold import _read

    digest = torch.zeros(32, dtype=torch.uint8)
    held = {"input": torch.zeros(4, 3), "output": torch.ones(4, 3), "ult-rows/1": digest}
    seeds = [save(held), save({name: held[name] for name in ("input", "ult-rows/1")})]
    return seeds, lambda data: _read(folder / "rows.age", data)


# ---- audits


def audits(folder: Path) -> dict[str, Any]:
    """Return an audit of each kind, of shards, a run and a table that are in `folder`."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from evidence import code, model, table_audit
    from ult.public.run import Run
    from ult.public.shards import Shards

    run, manifest = Run.open(folder / "run"), Shards(folder / "x.shards").manifest
    return {
        "code": code(table=manifest.table, shards=manifest.digest),
        "model": model(run.digest(), members=[manifest.digest]),
        "table": table_audit(_fitted().fingerprint),
    }


def _fitted() -> Any:
    from ult import Table, Vocabulary

    return Table.fit(["a"], vocabulary=Vocabulary(300), min_records=1)


def audit(folder: Path) -> Made:
    """Audits of the code, a model and a table, as a release candidate judges them."""
    from ult.audit.release.candidate import assemble, judged, read

    held = {"shards": [shards_folder(folder)], "run": run_folder(folder)}
    found = audits(folder)
    parts = assemble(**held, table=_fitted())["parts"]

    def judge(kind: str, path: Path) -> object:
        return judged(parts, {**dict.fromkeys(found), kind: read(path)})

    reads = [partial(judge, kind) for kind in found]
    return [json.dumps(one).encode() for one in found.values()], file(folder, "audit.json", either(*reads))


def _given(read: Callable[..., object], name: str, path: Path) -> object:
    return read(**{name: path})


def page(folder: Path) -> Made:
    """The same, drawn."""
    from ult.audit.release.candidate import assemble
    from ult.audit.release.page import render

    held = {"shards": [shards_folder(folder)], "run": run_folder(folder)}
    found = audits(folder)

    kinds = ("code", "model")
    reads = [partial(_given, lambda **audit: render(assemble(**held, **audit)), f"{kind}_audit") for kind in kinds]
    return [json.dumps(found[kind]).encode() for kind in kinds], file(folder, "audit.json", either(*reads))


def release(folder: Path) -> Made:
    """The audit of a release, which decides whether it may be made."""
    from ult.audit.release.candidate import assemble
    from ult.audit.release.permit import allowed

    shards, run = [shards_folder(folder)], run_folder(folder)
    for kind, told in audits(folder).items():
        (folder / f"{kind}.json").write_text(json.dumps(told), encoding="utf-8")
    whole = assemble(shards=shards, run=run, code_audit=folder / "code.json", model_audit=folder / "model.json")
    seeds = [json.dumps(one).encode() for one in (whole, assemble(run=run))]

    def read(path: Path) -> None:
        allowed(path, run, private_embeddings=False, accepted="whatever it says")

    return seeds, file(folder, "audit.json", read)
