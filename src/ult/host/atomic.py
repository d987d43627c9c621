"""Write files and folders that appear whole or not at all. Every output of the project is written in this way.

An output OUT is made in the hidden folder `.OUT.partial` beside it, of mode 0700:

    owner.json     the mark of the folder; a folder with neither this nor a journal was made by another program
    old            the old output, until the new one is in its place
    gone.*         old outputs that are being removed
    together.json  the list of outputs that appear together
    ...            the unfinished output

One process at a time holds the folder, by a lock that ends with the process. A finished output is synced, gets the mode
that the umask gives, and is renamed to OUT. The old output is renamed aside first, and put back if the second rename
fails. A process that is killed between the two leaves `old`; the next command that reads or writes OUT puts it back
before it removes anything. So at every moment either the old output or the new one exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ult.errors import OutputError, OutputExists, writing
from ult.host.disk import is_folder, overwrite, remove, settle, sync
from ult.host.lock import hold
from ult.host.portable import name_new

FORMAT = "ult-partial/1"
OWNER = "owner.json"
JOURNALS = {
    "progress.jsonl": "the finished parts of an encode",
    "recipe.json": "an unfinished training",
    "synth.json": "an unfinished synthesis",
}
_OLD, _GONE, _TOGETHER = "old", "gone.", "together.json"
_LONGEST = 200  # bytes in the longest name to which a prefix and a suffix can be added


def hidden(out: str | Path) -> Path:
    """Return the path of the hidden folder of an output."""
    out = Path(out)
    if out.name in ("", ".."):
        out = out.resolve()
    name = out.name
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{name[: _LONGEST // 4]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return out.parent / f".{name}.partial"


class Claim:
    """The hidden folder of an output, which this process holds until the `with` block ends and removes it.

    At first the folder holds only its mark: the remains of a killed command are removed, after the old output is put
    back. With `journal`, one of `JOURNALS`, unfinished work with that journal stays; set `keep` to leave the folder to
    the next command. With `wipe`, files are overwritten before they are removed. Raises `OutputExists` if another
    process holds the folder or another program made it, and `OutputError`.
    """

    def __init__(self, out: str | Path, *, journal: str | None = None, wipe: bool = False) -> None:
        self.out, self.folder, self.journal, self.wipe = Path(out), hidden(out), journal, wipe
        self.keep = False
        self._made: list[Path] = []  # parent folders that did not exist

    def __enter__(self) -> Self:
        with writing(self.out):
            self._make_parents()
            try:
                self._lock = hold(self.folder, self.out)
            except BaseException:
                self._remove_parents()
                raise
            try:
                self._begin()
            except BaseException:
                try:
                    with suppress(OSError):
                        if _is_ours(self.folder) and not self._journals():
                            self.discard()
                finally:
                    os.close(self._lock)
                    self._remove_parents()
                raise
        return self

    def _begin(self) -> None:
        if not _is_ours(self.folder):
            raise OutputExists(f"{self.folder} is in the way and is none of ours", hint="move it, or another --out")
        _recover(self.folder, self.out)
        if found := [name for name in self._journals() if name != self.journal]:
            raise OutputExists(
                f"{JOURNALS[found[0]]} of {self.out} is there, in {self.folder}",
                hint="the same command goes on from there; or remove that folder, or another --out",
            )
        if not (self.folder / OWNER).exists():
            mark = {"format": FORMAT, "output": self.out.name, "pid": os.getpid()}
            (self.folder / OWNER).write_text(json.dumps(mark) + "\n", encoding="utf-8")
        for gone in self.folder.glob(f"{_GONE}*"):
            self._remove(gone)
        if not self._journals():
            self.clear()

    def _journals(self) -> list[str]:
        return [name for name in JOURNALS if (self.folder / name).exists()]

    def clear(self, *keep: str) -> None:
        """Remove everything in the folder but its mark, the names in `keep`, and an old output not yet put back."""
        for path in sorted(self.folder.iterdir(), key=lambda path: (path.name in JOURNALS, path.name)):
            if path.name == _OLD and os.path.lexists(self.out):
                path = _mark_for_removal(self.folder)
            if path.name not in (OWNER, _OLD, *keep):
                self._remove(path)

    def _remove(self, path: Path) -> None:
        if self.wipe and path.is_file() and not path.is_symlink():
            overwrite(path)
        remove(path)

    def publish(
        self,
        new: Path,
        *,
        private: bool = False,
        exclusive: bool = False,
        modes: bool = True,
        owners: Collection[str] = (),
    ) -> None:
        """Rename `new`, a file or folder in the hidden folder, to the output, and replace an old output.

        Before that, `new` is synced and gets the mode that the umask gives, or 0600 with `private`; without `modes` it
        keeps its mode. Files in it whose names are in `owners` get 0600. With `exclusive`, a file that has appeared in
        the meantime is not replaced. Raises `OutputExists` or `OutputError`, and then nothing has changed.
        """
        with writing(self.out):
            settle(new, private=private, modes=modes, owners=owners)
            if exclusive:
                self._link(new)
            elif new.is_dir() or is_folder(self.out):
                self.exchange(new)
                self.forget_old()
            else:
                new.replace(self.out)
            self._made = []
            sync(self.out.parent)

    def _link(self, new: Path) -> None:
        try:
            name_new(new, self.out)
        except FileExistsError:
            raise OutputExists(f"{self.out} exists already", hint="another --out") from None

    def exchange(self, new: Path) -> None:
        """Rename the old output aside, then `new` to the output; put the old output back if that fails."""
        old = self.folder / _OLD
        try:
            if os.path.lexists(self.out):
                self.out.rename(old)
            new.rename(self.out)
        except BaseException:
            if os.path.lexists(old) and not os.path.lexists(self.out):
                old.rename(self.out)
            raise

    def forget_old(self) -> None:
        """Rename the old output so that it is removed and never put back."""
        if os.path.lexists(self.folder / _OLD):
            _mark_for_removal(self.folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.keep:
                return
            if error is None:
                with writing(self.out):
                    self.discard()
            else:
                with suppress(OSError):  # the first error says more
                    self.discard()
        finally:
            os.close(self._lock)
            self._remove_parents()

    def discard(self) -> None:
        """Remove the folder, and its mark last, so that the rest can be recognised at every moment.

        The removal is completed even if a signal interrupts it, because the folder may hold old records or the weights
        of a private run.
        """
        try:
            self._discard()
        except OSError:
            raise
        except BaseException:
            with suppress(OSError):
                self._discard()
            raise

    def _discard(self) -> None:
        if not self.folder.exists():
            return
        _recover(self.folder, self.out)
        self.clear()
        if not os.path.lexists(self.folder / _OLD):
            (self.folder / OWNER).unlink(missing_ok=True)
            self.folder.rmdir()

    def _make_parents(self) -> None:
        missing = [parent for parent in (self.out.parent, *self.out.parent.parents) if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir(exist_ok=True)
            self._made.insert(0, parent)

    def _remove_parents(self) -> None:
        for parent in self._made:
            with suppress(OSError):
                parent.rmdir()


@contextmanager
def whole(out: str | Path, *, private: bool = False, exclusive: bool = False, modes: bool = True) -> Iterator[Path]:
    """Yield a path for a new file or folder, which is renamed to `out` if the block ends without an error.

    Nothing exists at that path, and no other user may enter its parent folder. Raises as `Claim` and its `publish`.
    """
    with Claim(out) as claim:
        new = claim.folder / "new"
        yield new
        claim.publish(new, private=private, exclusive=exclusive, modes=modes)


def write_text(out: str | Path, text: str) -> None:
    """Write or replace a UTF-8 text file, whole or not at all. Raises `OutputExists` or `OutputError`."""
    with whole(out) as new, writing(Path(out)):
        new.write_text(text, encoding="utf-8")


def recover(out: str | Path) -> None:
    """Put back the old `out` that a killed command had renamed aside, or finish outputs that should appear together.

    Call it before reading or checking `out`. It removes nothing. It does nothing while the command still runs, or if
    this process has no permission.
    """
    out, folder = Path(out), hidden(out)
    if not os.path.lexists(folder / _OLD) and not os.path.lexists(folder / _TOGETHER):
        return
    with suppress(OSError):  # if `out` cannot be put back, its reader reports that it is missing
        lock = hold(folder, out, make=False)
        try:
            if _is_ours(folder):
                _recover(folder, out)
        finally:
            os.close(lock)


def _recover(folder: Path, out: Path) -> None:
    if os.path.lexists(folder / _TOGETHER):
        _finish_together(folder)
    old = folder / _OLD
    if os.path.lexists(old):
        if not os.path.lexists(out):
            old.rename(out)
            sync(out.parent)
        else:
            _mark_for_removal(folder)


def _is_ours(folder: Path) -> bool:
    """Return whether `ult` made a hidden folder: it is empty, or holds our mark or a journal."""
    names = {path.name.removesuffix(".tmp") for path in folder.iterdir()}
    if OWNER in names:
        try:
            mark = json.loads((folder / OWNER).read_bytes() or b"{}")
        except (OSError, ValueError, RecursionError):
            return len(names) == 1  # a kill cut the mark short
        return isinstance(mark, dict) and (mark.get("format") == FORMAT or len(names) == 1)
    return not names or not names.isdisjoint(JOURNALS)


def _mark_for_removal(folder: Path) -> Path:
    gone = folder / f"{_GONE}{secrets.token_hex(4)}"
    (folder / _OLD).rename(gone)
    return gone


# ---- what appears together


def publish_together(*outputs: tuple[Claim, Path, bool]) -> None:
    """Publish several outputs, all or none; each is a claim, the new file or folder, and whether it is private.

    The outputs are decided once the hidden folder of the first one holds `together.json`: if the process is killed
    after that, the next command that reads or writes one of them finishes all. Raises `OutputError`, and then nothing
    has changed.
    """
    for claim, new, private in outputs:
        with writing(claim.out):
            settle(new, private=private)
    names = [[str(claim.out.absolute()), new.name] for claim, new, _ in outputs]
    plan = json.dumps({"outputs": names, "token": secrets.token_hex(16)})
    done: list[tuple[Claim, Path]] = []
    try:
        for claim, _, _ in reversed(outputs):
            with writing(claim.out):
                fresh = claim.folder / (_TOGETHER + ".tmp")
                fresh.write_text(plan + "\n", encoding="utf-8")
                sync(fresh)
                fresh.replace(claim.folder / _TOGETHER)
                sync(claim.folder)
        for claim, new, _ in outputs:
            with writing(claim.out):
                done.append((claim, new))
                claim.exchange(new)
    except BaseException:
        for claim, new in reversed(done):
            _undo(claim, new)
        for claim, _, _ in outputs:
            (claim.folder / _TOGETHER).unlink(missing_ok=True)
        raise
    try:
        _sync_published(outputs)
    except OSError:
        raise
    except BaseException:  # a signal, after all outputs were renamed
        with suppress(OSError):
            _sync_published(outputs)
        raise


def _sync_published(outputs: Sequence[tuple[Claim, Path, bool]]) -> None:
    """Sync outputs that were renamed to their places, and remove what could undo that."""
    for claim, _, _ in outputs:
        with writing(claim.out):
            sync(claim.out.parent)
            claim.forget_old()
    for claim, _, _ in reversed(outputs):
        with writing(claim.out):
            (claim.folder / _TOGETHER).unlink(missing_ok=True)


def _undo(claim: Claim, new: Path) -> None:
    if not os.path.lexists(new):
        claim.out.rename(new)
    if os.path.lexists(claim.folder / _OLD):
        (claim.folder / _OLD).rename(claim.out)


def _finish_together(folder: Path) -> None:
    """Finish the outputs that a killed process had decided to publish, or give up those that it had only prepared."""
    try:
        told = (folder / _TOGETHER).read_bytes()
        plan = [(Path(out), Path(name).name) for out, name in json.loads(told)["outputs"]]
        others = [(hidden(out), out) for out, _ in plan if hidden(out).exists()]
        others = [(other, out) for other, out in others if not other.samefile(folder)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise OutputError(f"{folder / _TOGETHER} is damaged", hint=f"remove {folder}") from None
    with ExitStack() as locks:
        for other, out in others:
            locks.callback(os.close, hold(other, out, make=False))
        first = hidden(plan[0][0]) / _TOGETHER
        for out, name in plan if first.exists() and first.read_bytes() == told else ():
            _finish_one(out, hidden(out), name)
        for place in (*(hidden(out) for out, _ in reversed(plan)), folder):
            if (place / _TOGETHER).exists() and (place / _TOGETHER).read_bytes() == told:
                (place / _TOGETHER).unlink()


def _finish_one(out: Path, folder: Path, name: str) -> None:
    if name and os.path.lexists(folder / name):
        if os.path.lexists(out) and not os.path.lexists(folder / _OLD):
            out.rename(folder / _OLD)
        (folder / name).rename(out)
        sync(out.parent)
    if os.path.lexists(folder / _OLD):
        _mark_for_removal(folder)
