"""Tables at rest are standard age files: two independent readers open them, and we open theirs.

One is written in Python and is always there; the other is the age tool, where it is installed.
"""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from age.file import Decryptor, Encryptor
from age.keyloader import load_keys_txt
from age.keys.agekey import AgePrivateKey, AgePublicKey
from age.keys.password import PasswordKey
from cryptography.exceptions import InvalidSignature

from needed import needed
from ult import Table, Vocabulary
from ult.owner import keyfile

SECRET = "zqxjkvw"  # what the table holds, and no file but the encrypted one may
TABLE = Table.fit([f"{SECRET} to be", f"{SECRET} to do"], vocabulary=Vocabulary(300), min_records=1)
PHRASE = "correct horse \u00fcn\u00efcode"


class Python:
    """The reader in Python, `age` of the package index."""

    def decrypt(self, path: Path, identities: Path) -> bytes:
        return self._read(path, load_keys_txt(str(identities)))

    def decrypt_phrase(self, path: Path, phrase: str) -> bytes:
        return self._read(path, [PasswordKey(phrase.encode())])

    def _read(self, path: Path, keys: Any) -> bytes:
        return Decryptor(keys, io.BytesIO(path.read_bytes())).read()

    def encrypt(self, path: Path, recipient: str, data: bytes) -> None:
        with path.open("wb") as file, Encryptor([AgePublicKey.from_public_string(recipient)], file) as out:
            out.write(data)

    def keygen(self, path: Path) -> str:
        key = AgePrivateKey.generate()
        path.write_text(f"# a comment\n{key.private_string()}\n")
        return key.public_key().public_string()

    def public(self, path: Path) -> str:
        return load_keys_txt(str(path))[0].public_key().public_string()


class Tool:
    """The age tool, `age` and `age-keygen` of the system."""

    def __init__(self) -> None:
        self.age, self.generate = needed("age"), needed("age-keygen", package="age")

    def decrypt(self, path: Path, identities: Path) -> bytes:
        return self._run(self.age, "--decrypt", "-i", identities, path)

    def decrypt_phrase(self, path: Path, phrase: str) -> bytes:
        """It asks at a terminal; `pty.spawn` in a process of its own is one."""
        out = path.with_suffix(".opened")
        command = [self.age, "--decrypt", "-o", str(out), str(path)]
        terminal = f"import pty, sys; sys.exit(pty.spawn({command!r}))"
        self._run(sys.executable, "-c", terminal, data=f"{phrase}\n".encode())
        return out.read_bytes()

    def encrypt(self, path: Path, recipient: str, data: bytes) -> None:
        self._run(self.age, "-r", recipient, "-o", path, data=data)

    def keygen(self, path: Path) -> str:
        self._run(self.generate, "-o", path)
        return self.public(path)

    def public(self, path: Path) -> str:
        return self._run(self.generate, "-y", path).decode().strip()

    def _run(self, *command: object, data: bytes | None = None) -> bytes:
        words = [str(word) for word in command]
        return subprocess.run(words, input=data, capture_output=True, check=True, timeout=300).stdout


@pytest.fixture(params=[Python, Tool], ids=["python", "tool"])
def age(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def owner(tmp_path: Path) -> tuple[str, str]:
    """An identity file of ours, `owner.key`; its secret and its public key."""
    text, public = keyfile.keygen()
    keyfile.write(tmp_path / "owner.key", text.encode())
    return keyfile.read_identities(tmp_path / "owner.key")[0], public


def test_what_we_write_for_a_recipient_is_opened(age: Any, tmp_path: Path, owner: tuple[str, str]) -> None:
    payload = b""
    for _ in range(20):  # the reader in Python miscounts one header in five, by the random stanza that age files carry
        with contextlib.suppress(InvalidSignature):
            TABLE.save(tmp_path / "t.ult", recipients=[owner[1]], force=True)
            payload = payload or age.decrypt(tmp_path / "t.ult", tmp_path / "owner.key")
    document = json.loads(payload)
    assert document["format"].startswith("ult-table/")
    assert payload == json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert SECRET.encode() not in (tmp_path / "t.ult").read_bytes()


def test_what_others_write_is_opened_by_us(age: Any, tmp_path: Path, owner: tuple[str, str]) -> None:
    TABLE.save(tmp_path / "plain.ult", encrypt=False)
    age.encrypt(tmp_path / "t.ult", owner[1], (tmp_path / "plain.ult").read_bytes())
    assert Table.load(tmp_path / "t.ult", identities=[owner[0]]).fingerprint == TABLE.fingerprint


def test_our_identity_files_are_read(age: Any, tmp_path: Path, owner: tuple[str, str]) -> None:
    assert age.public(tmp_path / "owner.key") == owner[1]


def test_identity_files_of_others_are_read_by_us(age: Any, tmp_path: Path) -> None:
    public = age.keygen(tmp_path / "k")
    TABLE.save(tmp_path / "t.ult", recipients=[public])
    loaded = Table.load(tmp_path / "t.ult", identities=keyfile.read_identities(tmp_path / "k"))
    assert loaded.fingerprint == TABLE.fingerprint


def test_a_passphrase_of_ours_opens_it(age: Any, tmp_path: Path) -> None:
    TABLE.save(tmp_path / "t.ult", passphrase=PHRASE)
    TABLE.save(tmp_path / "plain", encrypt=False)
    assert age.decrypt_phrase(tmp_path / "t.ult", PHRASE) == (tmp_path / "plain").read_bytes()
