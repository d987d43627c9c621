"""Read sequences of FASTA and FASTQ files, plain or packed by gzip.

A record is one sequence: its lines joined, its letters as they are, small ones too. The rest of the line that begins
with ">" or "@" is the column `header`, and in FASTQ the qualities are the column `quality`: both travel only if asked
for, and how lines were wrapped is dropped. Blank lines may stand between records.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa

from ult.data.packed import SUFFIX, open_plain
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, existing_text, not_utf8
from ult.errors import EmptySource, SourceError

FASTA = (".fasta", ".fa", ".fna", ".faa", ".ffn")
FASTQ = (".fastq", ".fq")
SUFFIXES = tuple(ending + packed for packed in ("", SUFFIX) for ending in (*FASTA, *FASTQ))
LONGEST = 2**30  # bytes of a line or a sequence
_LETTERS = (string.ascii_letters + "*-.").encode()  # "*" is a stop, "-" and "." are gaps
_QUALITIES = bytes(range(33, 127))

_Cells = tuple[str, str, str]  # header, sequence, quality


class SequenceRows(Rows):
    """The sequences of one file, as the column `sequence`, with `header` and, in FASTQ, `quality`."""

    column = "sequence"

    def __init__(self, name: str) -> None:
        self.name = name if name.lower().endswith(SUFFIX) else existing_text(name)
        self._fastq = name.lower().removesuffix(SUFFIX).endswith(FASTQ)
        names = ("header", "sequence", *(["quality"] if self._fastq else []))
        self.types = dict.fromkeys(names, pa.string())
        if next(self._records(), None) is None:
            raise EmptySource(f"{name} holds only blank lines; expected sequences")

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the sequences; raise `SourceError`, naming the line, at what is neither FASTA nor FASTQ."""
        first, pending, size = 1, list[_Cells](), 0
        for cells in self._records():
            pending.append(cells)
            size += sum(map(len, cells))
            if len(pending) == ROWS or size >= CHUNK_BYTES:
                yield self._chunk(columns, first, pending)
                first, pending, size = first + len(pending), [], 0
        if pending:
            yield self._chunk(columns, first, pending)

    def _chunk(self, columns: Sequence[str], first: int, records: list[_Cells]) -> Chunk:
        values = dict(zip(("header", "sequence", "quality"), map(list, zip(*records, strict=True)), strict=True))
        return Chunk(self.name, first, {name: values[name] for name in columns}, len(records), "sequence")

    def _records(self) -> Iterator[_Cells]:
        with open_plain(self.name) as file:
            lines = _Lines(self.name, file)
            yield from _fastq(lines) if self._fastq else _fasta(lines)


class _Lines:
    """The lines of a file without their ends; `number` is that of the line read last, from 1."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name, self.number, self._file = name, 0, file

    def next(self) -> bytes | None:
        """Return the next line, or None at the end of the file."""
        try:
            line = self._file.readline(LONGEST + 1)
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read: {error.strerror}") from error
        if not line:
            return None
        self.number += 1
        if len(line) > LONGEST:
            raise self.wrong(f"has more than {LONGEST:,} characters")
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def after_blank(self) -> bytes | None:
        """Return the next line that is not blank, or None at the end of the file."""
        while (line := self.next()) is not None and not line.strip():
            pass
        return line

    def wrong(self, what: str, hint: str = "") -> SourceError:
        """Return the error for the line read last."""
        return SourceError(f"{self.name}, line {self.number} {what}", hint=hint)

    def header(self, line: bytes) -> str:
        """Return a header without its mark; raise `SourceError` if it is not UTF-8."""
        try:
            return line[1:].decode("utf-8")
        except UnicodeDecodeError:
            raise not_utf8(self.name, f"{self.name}, line {self.number}") from None

    def letters(self, line: bytes, total: int) -> bytes:
        """Return a line of a sequence of which `total` letters came before; raise `SourceError` if it is none."""
        if strange := line.translate(None, _LETTERS):
            met = repr(chr(strange[0])) if strange[0] < 127 else f"byte {strange[0]:#04x}"
            raise self.wrong(f"holds {met} in a sequence; expected letters, '*', '-' or '.'")
        if total + len(line) > LONGEST:
            raise self.wrong(f"belongs to a sequence of more than {LONGEST:,} letters")
        return line


def _fasta(lines: _Lines) -> Iterator[_Cells]:
    line = lines.after_blank()
    while line is not None:
        if not line.startswith(b">"):
            raise lines.wrong("does not begin with '>'; expected the header of a sequence", _other(line))
        header, sequence, at = lines.header(line), bytearray(), lines.number
        while (line := lines.next()) and not line.startswith(b">"):
            sequence += lines.letters(line, len(sequence))
        if not sequence:
            raise SourceError(f"{lines.name}, line {at} is a header without a sequence; expected letters below it")
        yield header, sequence.decode("ascii"), ""
        if line is not None and not line:
            line = lines.after_blank()


def _fastq(lines: _Lines) -> Iterator[_Cells]:
    while (line := lines.after_blank()) is not None:
        if not line.startswith(b"@"):
            raise lines.wrong("does not begin with '@'; expected the header of a read", _other(line))
        header, sequence, quality = lines.header(line), bytearray(), bytearray()
        while (line := lines.next()) is not None and not line.startswith(b"+"):
            sequence += lines.letters(line, len(sequence))
        if line is None:
            raise _cut(lines, "'+' and qualities")
        if line[1:] and lines.header(line) != header:
            raise lines.wrong("names another read than the '@' before it; expected '+' alone or the same")
        while len(quality) < len(sequence) or not quality:
            if (line := lines.next()) is None:
                raise _cut(lines, "qualities")
            if line.translate(None, _QUALITIES):
                raise lines.wrong("holds a character that is no quality; expected '!' to '~'")
            quality += line
            if not sequence:
                break
        if len(quality) != len(sequence):
            raise lines.wrong(f"ends {len(quality)} qualities of {len(sequence)} letters; expected as many")
        yield header, sequence.decode("ascii"), quality.decode("ascii")


def _cut(lines: _Lines, expected: str) -> SourceError:
    return SourceError(f"{lines.name} is cut short: it ends after line {lines.number}; expected {expected} of a read")


def _other(line: bytes) -> str:
    """Return a hint if a line is of the other format."""
    marks = {b"@": "a .fastq file begins so: rename it", b">": "a .fasta file begins so: rename it"}
    return marks.get(line[:1], "")
