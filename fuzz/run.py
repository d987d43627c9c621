"""Mutate inputs of a parser, and say how it met them: `python fuzz/run.py --target manifest --inputs 100000 --seed 0`.

Input k of a target and a seed is always the same one. Each target runs in a process of its own, so that one that dies
is a finding too, and the rest goes on. The input of each new kind of finding is put into `fuzz/corpus/TARGET`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
HANG = 30  # seconds of processor time after which a process is ended
DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def fuzz(
    name: str, inputs: int, seed: int, *, first: int = 0, at: Any = None, say: Callable[[dict[str, Any]], None]
) -> int:
    """Read inputs `first` to `inputs` of a target; `say` each new kind of finding, and return how many were accepted.

    `at` is told the number of each input before it is read, and how many were accepted before.
    """
    from targets import TARGETS
    from watch import watch

    target, accepted, kinds = TARGETS[name], 0, set()
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        seeds, read = target.make(Path(folder))
        for k in range(first, inputs):
            data = draw(name, seeds, seed, k)
            if at is not None:
                at[:16] = k.to_bytes(8, "little") + accepted.to_bytes(8, "little")
                signal.setitimer(signal.ITIMER_PROF, HANG)
            whole, fault = watch(read, data)
            accepted += whole
            kind = fault if " at " in fault else fault[-3:]
            if fault and kind not in kinds:
                kinds.add(kind)
                say({"input": k, "fault": fault, "sha256": _keep(name, data)})
        if at is not None:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return accepted


def _keep(name: str, data: bytes) -> str:
    """Write the input of a finding into the corpus; return its name there."""
    digest = hashlib.sha256(data).hexdigest()[:16]
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    (CORPUS / name / digest).write_bytes(data)
    return digest


def draw(name: str, seeds: list[bytes], seed: int, k: int) -> bytes:
    """Return input `k`."""
    from targets import TARGETS

    rng = random.Random(f"{seed} {name} {k}")
    return TARGETS[name].mutate(rng.choice(seeds), rng)


def apart(name: str, inputs: int, seed: int) -> dict[str, Any]:
    """Fuzz in a process of its own, again from behind the input that ended it."""
    started, before, first, accepted, findings = time.perf_counter(), os.times(), 0, 0, []
    at = mmap.mmap(-1, 16)
    while first < inputs:
        out, into = os.pipe()
        child = os.fork()
        if not child:
            _child(name, inputs, seed, first, at, into)
        os.close(into)
        with os.fdopen(out, "rb") as pipe:
            findings += [json.loads(line) for line in pipe]
        _, status = os.waitpid(child, 0)
        k, accepted = int.from_bytes(at[:8], "little"), accepted + int.from_bytes(at[8:], "little")
        if status and os.WIFEXITED(status):
            raise SystemExit(f"{name}, input {k}: the fuzzer failed")
        if status:
            findings.append({"input": k, "fault": f"the process ended, {signal.Signals(status & 127).name}"})
        first = k + 1
    now = os.times()
    used = now.children_user + now.children_system - before.children_user - before.children_system
    return {
        "target": name, "inputs": inputs, "accepted": accepted, "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(used, 1), "findings": findings,
    }  # fmt: skip


def _child(name: str, inputs: int, seed: int, first: int, at: Any, into: int) -> NoReturn:
    from watch import limit

    status = 1
    try:
        prepare()
        limit()
        accepted = fuzz(
            name, inputs, seed, first=first, at=at, say=lambda f: os.write(into, json.dumps(f).encode() + b"\n")
        )
        at[8:16] = accepted.to_bytes(8, "little")
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    finally:
        os._exit(status)


def prepare() -> None:
    """Keep to one thread and away from the network, and let nothing but findings be said."""
    import warnings

    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libtiff says what it thinks of an image


def main() -> int:
    """Run the targets that were asked for; the exit status is 1 if there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", help="repeatable; all of them by default")
    parser.add_argument("--inputs", type=int, help="of each target; by default what targets.py says")
    parser.add_argument("--share", type=float, default=1.0, help="of what targets.py says")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append a line a target, and pass over those that have one")
    asked = parser.parse_args()
    from targets import TARGETS

    found = 0
    done = asked.json.read_text(encoding="utf-8") if asked.json and asked.json.exists() else ""
    names = {json.loads(line)["target"] for line in done.splitlines()}
    for name in asked.target or TARGETS:
        if name in names:
            continue
        inputs = asked.inputs or max(1, int(TARGETS[name].inputs * asked.share))
        told = {"seed": asked.seed, **apart(name, inputs, asked.seed)}
        found += len(told["findings"])
        print(json.dumps(told), flush=True)
        if asked.json:
            with asked.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
