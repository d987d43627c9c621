"""The picture of a record, for the owner: on the terminal, and as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ult.owner.picture import Line, Picture

COLOURS = ("#cfe3f7", "#fbe3c8", "#d7efd5", "#ead9f2", "#f9d7d9", "#e5e5c9")  # of the fields, by turns
_LONGEST = 60  # characters of a piece in the picture
_WIDTH, _LABEL = 108.0, 25.0  # of a picture and of the names in it, in characters


def tell(found: Picture, name: str) -> None:
    """Print each cell of a record with its ids and what each says; a bar divides the ids."""
    from rich.table import Table as Grid
    from rich.text import Text

    from ult.cli.console import plain, say, show
    from ult.host.shown import count

    ids = count(len(found.ids), "id")
    say(f"record {found.record:,} of {found.records:,} in {name}: {ids}; only the table shows this")
    grid = Grid("field", "what its ids say", "ids", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for line in found.lines:
        said, numbers = Text(), Text()
        for number, piece in enumerate(line.pieces):
            said.append(" | " if number else "", style="dim").append(plain(piece.text))
            numbers.append(" " if number else "").append(f"({piece.id})" if piece.goes_on else str(piece.id))
        if not line.pieces:
            said.append(plain(line.cell), style="dim")
            numbers.append("none", style="dim")
        grid.add_row(Text(plain(_name(line))), said, numbers)
    show(grid)
    say("in brackets: the id of the line above says this too; none: the cell is what it is without an id")


def _name(line: Line) -> str:
    if line.row is None:
        return line.field or "record"
    return f"{line.field} {line.row + 1}" if line.head else f"  {line.field}"


def draw(found: Picture, path: Path) -> None:
    """Write the picture to a .png or .svg file: a line a field, a box an id with its number above what it says.

    It is the record in the clear, so only the user may read the file.
    """
    from ult.errors import writing
    from ult.host.atomic import whole
    from ult.host.extras import require

    with require("matplotlib", extra="train"):
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    boxes = list(_placed(found.lines))
    height = boxes[-1].top + 1 if boxes else 1
    right = max([40.0, *(box.left + box.width for box in boxes)])
    figure = Figure(figsize=((right + _LABEL + 1) / 12, 0.34 * (height + 2)), dpi=120)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_LABEL - 1, right), ylim=(height + 0.4, -1.6))
    axes.axis("off")
    style: dict[str, Any] = {"parse_math": False, "va": "center", "family": "monospace"}
    axes.text(
        -_LABEL, -0.9, f"record {found.record:,}: {len(found.ids):,} ids; what is grey needs none", fontsize=9, **style
    )
    for box in boxes:
        if box.colour:
            place = (box.left, box.top + 0.04), box.width - 0.3, 0.92
            axes.add_patch(Rectangle(*place, color=box.colour, linewidth=0))
            axes.text(box.left + 0.3, box.top + 0.22, box.number, fontsize=5.5, color="#666666", **style)
        axes.text(
            box.left + 0.3, box.top + 0.64, box.text, fontsize=8, color="#888888" if box.grey else "black", **style
        )
    with whole(path, private=True) as new, writing(path):
        figure.savefig(new, format=path.suffix[1:])


class _Box(NamedTuple):
    """A piece of text in the picture, with the place of its box and, if it is an id's, number and colour."""

    left: float
    top: int
    width: float
    text: str
    number: str = ""
    colour: str = ""
    grey: bool = False


def _placed(lines: Sequence[Line]) -> Iterator[_Box]:
    """Yield the names of the fields and the boxes of their ids from top to bottom; what is too long goes on below."""
    top = 0
    for number, line in enumerate(lines):
        yield _Box(-_LABEL, top, _LABEL, _cut(_name(line), int(_LABEL)))
        left = 0.0
        for piece in line.pieces:
            label = f"{piece.id}" + (" (as above)" if piece.goes_on else "")
            text = _cut(piece.text, _LONGEST)
            width = max(len(text), 0.7 * len(label)) + 1.2
            if left + width > _WIDTH:
                left, top = 0.0, top + 1
            yield _Box(left, top, width, text, label, COLOURS[number % len(COLOURS)])
            left += width
        if not line.pieces:
            text = _cut(line.cell, int(_WIDTH))
            yield _Box(0.0, top, len(text) + 1.2, text, grey=True)
        top += 1


def _cut(text: str, most: int) -> str:
    """Return the text on one line, with an ellipsis if it has more than `most` characters."""
    line = "".join(letter if letter.isprintable() else "\N{MIDDLE DOT}" for letter in text)
    return line if len(line) <= most else line[: most - 1] + "…"
