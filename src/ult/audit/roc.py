"""ROC curves of membership inference on logarithmic axes (Carlini et al. 2022)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ult.audit.bounds import FPRS, Scores, auc, roc
from ult.errors import writing
from ult.host.atomic import whole
from ult.host.extras import require

with require("matplotlib", extra="audit"):
    from matplotlib.figure import Figure


def draw(curves: dict[str, tuple[Scores, Scores]], path: Path) -> None:
    """Write the ROC curve of each attack, given as scores of members and nonmembers, to a PNG; raise `OutputError`."""
    floor = min(*FPRS, *(1 / len(scores) for pair in curves.values() for scores in pair)) / 2
    figure = Figure(figsize=(5, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([floor, 1], [floor, 1], color="#999999", linewidth=1, linestyle="--", label="chance")
    for name, (members, nonmembers) in curves.items():
        false, true = (np.maximum(shares, floor) for shares in roc(members, nonmembers))  # no log of 0
        axes.step(false, true, where="post", linewidth=1.6, label=f"{name} (AUC {auc(members, nonmembers):.3f})")
    for fpr in FPRS:
        axes.axvline(fpr, color="#dddddd", linewidth=0.8, zorder=0)
    axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.05))
    axes.set(xlabel="share of nonmembers taken for members", ylabel="share of members found")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    with whole(path) as new, writing(path):
        figure.savefig(new, format="png")
