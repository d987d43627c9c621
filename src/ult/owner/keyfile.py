"""The only code that reads or writes a secret at rest, a table or a run's rows: standard age files (https://age-encryption.org/v1).

An age file is opened by a passphrase or by X25519 identities; `age --decrypt` opens it too.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pyrage

from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, OutputExists, WrongKey, writing
from ult.host import arguments, atomic, regular
from ult.host.disk import overwrite, sync
from ult.host.free import check_free
from ult.host.near import near_file

MAX_BYTES = 256 * 2**20  # a larger file is no table of ours
MAX_WORK = 22  # scrypt's log2 N: 4 GiB and some 20 s
_WORK = 18  # as `age` has it; pyrage takes what a second allows, on a busy machine down to an eighth of that or less
_TRIES = 30  # pyrage refuses what takes 16 s by a clock that runs while others have the processor; it is asked again
AGE = b"age-encryption.org/v1\n"
TOMBSTONE = b'{"format": "ult-tombstone/1", '  # how a file begins that `shred` left
Passphrase = str | Callable[[], str | None]  # itself, or what asks for it, such as `getpass.getpass`
Identities = Sequence[str | Path]  # age secret keys (AGE-SECRET-KEY-1...), and files that hold some
_PLAIN = (b'"format":"ult-table/', b'"ult-rows/')  # what a table and rows hold that are not encrypted
_HOW = "--passphrase-file FILE, --identity FILE or ULT_PASSPHRASE"


def encryptor(
    *, passphrase: str | None = None, recipients: Sequence[str] = (), encrypt: bool = True
) -> Callable[[bytes], bytes]:
    """Return what turns a payload into the bytes to store; raise `InvalidConfig` unless exactly one way is given."""
    if (passphrase is not None) + bool(recipients) + (not encrypt) != 1:
        raise InvalidConfig(
            "a table is stored in exactly one way: with a passphrase, for recipients, or without encryption",
            hint="--passphrase-file FILE, --recipient age1..., or --no-encryption",
        )
    if passphrase is not None:
        if not passphrase:
            raise InvalidConfig("the passphrase is empty", hint="a passphrase of several words")
        return lambda payload: _by_passphrase(payload, passphrase)
    if not encrypt:
        return lambda payload: payload
    keys = [_recipient(text) for text in ([recipients] if isinstance(recipients, str) else recipients)]
    return lambda payload: bytes(pyrage.encrypt(payload, keys))


def _by_passphrase(payload: bytes, passphrase: str) -> bytes:
    """Encrypt; try again if a busy machine made pyrage choose parameters that are cheap to attack."""
    made = [bytes(pyrage.passphrase.encrypt(payload, passphrase))]
    while len(made) < 4 and _factor(made[-1]) < _WORK:
        made.append(bytes(pyrage.passphrase.encrypt(payload, passphrase)))
    return max(made, key=_factor)


def _recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except (pyrage.RecipientError, ValueError, AttributeError):  # the last if it is no text
        raise InvalidConfig("a recipient is not an age X25519 public key (age1...)", hint="ult keygen -o KEY") from None


def write(path: str | Path, data: bytes, *, force: bool = False, check: Callable[[Path], None] | None = None) -> None:
    """Write a secret file, mode 0600, whole or not at all; raise `OutputExists` if it is there, unless `force`.

    A link is followed, so that the file behind it is the one that is replaced. `check` is called with the new file
    before it takes its place; what it raises leaves all as it was.
    """
    path = real(path)
    check_place(path, force=force)
    with atomic.Claim(path) as claim:
        check_place(path, force=force)
        new = claim.folder / "new"
        put(new, data, path)
        if check is not None:
            check(new)
        claim.publish(new, private=True, exclusive=not force)


def real(path: str | Path) -> Path:
    """Return the file that a link leads to, because that file is the one to replace."""
    path = Path(path)
    try:
        return path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError):  # a link to itself
        raise OutputError(f"{path} is a link that leads nowhere") from None


def put(path: Path, data: bytes, about: Path) -> None:
    """Write a new file of mode 0600 which is published later; an error names `about`."""
    with writing(about), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def check_place(path: str | Path, *, force: bool = False) -> None:
    """Raise `OutputExists` if `path` is there and `force` is not set, `OutputError` if its folder is not."""
    path = Path(path)
    check_free(path, force=force)
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder", hint=f"mkdir -p {shlex.quote(str(path.parent))}")


def is_encrypted(path: str | Path) -> bool:
    """Return whether the file is an age file. Raises `MissingSource` if there is none."""
    return read_raw(path).startswith(AGE)


def needs_passphrase(path: str | Path) -> bool:
    """Return whether the file was encrypted with a passphrase: what its age header says in the clear."""
    return read_raw(path).startswith(AGE + b"-> scrypt ")


def read(path: str | Path, *, passphrase: str | None = None, identities: Sequence[str] = ()) -> bytes:
    """Return the payload. Raises `MissingSource`, `WrongKey` or `FormatError`; none of them says what is inside."""
    data = read_raw(path)
    if data.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----"):
        raise FormatError(f"{path} is an armoured age file; expected a binary one", hint="age without -a")
    if data.startswith(TOMBSTONE):
        raise MissingSource(f"{path} was shredded; only its tombstone is there", hint="a backup, if there is one")
    if not data.startswith(AGE):
        return data
    if passphrase is None and not identities:
        raise WrongKey(f"{path} is encrypted; expected a passphrase or an identity", hint=_HOW)
    try:
        if data.startswith(AGE + b"-> scrypt "):
            _check_work(data, path)
            if passphrase is None:
                raise WrongKey(f"{path} is encrypted with a passphrase; an identity does not open it", hint=_HOW)
            return _with_passphrase(data, passphrase, path)
        if not identities:
            raise WrongKey(f"{path} is encrypted for recipients; a passphrase does not open it", hint="--identity FILE")
        return bytes(pyrage.decrypt(data, [_identity(text) for text in identities]))
    except pyrage.DecryptError as error:
        reason = str(error).lower()
        if "decryption failed" in reason or "no matching keys" in reason:
            key = "the passphrase" if passphrase is not None and not identities else "no identity given"
            opens = "does not open it" if key == "the passphrase" else "opens it"
            raise WrongKey(f"{path}: {key} {opens}, or the file is damaged", hint=_HOW) from None
        raise FormatError(f"{path} is a damaged age file") from None


def _with_passphrase(data: bytes, passphrase: str, path: str | Path) -> bytes:
    for _ in range(_TRIES):
        try:
            return bytes(pyrage.passphrase.decrypt(data, passphrase))
        except pyrage.DecryptError as error:
            if not str(error).lower().startswith("excessive work"):
                raise
        time.sleep(0.1)
    raise FormatError(
        f"{path} asks for more work (scrypt factor {_factor(data)}) than this machine does in some 16 seconds, slow or "
        "busy as it is; it need not be damaged",
        hint="again once other programs have ended, or on a faster machine",
    )


def _check_work(data: bytes, path: str | Path) -> None:
    if not 0 <= _factor(data) <= MAX_WORK:
        raise FormatError(
            f"{path} asks for more work than any table of ours; expected a scrypt factor up to {MAX_WORK}"
        )


def _factor(data: bytes) -> int:
    """Return the scrypt factor in the header of a file with a passphrase, -1 if it is no number."""
    told = data[len(AGE) :].split(b"\n", 1)[0].split(b" ")[-1]
    return int(told) if told.isdigit() and len(told) <= 2 else -1


def read_raw(path: str | Path) -> bytes:
    """Return the file as it is stored."""
    atomic.recover(path)
    return _read(path, "a table", "ult fit writes one")


def _read(path: str | Path, expected: str, otherwise: str, *, pipe: bool = False) -> bytes:
    try:
        return regular.read(path, MAX_BYTES, pipe=pipe)
    except FileNotFoundError:
        raise MissingSource(f"{path} is not there; expected {expected}", hint=near_file(path, otherwise)) from None
    except IsADirectoryError:
        raise FormatError(f"{path} is a folder; expected {expected}", hint=otherwise) from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from None


def _identity(text: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(text.strip())
    except (pyrage.IdentityError, ValueError):
        raise WrongKey("an identity is not an age X25519 secret key (AGE-SECRET-KEY-1...)") from None


def keygen() -> tuple[str, str]:
    """Return a new identity file's text, as `age-keygen` writes it, and its public key."""
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return f"# created: {created}\n# public key: {public}\n{identity}\n", public


