"""The life of a secret file after it was written: another key for it, and its end."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ult.errors import InvalidConfig, OutputError, OutputExists, WrongKey, writing
from ult.host import atomic
from ult.host.disk import overwrite, sync
from ult.owner import keyfile

_PLAIN = (b'"format":"ult-table/', b'"ult-rows/')  # what a table and rows hold that are not encrypted


def rekey(
    path: str | Path,
    encrypt: Callable[[bytes], bytes],
    *,
    passphrase: str | None = None,
    identities: Sequence[str] = (),
    new_passphrase: str | None = None,
    new_identities: Sequence[str] = (),
) -> None:
    """Encrypt a table's or rows' file anew, with `encrypt` of `ult.owner.keyfile.encryptor`, in its place.

    The old file stays until the new one lies beside it, was opened with the new passphrase or identities, and holds
    the same. The old key goes on opening every copy of the old file. Raises `WrongKey` if either key does not open,
    `MissingSource`, `FormatError` or `OutputError`.
    """
    path = keyfile.real(path)
    before = keyfile.read_raw(path)
    payload = keyfile.read(path, passphrase=passphrase, identities=identities)

    def check(fresh: Path) -> None:
        if keyfile.read(fresh, passphrase=new_passphrase, identities=new_identities) != payload:
            raise OutputError(f"what was written for {path} does not hold what it should; the old file is as it was")
        if keyfile.read_raw(path) != before:
            raise OutputError(f"{path} was changed meanwhile by another command and is left alone", hint="run it again")
        if (names := path.stat().st_nlink) > 1:
            raise OutputError(
                f"{path} has {names} names (hard links), and the others would go on opening with the old key; it is as "
                "it was",
                hint=f"find . -samefile {shlex.quote(str(path))} names them; remove the others",
            )

    data = encrypt(payload)
    if not data.startswith(keyfile.AGE):
        raise InvalidConfig("a file is given another key, not none", hint="--recipient or --new-passphrase-file")
    try:
        keyfile.write(path, data, force=True, check=check)
    except WrongKey as error:
        raise WrongKey(
            f"the new key does not open what was written for it; {path} is as it was", hint="--new-identity FILE"
        ) from error


def shred(path: str | Path) -> str:
    """Overwrite a secret file and leave a tombstone in its place; return the SHA-256 of what was there.

    What a killed command left hidden beside it is overwritten too, and a link is followed. The tombstone is the first
    that is written over the file, so a shred that was killed is finished by another, and a full disk hinders none. A
    file system that copies on write, a solid-state disk, a backup or another copy may hold the old bytes still.
    Raises `MissingSource`, `InvalidConfig` if it is no secret file of ours, or `OutputError`.
    """
    path = keyfile.real(path)
    data = keyfile.read_raw(path)
    stone = _begun(data)
    if stone and stone == data:
        if atomic.hidden(path).exists():
            with suppress(OutputExists), ExitStack() as held:  # which removes what a killed shred left hidden
                _claimed(path, held)
        raise InvalidConfig(f"{path} was shredded already; nothing was done")
    if not (stone or data.startswith(keyfile.AGE) or any(sign in data for sign in _PLAIN)):
        raise InvalidConfig(f"{path} is no table, no rows and no age file; nothing was done")
    if not stone:
        told = {"shredded": datetime.now(UTC).isoformat(timespec="seconds"), "sha256": sha256(data).hexdigest()}
        stone = keyfile.TOMBSTONE + json.dumps(told).encode()[1:] + b"\n"
    with ExitStack() as held:
        claim = _claimed(path, held)
        with writing(path):
            overwrite(path, stone)
            if claim is not None and path.stat().st_nlink == 1:
                with suppress(OSError):  # a full disk
                    _replace(claim, stone)
                    return str(json.loads(stone)["sha256"])
            os.truncate(path, len(stone))
            sync(path)
    return str(json.loads(stone)["sha256"])


def _begun(data: bytes) -> bytes:
    """Return the tombstone that a file begins with, nothing if there is none."""
    line, end, _ = data.partition(b"\n")
    try:
        return line + end if data.startswith(keyfile.TOMBSTONE) and end and "sha256" in json.loads(line) else b""
    except (ValueError, RecursionError):
        return b""


def _claimed(path: Path, held: ExitStack) -> atomic.Claim | None:
    """Return the hidden folder of a file, what lay in it overwritten; None on a disk that has no room for one."""
    try:
        return held.enter_context(atomic.Claim(path, wipe=True))
    except OutputExists:
        raise
    except OutputError:
        return None


def _replace(claim: atomic.Claim, stone: bytes) -> None:
    """Give the tombstone blocks of its own, so that no name leads to those of the secret."""
    new = claim.folder / "new"
    keyfile.put(new, stone, claim.out)
    claim.publish(new, private=True)
