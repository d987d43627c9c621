"""Turn the rows of an input into records: choose the column, and convert its values."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.data import files
from ult.data.cells import column_of
from ult.data.cells import is_text as is_text
from ult.data.images.image import left_out, to_pixels
from ult.data.images.scan import Frame
from ult.data.rows import Chunk, Column, Rows, listed
from ult.errors import MissingColumn, SourceError, UltError
from ult.host.later import compute as pc

# names for unnamed columns
COLUMN = {
    "text": "text", "molecule": "smiles", "image": "image", "jpeg": "image", "series": "series", "record": "record",
}  # fmt: skip
_NAME = {"text": "text", "molecule": "text", "image": "images", "jpeg": "JPEG files", "series": "lists of numbers"}


def is_image(kind: pa.DataType) -> bool:
    """Return whether a column of this type can hold image files as bytes, or Hugging Face's {bytes, path}."""
    if pat.is_struct(kind):
        return "bytes" in {field.name for field in kind}
    return bool(pat.is_binary(kind) or pat.is_large_binary(kind) or pat.is_binary_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds integers or floats."""
    return bool(pat.is_integer(kind) or pat.is_floating(kind))


def is_series(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds lists of numbers."""
    lists = pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind)
    return bool(lists and is_number(kind.value_type))


FITS = {"text": is_text, "molecule": is_text, "image": is_image, "jpeg": is_image, "series": is_series}


def fits(rows: Rows, modality: str, column: str) -> bool:
    """Return whether each value of `column` can be a record of `modality`."""
    return FITS[modality](rows.types[column])


