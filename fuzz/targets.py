"""Every parser of what comes from elsewhere: how its inputs are made, mutated and read, and how many a full run has."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import of_inputs
import of_messages
import of_runs
import of_shards
import of_tables
from mutate import mutate_bytes, mutate_json, mutate_jsonl, mutate_safetensors, mutate_tail
from reading import Made


@dataclass(frozen=True)
class Target:
    """`make` gives, of an empty folder, inputs to start from and what reads one."""

    make: Callable[[Path], Made]
    mutate: Callable[[bytes, random.Random], bytes]
    inputs: int  # of a full run


TARGETS = {
    "table": Target(of_tables.table, mutate_json, 100_000),
    "age": Target(of_tables.age, mutate_bytes, 30_000),
    "identity": Target(of_tables.identity, mutate_bytes, 100_000),
    "ids": Target(of_tables.ids, mutate_bytes, 150_000),
    "manifest": Target(of_shards.manifest, mutate_json, 120_000),
    "journal": Target(of_shards.journal, mutate_jsonl, 50_000),
    "part": Target(of_shards.part, mutate_tail, 20_000),
    "vocabulary": Target(of_runs.vocabulary, mutate_json, 200_000),
    "metrics": Target(of_runs.metrics, mutate_json, 40_000),
    "config": Target(of_runs.checkpoint("config.json"), mutate_json, 2_000),
    "generation": Target(of_runs.checkpoint("generation_config.json"), mutate_json, 500),
    "weights": Target(of_runs.checkpoint("model.safetensors"), mutate_safetensors, 2_000),
    "rows": Target(of_runs.rows, mutate_safetensors, 150_000),
    "change": Target(of_messages.change, mutate_safetensors, 20_000),
    "hidden": Target(of_messages.hidden, mutate_safetensors, 20_000),
    "task": Target(of_messages.task, mutate_jsonl, 50_000),
    "ready": Target(of_messages.ready, mutate_json, 20_000),
    "audit": Target(of_runs.audit, mutate_json, 20_000),
    "page": Target(of_runs.page, mutate_json, 200),
    "release": Target(of_runs.release, mutate_json, 80_000),
    "txt": Target(of_inputs.txt, mutate_bytes, 30_000),
    "jsonl": Target(of_inputs.jsonl, mutate_jsonl, 80_000),
    "csv": Target(of_inputs.csv, mutate_bytes, 40_000),
    "npy": Target(of_inputs.npy, mutate_bytes, 30_000),
    "npz": Target(of_inputs.npz, mutate_tail, 20_000),
    "parquet": Target(of_inputs.parquet_in, mutate_tail, 20_000),
    "image": Target(of_inputs.images, mutate_bytes, 50_000),
    "jpeg": Target(of_inputs.jpegs, mutate_bytes, 50_000),
}
