"""What the machine of a training can do: how many threads help, whether it computes bfloat16, how much a second."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ult.host.extras import require
from ult.host.portable import cpus

with require("torch", extra="train"):
    import torch

# Threads wait for one another at every operation, and those of a tiny model are over in less time than that takes where
# another process wants a core. A step of 8 x 128 ids on two shared cores (load 13), on one thread and on two: tiny 0.65
# and 6.4 s (CPU 0.07 and 1.2 s), small 4.8 and 30 s (0.96 and 6.5 s). On a machine of its own a small model gains by
# the second core and tiny hardly, so only tiny models get one thread, on small machines, where cores are shared.
FEW_WEIGHTS, FEW_CORES = 5_000_000, 4
_ASKED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # what says how many threads somebody wants

# Operations a second in bfloat16 on dense matrices, by the makers' data sheets.
_PEAKS = (
    (r"B200", 2250e12),
    (r"H200|H100 80GB HBM3|GH200", 989e12),
    (r"H100 PCIe", 756e12),
    (r"H100 NVL", 835e12),
    (r"A100", 312e12),
    (r"L40S", 362e12),
    (r"L4\b", 121e12),
    (r"MI300X", 1307e12),
)


@contextmanager
def fitting_threads(parameters: int, device: Any) -> Iterator[None]:
    """Compute a tiny model on one thread of a small machine, unless OMP_NUM_THREADS says how many are wanted."""
    before = torch.get_num_threads()
    tiny = device.type == "cpu" and parameters < FEW_WEIGHTS and cpus() <= FEW_CORES
    if not tiny or before == 1 or any(name in os.environ for name in _ASKED):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def computes_bfloat16(told: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Return whether this CPU has instructions for bfloat16; None if the system does not say."""
    try:
        flags = re.search(r"^(?:flags|Features)\s*:(.*)$", told.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return None if flags is None else bool({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"} & {*flags[1].split()})


def slow_bfloat16(precision: str, device: Any) -> str | None:
    """Return what to tell of a recipe that asks a CPU for bfloat16; None if there is nothing to tell."""
    if precision != "bfloat16" or device.type != "cpu" or computes_bfloat16() is not False:
        return None
    return "note: this CPU has no instructions for bfloat16 and takes several for each; --precision float32 is faster"


def operations(model: Any, context: int) -> float:
    """Return the operations that an id costs in training: six a weight of a matrix, and those of attention.

    As in PaLM (arXiv:2204.02311, appendix B). Embedding rows count once, for the output.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    weights = sum(weight.numel() for weight in model.parameters() if weight.ndim == 2)
    weights -= 0 if tied else embedding.weight.numel()
    layers, channels = (getattr(model.config, name, 0) for name in ("num_hidden_layers", "hidden_size"))
    return float(6 * weights + 12 * layers * channels * context)


def used_share(model: Any, context: int, speed: float, args: Any) -> float | None:
    """Return the share of what the devices can compute that `speed` ids a second use (MFU); None if nobody knows it."""
    if args.device.type != "cuda" or not args.bf16 or not all(weight.requires_grad for weight in model.parameters()):
        return None
    name = torch.cuda.get_device_name(args.device)
    peak = next((peak for pattern, peak in _PEAKS if re.search(pattern, name)), None)
    if peak is None:
        return None
    return float(operations(model, context) * speed / (peak * max(1, args.n_gpu) * args.world_size))
