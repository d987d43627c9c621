"""Learning curves: bits per byte over the share of data that there is to learn from, a line for each start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = ("#57606a", "#a371f7", "#d4a72c", "#bf8700", "#1f6feb", "#0a3069", "#1a7f37", "#cf222e")  # starts from ids
RAW = {"raw, scratch": "#57606a", "raw": "#cf222e"}  # dashed


def draw_curves(
    metrics: Sequence[dict[str, Any]],
    shares: dict[str, Sequence[int]],
    words: dict[str, str],
    path: Path,
    *,
    lossy: Sequence[str] = (),
) -> None:
    """Write a PNG with a panel for each pair of source and target, without raw where ids are `lossy` and it is not."""
    figure, axes = plt.subplots(len(shares), 1, figsize=(6.0, 3.6 * len(shares)), layout="constrained", squeeze=False)
    systems = [name for name in dict.fromkeys(m["system"] for m in metrics) if name not in RAW]
    colours = dict(zip(systems, COLOURS, strict=True)) | RAW
    for place, (pair, of) in zip(axes[:, 0], shares.items(), strict=True):
        for system, colour in colours.items():
            if system in RAW and pair in lossy:
                continue
            points = [(x, m) for x in of for m in metrics
                      if (m["name"], m["system"]) == (f"{pair}, {x} %: bits per byte", system)]  # fmt: skip
            if points:
                x, y = [x for x, _ in points], [m["value"] for _, m in points]
                place.plot(
                    x, y, "o--" if system in RAW else "o-", color=colour, linewidth=1.6, markersize=4, label=system
                )
        place.set_xscale("log")
        place.set_xticks(list(of), [f"{x} %" for x in of])
        place.minorticks_off()
        place.set_title(words[pair], fontsize=11, loc="left")
        place.set_ylabel("bits per byte")
        place.grid(axis="y", color="#d8dee4", linewidth=0.8)
        place.spines[["top", "right"]].set_visible(False)
        place.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[-1, 0].set_xlabel("share of the target's training data")
    figure.savefig(path, dpi=160, metadata={"Software": None})
    plt.close(figure)