def read_identities(path: str | Path) -> list[str]:
    """Return the secret keys of an identity file, which may come through a pipe.

    Raises `MissingSource`, `FormatError` or `WrongKey`.
    """
    text = _read(path, "an identity file", "ult keygen -o KEY writes one", pipe=True).decode("utf-8-sig", "replace")
    keys = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not keys or not all(key.startswith("AGE-SECRET-KEY-1") for key in keys):
        raise WrongKey(f"{path} is not an identity file", hint="ult keygen -o KEY writes one")
    return keys


def told(passphrase: Passphrase | None) -> str | None:
    """Return the passphrase, asking for it if it is a function."""
    said = passphrase() if callable(passphrase) else passphrase
    if said is not None and not isinstance(said, str):
        arguments.secret("passphrase", said)
    return said


def secret_keys(identities: Identities) -> list[str]:
    """Return age secret keys: those that are given, and those of files. Raises as `read_identities`."""
    if isinstance(identities, str | Path):  # or each letter would be taken for a key
        identities = [identities]
    return [key for one in identities for key in (read_identities(one) if isinstance(one, Path) else [one])]


def session_key() -> str:
    """Return a new key for `seal` and `unseal`; it is never stored, so it ends with the processes that have it."""
    return str(pyrage.x25519.Identity.generate())


