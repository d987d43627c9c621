"""The options that say how files are read, declared once for every verb that opens some."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

Reading = dict[str, str | float]  # the choices that were made, as `ult.data.reading.Reading.of` takes them
READ: Reading = {}  # stands in a verb's declaration for the options that `reads_files` puts there

Layer = Annotated[str | None, typer.Option(help="Of .h5ad, the matrix: X (the default), raw/X or layers/NAME.")]
Window = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Of a signal, a record is so many seconds; else a whole channel."),
]
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="AXES", help="Of .npy and .npz, the axes of images: hw, hwc, chw, nhw, nchw; nhw*255 for floats 0 to 1."
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(metavar="CHARACTER", help="What separates the cells of a .csv, as ';' or tab; by default the comma."),
]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="The encoding of text files, such as cp1252; by default UTF-8.")
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header", help="Without, line 1 of a .csv is a record, and columns are called c1, c2 and so on."
    ),
]
Sheet = Annotated[str | None, typer.Option(help="Of a workbook of Excel, the name of the sheet that is read.")]
Query = Annotated[str | None, typer.Option(metavar="SQL", help="Of a database, the select whose rows are read.")]
SkipUnreadable = Annotated[
    bool,
    typer.Option("--skip-unreadable", help="Of folders of images, leave out files that cannot be read; says which."),
]

OPTIONS: dict[str, tuple[Any, Any]] = {  # how a verb declares each: its annotation and default
    "layer": (Layer, None),
    "window": (Window, None),
    "layout": (Layout, None),
    "separator": (Separator, None),
    "encoding": (Encoding, None),
    "header": (Header, None),
    "sheet": (Sheet, None),
    "query": (Query, None),
    "skip_unreadable": (SkipUnreadable, False),
}


def reads_files(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put these options, but those in `without`, in place of a verb's parameter `reading`, which gets the choices."""
    names = [name for name in OPTIONS if name not in without]
    options = [
        inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=OPTIONS[name][1], annotation=OPTIONS[name][0]
        )
        for name in names
    ]

    def replaced(verb: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(verb, eval_str=True).parameters.values())
        place = [one.name for one in own].index("reading")
        signature = inspect.Signature([*own[:place], *options, *own[place + 1 :]])

        @functools.wraps(verb)
        def command(**given: Any) -> None:
            verb(reading=_chosen({name: given.pop(name, OPTIONS[name][1]) for name in names}), **given)

        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        return command

    return replaced


def _chosen(given: dict[str, Any]) -> Reading:
    """Return the choices that were made."""
    return {
        name: value for name, value in given.items() if value is not None and (value is not False or name == "header")
    }
