"""Plot a series of numbers in the terminal, and save it as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw_ranks(used: NDArray, plot: Path | None) -> None:  # type: ignore[type-arg]
    """Plot how often each id occurred, by rank, or print that none did, as with a small --epsilon."""
    import numpy as np

    from ult.cli.console import say

    if len(used):
        draw_line(np.log10(used), "occurrences of each id, by rank (log, log)", plot)
    else:
        say("no id occurred: there is nothing to draw")


def draw_line(values: NDArray, title: str, plot: Path | None, *, log_x: bool = True) -> None:  # type: ignore[type-arg]
    """Print values as a text plot of 60 x 8, its lowest and highest beside it, and save the plot if a file is named."""
    import numpy as np

    from ult.cli.console import say

    n = len(values)
    places = (
        np.unique(np.geomspace(1, n, 60).astype(int)) - 1 if log_x else np.linspace(0, n - 1, min(60, n)).astype(int)
    )
    drawn = values[places]
    low, high = min(0.0, float(drawn.min())) if log_x else float(drawn.min()), float(drawn.max())
    heights = np.round((drawn - low) / ((high - low) or 1) * 64).astype(int)
    top, bottom = (f"{10**end:,.0f}" if log_x else f"{end:.4g}" for end in (high, low))
    wide = max(len(top), len(bottom))
    say(f"\n{title}")
    for row in range(7, -1, -1):
        line = "".join(" ▁▂▃▄▅▆▇█"[min(8, max(0, h - 8 * row))] for h in heights).rstrip()
        say(f"{top if row == 7 else bottom if row == 0 else '':>{wide}} {line}".rstrip())
    if log_x:
        say(f"{'':{wide}} 1{f'{n:,}' if n > 1 else '':>{max(0, len(places) - 1)}}")
    if plot is not None:
        _save(values, title, plot, log_x)


def _save(values: NDArray, title: str, plot: Path, log_x: bool) -> None:  # type: ignore[type-arg]
    from ult.errors import writing
    from ult.host.atomic import whole
    from ult.host.extras import require

    with require("matplotlib", extra="train"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(6, 3.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    places = range(1, len(values) + 1)
    if log_x:
        axes.loglog(places, 10**values, color="#3366aa")
    else:
        axes.plot(places, values, color="#3366aa")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    with whole(plot) as new, writing(plot):
        figure.savefig(new, format=plot.suffix[1:])
