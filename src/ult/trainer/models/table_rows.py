"""Embedding rows per table: one body that reads and writes the ids of several tables, each by rows of its own.

Id 57 is a word under one table and a level of a wave under the next. With shared rows one vector has to be both; with
rows per table only the body is shared, and each table's ids compete with one another alone (DEPT-SPEC,
arXiv:2410.05021). While such a model trains, its rows lie one table below the other; a run keeps each table's in a file
of its own, and the body without rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig
from ult.host import regular
from ult.host.extras import require
from ult.public.run import ROWS, Run
from ult.trainer.models.embeddings import Model, draw_rows, row_names, rows_of

with require("torch", "safetensors", extra="train"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

Rows = Sequence[Any]  # of a table: input rows (ids, channels) float32, and output rows if they are not the same
_NAMES = ("input", "output")


class _Head(torch.nn.Linear):
    """Output rows of several tables, one below the other: logits of a sample are of its own table's ids alone."""

    tables: torch.Tensor  # (b,) the number of each sample's table
    size: int  # ids of a table

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits (b, n, size) of hidden states (b, n, channels)."""
        parts, places = [], []
        for table in self.tables.unique().tolist():
            mine = (self.tables == table).nonzero()[:, 0]
            own = self.weight[table * self.size : (table + 1) * self.size]
            parts.append(torch.nn.functional.linear(hidden[mine], own))
            places.append(mine)
        return torch.cat(parts)[torch.cat(places).argsort()]


def spread(model: Model, tables: Sequence[str], kept: Mapping[str, Rows], *, first: int) -> None:
    """Give a model rows for each of `tables`: those of `kept`, else its own up to `first`, and drawn from there on.

    From then on it is called with `tables` too, the number (b,) of the table of each sample, and its logits are those
    of that table's ids. Raises `InvalidConfig` for a model with another head than one matrix.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.bias is not None:
        raise InvalidConfig(
            f"{model.config.model_type} models have another head than output rows", hint="leave out --rows-per-table"
        )
    size, lots = len(embedding.weight), []
    for table in tables:
        if table not in kept:
            draw_rows(model, first=first)
        lots.append(kept.get(table) or [weight.detach().clone() for weight in rows_of(model)])
    below = [torch.nn.Parameter(torch.cat(same)) for same in zip(*lots, strict=True)]
    embedding.weight, embedding.padding_idx, embedding.num_embeddings = below[0], None, len(below[0])
    together = _Head(below[0].shape[1], 1, bias=False)
    together.weight, together.size, together.out_features = below[-1], size, len(below[-1])
    model.set_output_embeddings(together)
    embedding.size = size
    embedding.register_forward_pre_hook(_offset)
    model.register_forward_pre_hook(_tell, with_kwargs=True)


def _tell(model: Model, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Let embedding and head know of which table each sample is."""
    tables = options.pop("tables")
    model.get_input_embeddings().tables = model.get_output_embeddings().tables = tables
    return args, options


def _offset(embedding: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return ids (b, n) as the numbers of their rows."""
    return (args[0] + embedding.tables[:, None] * embedding.size, *args[1:])


def of_one_table(model: Model, tables: int) -> int:
    """Return how many weights a model with rows of so many tables has beside one of them: those of a run of one."""
    return int(model.num_parameters() - sum(weight.numel() for weight in rows_of(model)) * (tables - 1) // tables)


def save_per_table(model: Model, tables: Sequence[str], folder: Path) -> None:
    """Write the body of a model that was `spread`, without rows, and the rows of each of its tables, into a folder."""
    names = row_names(model)
    model.save_pretrained(folder, state_dict={n: w for n, w in model.state_dict().items() if n not in names})
    (folder / ROWS).mkdir()
    lots = [weight.detach().cpu().chunk(len(tables)) for weight in rows_of(model)]
    for number, table in enumerate(tables):
        rows = {name: lot[number].contiguous() for name, lot in zip(_NAMES, lots, strict=False)}
        save_file(rows, folder / ROWS / f"{table}.safetensors", metadata={"format": "pt"})


def read_rows(run: Run, table: str, model: Model) -> Rows:
    """Return the rows of a table from a run with rows per table. Raises `FormatError` unless they fit its model."""
    path, wanted = run.rows_file(table), [(*weight.shape,) for weight in rows_of(model)]
    regular.check(path)
    try:
        held = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FormatError(f"{path} holds no rows of a table, which {run.path / 'metrics.json'} says it does") from error
    rows = [held[name].float() for name in _NAMES if name in held]
    if len(held) != len(rows) or [(*one.shape,) for one in rows] != wanted:
        raise FormatError(f"the rows in {path} are not of the shape that {run.path} has")
    if not all(bool(torch.isfinite(one).all()) for one in rows):
        raise FormatError(f"{path} holds values that are infinite or no number; they predict nothing")
    return rows


def put_rows(model: Model, rows: Rows) -> None:
    """Make these the rows of a model."""
    with torch.no_grad():
        for weight, own in zip(rows_of(model), rows, strict=True):
            weight.copy_(own)
