"""`ult.forget.lineage`: every artefact in some folders that still holds records, from manifests and digests alone.

Nothing is guessed: what does not say from which shards or runs it was made cannot be told. What a folder does not hold,
such as copies elsewhere, backups and files in the clear, is not looked at.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ult.errors import InvalidConfig, MissingSource, UltError
from ult.host import arguments
from ult.host.arguments import checked
from ult.host.cache import places
from ult.host.regular import read_text
from ult.host.shown import Facts, Shown, count
from ult.public.gone import Gone, Lot
from ult.public.guarantee import composed
from ult.public.manifest import Manifest, is_shards
from ult.public.metrics import METHODS
from ult.public.run import MEMBERS, Run
from ult.public.shards import Shards
from ult.public.synthetic import Synthetic
from ult.trainer.datasets.parting import part_of
from ult.trainer.forgetting.artefacts import Artefacts, read_or_why
from ult.trainer.part import Part

Verdict: TypeAlias = Literal["holds", "does not hold", "cannot be told"]
HOLDS: Final = "holds"
FREE: Final = "does not hold"
UNKNOWN: Final = "cannot be told"
_MOST = 2**26  # bytes of a file of JSON
_STONE = b'{"format": "ult-tombstone/'  # how a file begins that `ult shred` left


class Entry(NamedTuple):
    """What one artefact has to do with the records, and why."""

    path: Path
    kind: str  # shards, run, member, checkpoints, packed ids, table, loose file, link
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True, repr=False)
class Lineage(Shown):
    """All artefacts that were found, by their paths."""

    entries: tuple[Entry, ...]

    def facts(self) -> Facts:
        """Return how many artefacts hold the records, do not, or cannot be told."""
        verdicts = [one.verdict for one in self.entries]
        return [(verdict, f"{verdicts.count(verdict):,}") for verdict in (HOLDS, UNKNOWN, FREE)]

    def remarks(self) -> tuple[str, ...]:
        """Return what was not looked at."""
        return ("not looked at: other folders, copies and backups, records in the clear, and what was given away",)


@checked(
    rows=arguments.path_or("gone.rows or shards: a path, or ult.forget.Gone", lambda one: isinstance(one, Gone)),
    among=arguments.one_or_more(arguments.path, "folders to look in"),
)
def lineage(rows: Gone | str | Path, among: str | Path | Sequence[str | Path]) -> Lineage:
    """Return every artefact below the folders `among` with its verdict on the records that `rows` names.

    `rows` is a file of `ult forget find`, or a shards folder, all of whose records are meant. Artefacts are shards,
    runs and their members, checkpoints of unfinished trainings, tables, and the packed ids of `ult train --keep-packed`
    in the cache of this user. Raises `MissingSource`, `FormatError` or `InvalidConfig`.

    For example, after `ult.forget.find`:

        ult.forget.lineage("gone.rows", ".")
    """
    gone = rows if isinstance(rows, Gone) else _gone(Path(rows))
    folders = [Path(one) for one in ([among] if isinstance(among, str | Path) else among)]
    for folder in folders:
        if not folder.is_dir():
            raise MissingSource(f"{folder} is no folder; expected one in which artefacts lie", hint="--among FOLDER")
    found = Artefacts.of(folders)
    entries = [*_Judge(gone, found).entries(), *_packed(gone)]
    return Lineage(tuple(sorted(entries, key=lambda one: one.path)))


def _gone(path: Path) -> Gone:
    """Return the records that a file names, or all those of shards."""
    if not path.is_dir():
        return Gone.read(path)
    if not is_shards(path):
        raise InvalidConfig(f"{path} holds no shards; expected gone.rows, or shards", hint="ult forget find")
    told = Shards(path).manifest
    return Gone((Lot(told.digest, told.rows, tuple(range(told.rows))),), path)


@dataclass(slots=True)
class _Judge:
    """The records in question, and what is known of the artefacts beside each other."""

    gone: Gone
    found: Artefacts
    _digests: dict[str, Path] = field(default_factory=dict)  # of runs
    _judged: dict[Path, Entry] = field(default_factory=dict)

    def entries(self) -> Iterator[Entry]:
        """Yield the verdict on each artefact."""
        for path, told in sorted(self.found.runs.items(), key=_less_telling):
            if not isinstance(told, str) and isinstance(digest := read_or_why(partial(_digest, path)), str):
                self._digests.setdefault(digest, path)
        for path, manifest in self.found.shards.items():
            yield Entry(path, "shards", *self.shards(manifest))
        for path in self.found.runs:
            yield self.run(path)
        for path, group in self.found.bodies.items():
            yield Entry(path, "body", *self._body(group))
        for path, made in self.found.synthetic.items():
            yield Entry(path, "synthetic", *self._synthetic(made))
        for path in self.found.hidden:
            yield self._hidden(path)
        for path in self.found.tables:
            yield Entry(path, "table", *_table(path))
        for path in self.found.loose:
            yield Entry(path, "loose file", UNKNOWN, "it lies in no run and no shards that say what it was made of")
        for path in self.found.links:
            yield Entry(path, "link", UNKNOWN, f"not followed: --among {shlex.quote(str(path.resolve()))} looks there")

    # ---- shards

    def shards(self, manifest: Manifest | str) -> tuple[Verdict, str]:
        """Return the verdict on shards."""
        if isinstance(manifest, str):
            return UNKNOWN, manifest
        lots = {lot.digest: lot for lot in self.gone.lots}
        stones = manifest.forgotten
        taken = [stone for stone in stones if stone.gone == self.gone.digest]
        if taken:
            return FREE, f"{count(taken[0].rows, 'record')} taken out on {taken[0].when}"
        if (lot := lots.get(manifest.digest)) is not None:
            rows = len(lot.every)
            return (HOLDS, f"{count(rows, 'record')} of {manifest.rows:,}") if rows else (FREE, "searched")
        if manifest.written_by is not None:
            return self._made("a run wrote it", manifest.written_by)
        for stone in reversed(stones):
            if (lot := lots.get(stone.of)) is not None:
                return (
                    (HOLDS, "others were taken out of it, not these") if lot.every else (FREE, "searched, then smaller")
                )
        return UNKNOWN, "not searched: ult forget find --shards with it"

    def _lots(self, lots: Sequence[Mapping[str, Any]], without: Sequence[Mapping[str, Any]]) -> tuple[Verdict, str]:
        """Return the verdict on what was trained on shards, as metrics or a journal summarise them."""
        rows = {lot.digest: len(lot.every) for lot in self.gone.lots}
        left_out = self.gone.digest in [one.get("digest") for one in without]
        untold = ""
        for lot in lots:
            digest, name = lot.get("digest"), str(lot.get("name", "shards"))
            if digest is None:
                untold = untold or "it does not say which shards it was trained on"
            elif rows.get(digest):
                if not left_out:
                    return HOLDS, f"trained on {name}, which holds {count(rows[digest], 'record')}"
            elif digest not in rows:
                verdict, why = self._by_digest(digest)
                if verdict == HOLDS:
                    return HOLDS, f"trained on {name}: {why}"
                if verdict == UNKNOWN:
                    untold = untold or f"trained on {name}, which was not searched"
        return (
            (UNKNOWN, untold) if untold else (FREE, "trained without them" if left_out else "trained on none of them")
        )

    def _by_digest(self, digest: str) -> tuple[Verdict, str]:
        """Return the verdict on the shards of a digest, if they are among the artefacts."""
        for manifest in self.found.shards.values():
            if isinstance(manifest, Manifest) and manifest.digest == digest:
                return self.shards(manifest)
        return UNKNOWN, "not there"

    # ---- runs

    def run(self, path: Path) -> Entry:
        """Return the entry of a run, or of a member of one."""
        if path not in self._judged:
            self._judged[path] = Entry(path, "run", UNKNOWN, "it was made from itself")  # while it is being judged
            told = self.found.runs[path]
            kind = "member" if path.parent.name == MEMBERS and path.parent.parent in self.found.runs else "run"
            judged: tuple[Verdict, str] = (UNKNOWN, str(told))  # why it cannot be read
            if not isinstance(told, str):
                judged = self._run(path, told, member=kind == "member")
            self._judged[path] = Entry(path, kind, *judged)
        return self._judged[path]

    def _run(self, path: Path, told: Mapping[str, Any], *, member: bool) -> tuple[Verdict, str]:
        if member and (whole := self.found.runs[path.parent.parent]) and not isinstance(whole, str):
            above = self.run(path.parent.parent)
            if above.verdict == FREE or (above.verdict == HOLDS and whole.get("forgotten") and not told.get("part")):
                return above.verdict, f"as the run that it is a member of: {above.why}"
        verdicts = [
            self._made(f"{how} {one['run']}", one["digest"])
            for name, how in (
                ("distilled", "distilled from"),
                ("averaged", "averaged of"),
                ("compatible", "trained to agree with"),
            )
            for one in told.get(name) or []
        ]
        if _released(told):  # it names no shards: it is what it was made from
            verdicts.append(self._made("released", told.get("from_digest")))
        else:
            verdicts.append(self._trained(told))
            if told.get("federated") is not None:
                verdicts.append(self._together(told["federated"], but=path))
            if (began := told.get("from_run")) is not None and not told.get("adopted"):
                verdicts.append(self._began(str(began), told))
        if told.get("adopted"):
            verdicts.append((UNKNOWN, "another trainer wrote it, nobody can say on what"))
        verdict, why = _worst(verdicts)
        return verdict, why + self._bounded(told, verdict)

    def _trained(self, told: Mapping[str, Any]) -> tuple[Verdict, str]:
        """Return the verdict on what a run was itself trained, and evaluated, on."""
        held = (told.get("validation") or {}).get("shards", [])
        found = self._lots([*told["shards"], *told.get("targets", []), *held], told.get("without", []))
        if found[0] == HOLDS and (part := told.get("part")):
            return self._of_part(str(part.get("part")), [lot.get("digest") for lot in told["shards"]], found)
        return found

    def _began(self, name: str, told: Mapping[str, Any]) -> tuple[Verdict, str]:
        """Return the verdict on what a run went on from: by its digest, else by the shards that it was trained on."""
        digest, before = told.get("from_digest"), told.get("trained_before")
        if digest in self._digests:
            return self._made(f"went on from {name}", digest)
        if before is None:
            return UNKNOWN, f"went on from {name}, which is not here, and does not say on what that was trained"
        verdict, why = self._lots([{"digest": one, "name": f"shards of {name}"} for one in before], [])
        return (UNKNOWN, f"went on from {name}, which is not here: {why}") if verdict == HOLDS else (verdict, why)

    def _made(self, how: str, digest: str | None) -> tuple[Verdict, str]:
        """Return the verdict on what a run of this digest made."""
        if digest is None or digest not in self._digests:
            named = "of which nothing is known" if digest is None else f"of digest {digest[:16]}, which is not here"
            return UNKNOWN, f"{how}, {named}"
        base = self.run(self._digests[digest])
        return base.verdict, f"{how}, {base.path}: {base.why}"

    def _of_part(self, part: str, digests: Sequence[str | None], whole: tuple[Verdict, str]) -> tuple[Verdict, str]:
        """Return the verdict on a run that saw a part of the records: the ids of a record say of which part it is."""
        mine = Part.read(part)
        for lot in self.gone.lots:
            if lot.digest not in digests or not lot.every:
                continue
            path = next(
                (p for p, m in self.found.shards.items() if isinstance(m, Manifest) and m.digest == lot.digest), None
            )
            if path is None:
                return (
                    UNKNOWN,
                    f"trained on part {part} of the records; the shards that tell of which part are not here",
                )
            rows = set(lot.every)
            for number, ids in enumerate(Shards(path).ids()):
                if number in rows and part_of(ids, mine.of) == mine.number:
                    return HOLDS, f"{whole[1]}, one of part {part}"
        return FREE, f"trained on part {part} of the records, which has none of these"

    @staticmethod
    def _bounded(told: Mapping[str, Any], verdict: str) -> str:
        """Return what a promise says of what is held."""
        if verdict != HOLDS:
            return ""
        forgotten = told.get("forgotten") or {}
        if told.get("against") or forgotten.get("method") in METHODS[2:]:
            return f"; trained against some by {forgotten.get('method', 'a method')}, which guarantees nothing"
        if forgotten.get("epsilon") is not None:
            return f"; by no more than epsilon {forgotten['epsilon']:.3g} for each, of its base"
        account = composed(told)
        return f"; each by no more than {account}" if account else ""

    # ---- what several owners trained together, and what a run wrote in the clear

    def _together(self, told: Mapping[str, Any], but: Path | None = None) -> tuple[Verdict, str]:
        """Return the verdict on a body that was trained together, by the runs of its owners that are here."""
        group, owners = told.get("group"), told.get("owners")
        runs = {
            path: one
            for path, one in self.found.runs.items()
            if not isinstance(one, str) and (one.get("federated") or {}).get("group") == group
        }
        found = {path: self._trained(one) for path, one in runs.items() if path != but}
        for path, (verdict, _) in found.items():
            if verdict == HOLDS:
                return HOLDS, f"its body was trained together with {path}, which holds them"
        if len(runs) == owners and all(verdict == FREE for verdict, _ in found.values()):
            return FREE, "none of the owners who trained its body had them"
        return UNKNOWN, f"its body was trained by {owners} owners together, of whom not all are here, or can be told"

    def _body(self, told: Mapping[str, Any] | str) -> tuple[Verdict, str]:
        if isinstance(told, str):
            return UNKNOWN, told
        if "group" in told:
            return self._together(told)
        began = told.get("from_run")
        return (UNKNOWN, f"it began with run {began}") if began else (FREE, "drawn, and not trained yet")

    def _synthetic(self, made: Synthetic | str) -> tuple[Verdict, str]:
        if isinstance(made, str):
            return UNKNOWN, made
        verdict, why = self._made("a run wrote it", made.run)
        bound = f"; it promises {made.account}" if made.account is not None and verdict != FREE else ""
        return verdict, why + bound

    # ---- what lies hidden

    def _hidden(self, path: Path) -> Entry:
        """Return the entry of the folder that an unfinished command left."""
        journal = path / "recipe.json"
        if not journal.is_file():
            return Entry(path, "unfinished", UNKNOWN, "left by an unfinished command: run it again, or remove it")
        try:
            asked = dict(json.loads(read_text(journal, _MOST)))
            data, began = asked["data"], (asked.get("recipe") or {}).get("from_run")
            lots = [lot for name in ("shards", "targets", "validation") for lot in data.get(name, [])]
            learned = [one for name in ("teachers", "compatible") for one in data.get(name, [])]
            verdict, why = _worst([
                self._lots(lots, data.get("without", [])),
                *(self._made(f"learns from {one['run']}", one["digest"]) for one in learned),
                *(self._made("trains against records", one["of"]) for one in data.get("forgetting", [])
                  if one["method"] in METHODS[2:]),
                *([self._at(str(began), path.parent)] if began else []),
            ])  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UltError):
            verdict, why = UNKNOWN, "its journal is damaged"
        return Entry(path, "checkpoints", verdict, f"an unfinished training: {why}")

    def _at(self, name: str, beside: Path) -> tuple[Verdict, str]:
        """Return the verdict on the run that a training begins with, by its path, from here or from where that lies."""
        places = {Path(name).resolve(), (beside / name).resolve()}
        there = next((path for path in self.found.runs if path.resolve() in places), None)
        if there is None:
            return UNKNOWN, f"goes on from {Path(name).name}, which is not here"
        judged = self.run(there)
        return judged.verdict, f"goes on from {there}: {judged.why}"


def _worst(verdicts: Sequence[tuple[Verdict, str]]) -> tuple[Verdict, str]:
    """Return the first verdict that holds, else the first that cannot be told, else the first."""
    return next((one for kind in (HOLDS, UNKNOWN, FREE) for one in verdicts if one[0] == kind), (FREE, ""))


def _digest(path: Path) -> str:
    return Run.open(path).digest()


def _less_telling(one: tuple[Path, Mapping[str, Any] | str]) -> tuple[bool, bool]:
    """Order runs of one digest: a copy that was released says less, and a member depends on the run that it is of."""
    return _released(one[1]), one[0].parent.name == MEMBERS


def _released(told: Mapping[str, Any] | str) -> bool:
    return not isinstance(told, str) and "release" in told


def _table(path: Path) -> tuple[Verdict, str]:
    with path.open("rb") as file:
        if file.read(len(_STONE)) == _STONE:
            return FREE, "shredded"
    return UNKNOWN, "a table does not say: ult forget table says whether a byte of it changes"


def _packed(gone: Gone) -> Iterator[Entry]:
    """Yield the entries of packed ids that trainings keep in the cache of this user."""
    held = {lot.digest for lot in gone.lots if lot.every}
    for above in places():
        for entry in sorted((above / "packed").glob("*/entry.json")):
            try:
                what = json.loads(read_text(entry, _MOST))["what"]
                digests = {digest for name in ("shards", "targets", "validation") for digest in what.get(name, [])}
                left_out = gone.digest in what.get("without", [])
            except (OSError, ValueError, KeyError, TypeError, AttributeError, UltError):
                yield Entry(entry.parent, "packed ids", UNKNOWN, "its entry is damaged")
                continue
            if digests & held and not left_out:
                yield Entry(entry.parent, "packed ids", HOLDS, "kept by ult train --keep-packed: remove the folder")
