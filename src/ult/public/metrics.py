"""Read and check the `metrics.json` of a run, which may come from anyone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ult.errors import FormatError, MissingSource
from ult.host.near import near_file
from ult.host.regular import read_text
from ult.public.manifest import SIDES
from ult.public.task import TASKS
from ult.public.vocabulary import check_format

FORMAT = "ult-run/1"
METHODS = ("exact", "guaranteed", "npo", "graddiff")  # of ult forget run; only the first two forget
_MOST = 2**26  # bytes


Metrics = Mapping[str, Any]  # what a run's `metrics.json` says, checked
Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _number(value: Any) -> bool:
    return _count(value) or (isinstance(value, float) and math.isfinite(value))


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _many(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _having(needed: Mapping[str, Check], others: Mapping[str, Check]) -> Check:
    """Return a check for an object that has all fields of `needed` and may have those of `others`."""
    return lambda value: (
        isinstance(value, dict)
        and needed.keys() <= value.keys()
        and all(check(value[name]) for name, check in {**needed, **others}.items() if name in value)
    )


def _point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_number, value))


def _scale(value: Any) -> bool:
    """Return whether this is a mean and a standard deviation, of numbers that can be squared."""
    return _point(value) and abs(value[0]) < 1e150 and 0 < value[1] < 1e150


def _classes(value: Any) -> bool:
    """Return whether these are labels, each once."""
    return _many(lambda label: _text(label) or type(label) is int)(value) and len(set(value)) == len(value)


def _measured(value: Any) -> bool:
    """Return whether this is a pair of a step and what was measured there, which is no number once all is lost."""
    return isinstance(value, list) and len(value) == 2 and _count(value[0]) and type(value[1]) in (int, float)


def _options(value: Any) -> bool:
    """Return whether this is an object of plain values and lists of numbers."""
    return isinstance(value, dict) and all(
        _number(one) or _text(one) or one is None or isinstance(one, bool) or _many(_number)(one)
        for one in value.values()
    )


def _hex(digits: int) -> Check:
    return lambda value: _text(value) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", value) is not None


_COIN = _having({"split": _hex(32), "side": SIDES.__contains__, "records": _count}, {})
_PROMISE = _having({"epsilon": _number, "delta": _number}, {})
_SUMMARY = _having(
    {"table": _text, "codec": _text, "column": _text},
    {
        "name": _text,
        **dict.fromkeys(("rows", "ids", "bytes"), _count),
        "digest": _hex(64),  # older runs have none
        "privacy": _or_null(_PROMISE),
        "canaries": _or_null(_having({"count": _count, "repeats": _count}, {})),
        "coin": _or_null(_COIN),
        "public_table": lambda value: isinstance(value, bool),
    },
)
_PRIVACY = _having({"epsilon": _number, "delta": _number}, {"secure_random": lambda value: isinstance(value, bool)})
_VALIDATION = _having({}, {"bits": _many(_measured), "best_step": _count, "shards": _many(_SUMMARY)})
_MEMBERS = _having(
    {"count": lambda value: _count(value) and 1 <= value < 2**16}, {"records": _many(_count), "weights": _many(_number)}
)
_TEACHER = _having({"run": _text, "digest": _hex(64)}, {"members": _count})
_LEFT_OUT = _having({"rows": _count}, {"digest": _hex(64)})  # a private run says to its owner alone which
_FORGOTTEN = _having(
    {"rows": _count, "method": METHODS.__contains__, "when": _text},
    {
        "of": _hex(64),
        "gone": _many(_hex(64)),
        "table": ("promised", "unchanged", "aligned").__contains__,
        **dict.fromkeys(("epsilon", "delta"), _or_null(_number)),
        **dict.fromkeys(("members", "members_again", "steps", "steps_before"), _count),
    },
)
_NEEDED: dict[str, Check] = {  # what other verbs rely on
    "task": TASKS.__contains__,
    "context": lambda value: _count(value) and 4 <= value < 2**31,
    "classes": _classes,
    "shards": lambda value: _many(_SUMMARY)(value) and len(value) > 0,
}
_OTHERS: dict[str, Check] = {
    "recipe": _options,
    "targets": _many(_SUMMARY),
    **dict.fromkeys(("model", "from_run", "label", "embeddings"), _or_null(_text)),
    **dict.fromkeys(("steps", "batch_size", "parameters"), _count),
    "ids_per_second": _or_null(_number),
    "device": _text,
    "initial_weights": ("random", "loaded").__contains__,
    "initial_digest": _hex(64),
    "loss": _many(_point),
    "document_mask": lambda value: isinstance(value, bool),
    "federated": _having({}, {}),
    "mfu": _or_null(_number),
    "modality_token": lambda value: isinstance(value, bool),
    "privacy": _or_null(_PRIVACY),
    "trained_before": _or_null(_many(_hex(64))),
    "validation": _or_null(_VALIDATION),
    "scale": _or_null(_scale),  # of a number that is predicted: mean and standard deviation in training
    "members": _or_null(_MEMBERS),
    "part": _or_null(_having({"records": _count}, {})),
    **dict.fromkeys(("distilled", "averaged"), _many(_TEACHER)),
    "without": _many(_LEFT_OUT),
    "forgotten": _or_null(_FORGOTTEN),
    "from_digest": _or_null(_hex(64)),
    "compatible": _many(_TEACHER),
    "replay": _having({"name": _text, "digest": _hex(64), "share": _number}, {}),
    "release": _or_null(_having({}, {})),
    "adopted": _or_null(_having({"unknown": _many(_text)}, {})),
}


_OF_TASK: dict[str, dict[str, Check]] = {"seq2seq": {"targets": _many(_SUMMARY)}, "regress": {"scale": _scale}}


def read_metrics(path: Path) -> dict[str, Any]:
    """Return what `metrics.json` at `path` says. Raises `MissingSource`, `FormatError` or `NewerFormat`."""
    try:
        metrics: dict[str, Any] = json.loads(read_text(path, _MOST))
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.parent.exists():
            raise MissingSource(
                f"{path.parent} is not there; expected a run", hint=near_file(path.parent, "ult train writes one")
            ) from error
        raise MissingSource(
            f"{path.parent} is not a run: it has no {path.name}", hint="ult train writes one"
        ) from error
    except FormatError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON") from error
    check_format(metrics, FORMAT, path)
    check_metrics(metrics, path)
    return metrics


def check_metrics(metrics: Mapping[str, Any], path: Path) -> None:
    """Raise `FormatError`, naming `path`, unless these can be the metrics of a run."""
    needed = {**_NEEDED, **_OF_TASK.get(str(metrics.get("task")), {})}
    for name, check in {**_OTHERS, **needed}.items():
        if name in metrics and not check(metrics[name]):
            said = repr(metrics[name])[:80]
            raise FormatError(f"{path}: {name} is {said}, which no run says", hint="docs/format.md")
        if name in needed and name not in metrics:
            raise FormatError(f"{path}: {name} is missing")


def made_of(metrics: Mapping[str, Any]) -> list[str]:
    """Return the names of the runs that a run went on from, was averaged of, or learned from.

    `trained_before` has what these were trained on, and is None if not all is known.
    """
    began = metrics.get("from_run")
    taught = [one["run"] for name in ("averaged", "distilled", "compatible") for one in metrics.get(name) or []]
    return [*([str(began)] if began else []), *taught]
