"""`ult rekey` and `ult shred`: change the key of a secret file, or destroy the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, Recipients, key_of, new_key
from ult.errors import InvalidConfig

Secret = Annotated[Path, typer.Argument(metavar="FILE", help="A table, or the rows of a run.")]


def rekey(
    file: Secret,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="A file whose first line is the new passphrase.")
    ] = None,
    recipient: Recipients = None,
    new_identity: Annotated[
        list[Path] | None, typer.Option(help="With --recipient: a secret key of one of them, to test the new file.")
    ] = None,
) -> None:
    """Encrypt a secret file for another key. The new file replaces it once it was opened and compared."""
    if (new_passphrase_file is None) == (not recipient) or bool(recipient) != bool(new_identity):
        raise InvalidConfig(
            "expected one new key, and for recipients also a secret key of one of them, to test the new file",
            hint="--new-passphrase-file FILE, or --recipient age1... --new-identity KEY",
        )
    from ult.cli.console import note, say
    from ult.owner import keyfile

    new = new_key(new_passphrase_file, recipient, no_encryption=False)
    keys = [key for path in new_identity or () for key in keyfile.read_identities(path)]
    keyfile.rekey(
        file,
        keyfile.encryptor(**new),
        new_passphrase=new["passphrase"],
        new_identities=keys,
        **key_of(file, passphrase_file, identity),
    )
    say(f"{file}: opens with the new key only")
    note("copies and backups of the old file still open with the old key")


def shred(
    file: Secret,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; this cannot be undone.")] = False,
) -> None:
    """Overwrite a secret file, and leave a tombstone that says so. This cannot be undone."""
    from ult.cli.console import note, say
    from ult.owner import keyfile

    keyfile.check_secret(file)
    if not yes:
        typer.confirm(f"destroy {file} irrevocably?", abort=True, err=True)
    digest = keyfile.shred(file)
    say(f"{file}: overwritten; a tombstone says what it was (SHA-256 {digest})")
    note(
        "not erased: other copies and backups; old blocks that a solid-state disk or a copy-on-write file system keeps;"
    )
    note("and not what shards hold (a substitution code, readable without the table) or what runs have learnt")
