"""A transformer of patches of pixels: what somebody with the images would train instead of a model of ids.

Each 8 x 8 patch is a vector of its pixels, through one linear map; every patch attends to all others, and the class is
read off their mean. Width, depth and heads are those of the preset `tiny`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

SIDE, WIDTH, LAYERS, HEADS, INNER = 8, 128, 2, 4, 384
BATCH, WARM = 32, 0.1  # images a step; the share of steps over which the rate rises
Pixels = NDArray[np.uint8]  # (n, h, w, 3)


class PatchModel(torch.nn.Module):
    """Patches (b, n, 192) -> logits (b, classes)."""

    def __init__(self, patches: int, classes: int) -> None:
        super().__init__()
        self.map = torch.nn.Linear(3 * SIDE**2, WIDTH)
        self.places = torch.nn.Parameter(0.02 * torch.randn(patches, WIDTH))
        layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm, self.head = torch.nn.LayerNorm(WIDTH), torch.nn.Linear(WIDTH, classes)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.head(self.norm(self.body(self.map(patches) + self.places)).mean(1))
        return logits


def cut(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Return the patches (n, patches, 192) of images of one size, from -0.5 to 0.5."""
    pixels = np.stack(images).astype(np.float32) / 255 - 0.5
    n, height, width, channels = pixels.shape
    blocks = pixels.reshape(n, height // SIDE, SIDE, width // SIDE, SIDE, channels).transpose(0, 1, 3, 2, 4, 5)
    return torch.from_numpy(np.ascontiguousarray(blocks).reshape(n, -1, channels * SIDE**2))


def step_seconds(images: Sequence[NDArray[np.uint8]], labels: NDArray[np.int64]) -> float:
    """Return the CPU time of a step."""
    few, many = (fitted(images, labels, steps=n, seed=0, rate=1e-3)["seconds"] for n in (3, 23))
    return float(max(1e-4, (many - few) / 20))


def fitted(
    images: Sequence[NDArray[np.uint8]], labels: NDArray[np.int64], *, steps: int, seed: int, rate: float
) -> dict[str, Any]:
    """Train on random batches, the rate rising and then falling to 0; return `model` and `seconds` of CPU."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    patches, classes = cut(images), torch.from_numpy(labels)
    model = PatchModel(patches.shape[1], int(classes.max()) + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.1)
    draw, began = np.random.default_rng(seed), time.process_time()
    for step in range(steps):
        share = min(1.0, (step + 1) / max(1, WARM * steps)) * (1 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * share
        some = torch.from_numpy(draw.choice(len(patches), min(BATCH, len(patches)), replace=False))
        loss = torch.nn.functional.cross_entropy(model(patches[some]), classes[some])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return {"model": model, "seconds": time.process_time() - began}


@torch.inference_mode()
def told(model: PatchModel, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Return the class of each image."""
    found: NDArray[np.int64] = model.eval()(cut(images)).argmax(1).numpy()
    return found
