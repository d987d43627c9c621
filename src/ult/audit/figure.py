"""Figures for pages: plain axes, written as SVG in the page's text colour."""

from __future__ import annotations

import io
import re
from typing import Any

from ult.host.extras import require

with require("matplotlib", "jinja2", extra="audit"):
    import matplotlib as mpl
    from markupsafe import Markup
    from matplotlib.figure import Figure

INK = "#010203"  # the colour that matplotlib draws in, replaced by the page's text colour


def plain_axes(height: float = 3.0) -> tuple[Any, Any]:
    """Return a figure of 4.8 x `height` inches and its axes."""
    figure = Figure(figsize=(4.8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(which="both", colors=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def svg(figure: Any, name: str) -> str:
    """Return a figure as an <svg> element for HTML, without prologue, namespaces and metadata, in the page's colour.

    `name` makes the ids inside the element different from those of other figures on the page.
    """
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(
        r'<svg( [^>]*?)? width="[^"]*"',
        r"<svg\1",
        re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1),
        count=1,
    )
    return Markup(text.replace(INK, "currentColor"))  # noqa: S704
