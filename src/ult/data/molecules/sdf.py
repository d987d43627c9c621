"""Read molecules of SDF and MOL files, by RDKit: each is the record of its canonical SMILES.

The SMILES holds atoms, bonds, charges, isotopes, and the configuration of atoms and double bonds. Coordinates, the
order of atoms, whether a hydrogen was drawn, groups of relative stereochemistry, and comments are dropped. The first
line of a molecule is the column `title`, and its data fields are columns of texts: they travel only if asked for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ult.data import files
from ult.data.packed import SUFFIX, open_plain
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, existing_text, listed, not_utf8
from ult.errors import EmptySource, SourceError
from ult.host.extras import require

SUFFIXES = (".sdf", ".sdf.gz", ".mol")
RECORD, TITLE = "smiles", "title"
LARGEST = 2**26  # bytes of one molecule with its data
_STOP = b"$$$$"
_FIELD = re.compile(r">.*?<(.*)>")


@dataclass(frozen=True, slots=True)
class _Block:
    """The lines of one molecule, as text: the first is its title; `first` and `last` are their numbers in the file."""

    number: int  # of the molecule, from 1
    first: int
    last: int
    lines: list[str]

    @property
    def end(self) -> int:
        """How many lines belong to the molecule itself; data fields follow."""
        return next((i for i, line in enumerate(self.lines, 1) if line.startswith("M  END")), 0)


class MoleculeRows(Rows):
    """The molecules of one file, as the column `smiles`, with `title` and the data fields of the first molecules.

    After a pass, `told` says how many molecules had stereochemistry that SMILES cannot hold.
    """

    column = RECORD

    def __init__(self, name: str) -> None:
        self.name = name if name.lower().endswith(SUFFIX) else existing_text(name)
        self._many = not name.lower().endswith(".mol")
        names: dict[str, None] = {RECORD: None, TITLE: None}
        self._twice: set[str] = set()
        for block in self._blocks():
            fields = [name for name, _ in _fields(block)]
            self._twice |= {name for name in fields if name in (RECORD, TITLE)}
            names |= dict.fromkeys(fields)
            if block.number == ROWS:
                break
        else:
            if not any(True for _ in self._blocks()):
                raise EmptySource(f"{name} holds no molecule; expected some")
        self.types = dict.fromkeys(names, pa.string())

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `MissingColumn` unless all of `names` are columns, `SourceError` if one means two things."""
        if twice := self._twice & set(names):
            raise SourceError(f"{self.name} has data fields {listed(sorted(twice))}, as other columns are called")
        super().check_columns(names)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the molecules; raise `SourceError`, naming molecule and line, at one that RDKit cannot read."""
        read = _Reader(self.name, self._many)
        first, rows, size = 1, list[Mapping[str, str]](), 0
        for block in self._blocks():
            rows.append(read.row(block, columns))
            size += sum(map(len, block.lines))
            if len(rows) == ROWS or size >= CHUNK_BYTES:
                yield self._chunk(columns, first, rows)
                first, rows, size = first + len(rows), [], 0
        self.told = read.told()
        if rows:
            yield self._chunk(columns, first, rows)

    def _chunk(self, columns: Sequence[str], first: int, rows: list[Mapping[str, str]]) -> Chunk:
        return Chunk(self.name, first, {c: [row.get(c) for row in rows] for c in columns}, len(rows), "molecule")

    def _blocks(self) -> Iterator[_Block]:
        """Yield the lines of each molecule; raise `SourceError` if the file ends inside one."""
        number, lines, size, at = 1, list[str](), 0, 0
        with open_plain(self.name) as file:
            while line := file.readline(LARGEST + 1):
                at += 1
                size += len(line)
                if size > LARGEST:
                    raise SourceError(
                        f"{self.name}: molecule {number} has more than {LARGEST:,} bytes; expected '$$$$' before"
                    )
                if self._many and line.startswith(_STOP):
                    yield _Block(number, at - len(lines), at, lines)
                    number, lines, size = number + 1, [], 0
                    continue
                try:
                    lines.append(line.rstrip(b"\r\n").decode("utf-8"))
                except UnicodeDecodeError:
                    raise not_utf8(self.name, f"{self.name}, line {at}") from None
        if not any(line.strip() for line in lines):
            return
        block = _Block(number, at - len(lines) + 1, at, lines)
        if self._many:
            whole = f"printf '$$$$\\n' >> {shlex.quote(self.name)}, if it is whole" if block.end == len(lines) else ""
            raise SourceError(f"{self.name} is cut short: its last molecule does not end with '$$$$'", hint=whole)
        yield block


class _Reader:
    """Makes columns of the lines of a molecule."""

    def __init__(self, name: str, many: bool) -> None:
        with require("rdkit", extra="molecule"):
            from rdkit import Chem, rdBase
        self._name, self._many, self._chem, self._silence = name, many, Chem, rdBase.BlockLogs
        self.relative = 0  # molecules whose stereochemistry is relative or a mixture

    def row(self, block: _Block, columns: Sequence[str]) -> Mapping[str, str]:
        """Return the cells of `columns` that the molecule has."""
        cells: dict[str, str] = {}
        for name, value in _fields(block):
            if name in cells and name in columns:
                raise SourceError(f"{self._place(block)} has the field {name!r} twice; expected it once")
            cells[name] = value
        cells[TITLE] = block.lines[0] if block.lines else ""
        if RECORD in columns:
            cells[RECORD] = self._smiles(block)
        return cells

    def told(self) -> list[str]:
        """Return sentences on what SMILES could not hold."""
        many = f"{self._name}: {self.relative:,} of the molecules have stereochemistry that is relative or a mixture"
        return [f"{many}; their SMILES hold one configuration"] if self.relative else []

    def _smiles(self, block: _Block) -> str:
        if not block.end:
            raise self._refused(block, "has no line 'M  END'")
        text = "\n".join(block.lines[: block.end])
        with self._silence():
            molecule = self._chem.MolFromMolBlock(text)
            if molecule is None:
                raise self._refused(block, f"cannot be read by RDKit: {self._why(text)}")
            if not molecule.GetNumAtoms():
                raise self._refused(block, "has no atoms")
            if any(one.HasQuery() for many in (molecule.GetAtoms(), molecule.GetBonds()) for one in many):
                raise self._refused(block, "is a query, which stands for many molecules")
            self.relative += any(
                group.GetGroupType() != self._chem.StereoGroupType.STEREO_ABSOLUTE
                for group in molecule.GetStereoGroups()
            )
            smiles: str = self._chem.MolToSmiles(molecule)
        return smiles

    def _why(self, text: str) -> str:
        """Return the kind of problem of a molecule, without what it holds."""
        molecule = self._chem.MolFromMolBlock(text, sanitize=False)
        if molecule is None:
            return "its lines are no mol block"
        kinds = {problem.GetType() for problem in self._chem.DetectChemistryProblems(molecule)}
        return ", ".join(sorted(kinds)) or "its lines are no mol block"

    def _refused(self, block: _Block, what: str) -> SourceError:
        hint = ""
        if self._many and not files.is_url(self._name) and not self._name.lower().endswith(SUFFIX):
            hint = f"sed '{block.first},{block.last}d' {shlex.quote(self._name)} > new.sdf leaves it out"
        return SourceError(f"{self._place(block)} {what}", hint=hint)

    def _place(self, block: _Block) -> str:
        return f"{self._name}, molecule {block.number} (line {block.first})"


def _fields(block: _Block) -> Iterator[tuple[str, str]]:
    """Yield name and text of each data field; a text ends at a blank line."""
    lines = iter(block.lines[block.end :])
    for line in lines:
        found = _FIELD.match(line)
        if found:
            value = []
            for more in lines:
                if not more:
                    break
                value.append(more)
            yield found.group(1), "\n".join(value)