def seal(data: bytes, key: str) -> bytes:
    """Return `data` encrypted, to pass it through a program that may write it to a disk."""
    return bytes(pyrage.encrypt(data, [_identity(key).to_public()]))


def unseal(data: bytes, key: str) -> bytes:
    """Return the data that was sealed; raise `WrongKey` for another key or altered data."""
    try:
        return bytes(pyrage.decrypt(data, [_identity(key)]))
    except pyrage.DecryptError:
        raise WrongKey("what was sealed does not open: it was altered, or sealed with another key") from None


# ---- another key, and the end


def rekey(
    path: str | Path,
    encrypt: Callable[[bytes], bytes],
    *,
    passphrase: str | None = None,
    identities: Sequence[str] = (),
    new_passphrase: str | None = None,
    new_identities: Sequence[str] = (),
) -> None:
    """Encrypt a table's or rows' file anew, with `encrypt` of `encryptor`, in its place.

    The old file stays until the new one lies beside it, was opened with the new passphrase or identities, and holds
    the same. The old key goes on opening every copy of the old file. Raises `WrongKey` if either key does not open,
    `MissingSource`, `FormatError` or `OutputError`.
    """
    path = real(path)
    before = read_raw(path)
    payload = read(path, passphrase=passphrase, identities=identities)

    def check(fresh: Path) -> None:
        if read(fresh, passphrase=new_passphrase, identities=new_identities) != payload:
            raise OutputError(f"what was written for {path} does not hold what it should; the old file is as it was")
        if read_raw(path) != before:
            raise OutputError(f"{path} was changed meanwhile by another command and is left alone", hint="run it again")
        if (names := path.stat().st_nlink) > 1:
            raise OutputError(
                f"{path} has {names} names (hard links), and the others would go on opening with the old key; it is as "
                "it was",
                hint=f"find . -samefile {shlex.quote(str(path))} names them; remove the others",
            )

    data = encrypt(payload)
    if not data.startswith(AGE):
        raise InvalidConfig("a file is given another key, not none", hint="--recipient or --new-passphrase-file")
    try:
        write(path, data, force=True, check=check)
    except WrongKey as error:
        raise WrongKey(
            f"the new key does not open what was written for it; {path} is as it was", hint="--new-identity FILE"
        ) from error


def shred(path: str | Path) -> str:
    """Overwrite a secret file and leave a tombstone in its place; return the SHA-256 of what was there.

    A link is followed, and what a killed command left hidden beside the file is overwritten too. The tombstone is
    written over the file first, so another shred finishes one that was killed, and a full disk is no obstacle. A file
    system that copies on write, a solid-state disk, a backup or another copy may still hold the old bytes.
    Raises `MissingSource`, `InvalidConfig` if it is no secret file of ours, or `OutputError`.
    """
    path, data = check_secret(path)
    stone = _begun(data)
    if stone and stone == data:
        if atomic.hidden(path).exists():
            with suppress(OutputExists), ExitStack() as held:  # which removes what a killed shred left hidden
                _claimed(path, held)
        raise InvalidConfig(f"{path} was shredded already; nothing was done")
    if not stone:
        told = {"shredded": datetime.now(UTC).isoformat(timespec="seconds"), "sha256": sha256(data).hexdigest()}
        stone = TOMBSTONE + json.dumps(told).encode()[1:] + b"\n"
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


def check_secret(path: str | Path) -> tuple[Path, bytes]:
    """Return where a secret file of ours is stored, and what is; a tombstone is one too.

    Raises `MissingSource`, or `InvalidConfig` if it is another file.
    """
    path = real(path)
    data = read_raw(path)
    if not (_begun(data) or data.startswith(AGE) or any(sign in data for sign in _PLAIN)):
        raise InvalidConfig(f"{path} is no table, no rows and no age file; nothing was done", hint="ult shred TABLE")
    return path, data


def _begun(data: bytes) -> bytes:
    """Return the tombstone at the start of a file; empty if there is none."""
    line, end, _ = data.partition(b"\n")
    try:
        return line + end if data.startswith(TOMBSTONE) and end and "sha256" in json.loads(line) else b""
    except (ValueError, RecursionError):
        return b""


def _claimed(path: Path, held: ExitStack) -> atomic.Claim | None:
    """Return the hidden folder of a file, its old content overwritten; None if the disk has no room for a folder."""
    try:
        return held.enter_context(atomic.Claim(path, wipe=True))
    except OutputExists:
        raise
    except OutputError:
        return None


def _replace(claim: atomic.Claim, stone: bytes) -> None:
    """Replace the file by the tombstone, so that no name leads to the blocks that held the secret."""
    new = claim.folder / "new"
    put(new, stone, claim.out)
    claim.publish(new, private=True)