def choose(rows: Rows, modality: str, keep: Sequence[str]) -> str:
    """Return the only column that fits `modality` and is not kept; raise `MissingColumn` if none or several do."""
    if rows.column is not None and rows.column not in keep:
        return rows.column
    fitting = [name for name in rows.types if name not in keep and fits(rows, modality, name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        several = f"{rows.name} has {len(fitting)} columns of {_NAME[modality]}: {listed(fitting)}"
        hint = f"--column {shlex.quote(_longest(rows, fitting))}"
        other = ", or a table of --codec record/columns for records of all columns" if modality == "text" else ""
        if "resourceType" in fitting:  # which every resource of FHIR has
            folder = shlex.quote(f"fhir:{rows.name.rpartition('/')[0] or '.'}")
            hint = f"{folder} and a table of --codec record/columns for resources of FHIR"
        raise MissingColumn(f"{several}; expected to be told which{other}", hint=hint)
    raise MissingColumn(
        f"{rows.name} has no column of {_NAME[modality]} to encode; it has {listed(list(rows.types))}",
        hint=rows.layouts if modality == "image" else "",
    )


def _longest(rows: Rows, names: Sequence[str]) -> str:
    """Return the column with the longest texts in its first 100 rows, which is likelier to hold records than labels.

    Without text columns it is the first.
    """
    if not all(is_text(rows.types[name]) for name in names):
        return names[0]
    return max(names, key=lambda name: _length(rows, name))


def _length(rows: Rows, name: str) -> int:
    """Return the characters of a column of texts in its first 100 rows; -1 if it cannot be read, as not all have it."""
    try:
        start = next(rows.chunks([name]), None)
        return sum(len(cell or "") for cell in cells(start.columns[name])[:100]) if start else 0
    except (SourceError, TypeError):
        return -1


def common_schema(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return a schema that holds the values of two schemas of the same names; raise `ArrowInvalid` if none can."""
    fields = [(a, a) if a.equals(b) else (_plain(a), _plain(b)) for a, b in zip(one, other, strict=True)]
    wider = [pa.unify_schemas([pa.schema([a]), pa.schema([b])], promote_options="permissive") for a, b in fields]
    return pa.schema([schema.field(0) for schema in wider])


def _plain(field: pa.Field) -> pa.Field:
    """Return the field with type string if it holds texts in any Arrow type, else unchanged."""
    return field.with_type(pa.string()) if is_text(field.type) else field


def records(chunk: Chunk, modality: str, column: str) -> Iterator[Any]:
    """Yield the record of each row; raise `SourceError`, naming the row, for a value that is no record."""
    values = chunk.columns[column]
    if modality == "image":
        return _images(chunk, column, values)
    if modality == "jpeg":
        return (file(value, chunk.place(i), column) for i, value in enumerate(cells(values)))
    if modality == "series":
        return iter(_series(chunk, column, values))
    return iter(_texts(chunk, column, values))


def whole_texts(chunk: Chunk, column: str) -> Cells | None:
    """Return a column of texts as one, if it is read so and each row has one; else None, and `records` says why."""
    values = chunk.columns[column]
    if isinstance(values, pa.ChunkedArray) and is_text(values.type):
        try:
            values = column_of(values)
        except (UltError, pa.ArrowException, UnicodeError):
            return None
    return values if isinstance(values, Cells) and not values.nulls.any() else None


def wide(chunk: Chunk, fields: Sequence[str]) -> Iterator[Any]:
    """Yield each row of the number columns `fields` as a series, (len(fields),)."""
    if (found := parsed_together([chunk.columns[name] for name in fields])) is not None:
        return iter(found)
    columns = [numbers(chunk, name) for name in fields]
    return iter(np.column_stack(columns).astype(np.result_type(*columns), copy=False))


def numbers(chunk: Chunk, column: str) -> NDArray[Any]:
    """Return a column of numbers as an array (n,), with NaN for null and empty cells; raise `SourceError`."""
    values = chunk.columns[column]
    if isinstance(values, list):  # the cells of a .csv
        found = parsed(values)
        if found is None:
            wrong = chunk.place(next(i for i, cell in enumerate(values) if parsed([cell]) is None))
            raise SourceError(f"{wrong}: {column!r} is not a number; expected one or an empty cell")
        return found
    return np.asarray(values)


def parsed(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the numbers in cells of text, (n,) float64, NaN for an empty cell; None if a cell is no number."""
    texts = pa.array(cells, pa.string())
    try:
        found = pc.cast(pc.if_else(pc.equal(texts, ""), "nan", texts), pa.float64())
    except pa.ArrowInvalid:
        return None
    return np.asarray(found)


def parsed_together(columns: Sequence[Column]) -> NDArray[np.float64] | None:
    """Return the numbers in n cells of each of m columns of text, (n, m), as `parsed` does; None for other columns.

    A column by itself takes a tenth of a millisecond, however few cells it has.
    """
    if not columns or not all(isinstance(cells, list) for cells in columns):
        return None
    found = parsed([*itertools.chain.from_iterable(columns)])
    return None if found is None else np.ascontiguousarray(found.reshape(len(columns), -1).T)


def kept(chunk: Chunk, schema: pa.Schema) -> pa.Table:
    """Return the kept columns as an Arrow table of `schema`; raise `SourceError` if a value has another type."""
    arrays = []
    for field in schema:
        values = chunk.columns[field.name]
        try:
            if isinstance(values, pa.ChunkedArray):
                arrays.append(values.cast(field.type))
            elif isinstance(values, Cells):
                arrays.append(pa.array(values.tolist(), field.type))
            else:
                arrays.append(pa.array(values, field.type))
            arrays[-1].validate(full=True)  # a text column of a Parquet file may hold bytes that are not UTF-8
        except (pa.ArrowException, UnicodeError, OverflowError):
            place = f"{chunk.name}, {chunk.unit} {chunk.first} to {chunk.first + chunk.length - 1}"
            raise SourceError(
                f"{place}: {field.name!r} holds a value that is no {field.type}, so it cannot be kept"
            ) from None
    return pa.table(arrays, schema=schema)


def cells(values: Column) -> Sequence[Any]:
    """Return the values of a column, converted from Arrow to Python objects if need be."""
    return values.to_pylist() if isinstance(values, pa.ChunkedArray) else values  # type: ignore[no-any-return]


def _texts(chunk: Chunk, column: str, values: Column) -> Sequence[str]:
    try:
        texts: Sequence[str] = cells(values)
    except UnicodeDecodeError:
        raise SourceError(f"{chunk.place(0)} or soon after: {column!r} is not UTF-8") from None
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            met = "null" if text is None else type(text).__name__
            raise SourceError(f"{chunk.place(i)}: {column!r} is {met}; expected a text")
    return texts


def _images(chunk: Chunk, column: str, values: Column) -> Iterator[NDArray[Any]]:
    of_folder = bool(chunk.names) and files.is_folder(chunk.name)
    for i, value in enumerate(cells(values)):
        try:
            pixels = image(value, chunk, i, column)
        except SourceError as error:
            if not of_folder:
                raise
            raise left_out(error) from error
        yield pixels


def image(value: Any, chunk: Chunk, i: int, column: str) -> NDArray[Any]:
    """Return the pixels of value `i` of a column; raise `SourceError`, naming the row, if it is no image."""
    if isinstance(value, Frame):
        return value.pixels()
    if isinstance(value, np.ndarray):
        return _shaped(value, chunk.place(i))
    place = value if isinstance(value, str) else chunk.place(i)
    return to_pixels(file(value, place, column), place)


def file(value: Any, place: str, column: str) -> bytes:
    """Return the bytes of an image file: a value of a column, or what it names; raise `SourceError` if it has none."""
    if isinstance(value, str):
        try:
            return files.read_bytes(value)
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(f"{value} cannot be read: {error.strerror}") from error
    if isinstance(value, dict):
        value = value["bytes"]
    if isinstance(value, Frame):
        raise SourceError(f"{place} is no JPEG file", hint="--codec image/dct encodes the pixels of such files")
    if not isinstance(value, bytes):
        raise SourceError(f"{place}: {column!r} is null; expected the bytes of an image")
    return value


def _shaped(image: NDArray[Any], place: str) -> NDArray[Any]:
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.size == 0 or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise SourceError(f"{place} is an array {image.shape}; expected (h, w), (h, w, 3) or (h, w, 4)")
    return image


def _series(chunk: Chunk, column: str, values: Column) -> Sequence[NDArray[Any]]:
    if not isinstance(values, pa.ChunkedArray):
        return values  # type: ignore[no-any-return]
    lengths = pc.list_value_length(values).combine_chunks()
    if lengths.null_count:
        wrong = chunk.place(lengths.is_null().index(True).as_py())
        raise SourceError(f"{wrong}: {column!r} is null; expected a list of numbers")
    flat = pc.list_flatten(values).to_numpy(zero_copy_only=False)
    return np.split(flat, np.cumsum(lengths.to_numpy())[:-1]) if len(lengths) else []
