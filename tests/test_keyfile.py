"""Tables at rest: encrypted, mode 0600, never overwritten, whole or not at all."""

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pyrage
import pytest

from ult import Table, Vocabulary
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, OutputExists, WrongKey
from ult.owner import keyfile

SECRET = "zqxjkvw"  # what the table holds, and no file but the encrypted one may
TABLE = Table.fit([f"{SECRET} to be", f"{SECRET} to do"], vocabulary=Vocabulary(300), min_records=1)


def key(path):
    """Write an identity file; return its secret and its public key."""
    text, public = keyfile.keygen()
    keyfile.write(path, text.encode())
    return keyfile.read_identities(path)[0], public


@pytest.fixture
def owner(tmp_path):
    return key(tmp_path / "owner.key")


# ---- age: see test_age.py too


@pytest.mark.slow
def test_a_passphrase_opens_it_and_nothing_else_does(tmp_path):
    path, phrase = tmp_path / "t.ult", "correct horse ünïcode"
    TABLE.save(path, passphrase=phrase)
    assert keyfile.is_encrypted(path)
    assert keyfile.needs_passphrase(path)
    assert Table.load(path, passphrase=phrase).fingerprint == TABLE.fingerprint
    with pytest.raises(WrongKey, match="passphrase"):
        Table.load(path, passphrase="wrong")
    with pytest.raises(WrongKey, match="passphrase"):
        Table.load(path, identities=[key(tmp_path / "k")[0]])
    with pytest.raises(WrongKey, match="encrypted"):
        Table.load(path)


# ---- keys


def test_each_of_several_recipients_opens_it(tmp_path, owner):
    other = key(tmp_path / "other.key")
    TABLE.save(tmp_path / "t.ult", recipients=[owner[1], f" {other[1]}\n"])
    assert not keyfile.needs_passphrase(tmp_path / "t.ult")
    for secret in (owner[0], other[0]):
        assert Table.load(tmp_path / "t.ult", identities=[secret]).fingerprint == TABLE.fingerprint
    stranger = key(tmp_path / "stranger.key")[0]
    assert Table.load(tmp_path / "t.ult", identities=[stranger, owner[0]]).fingerprint == TABLE.fingerprint
    with pytest.raises(WrongKey, match="no identity"):
        Table.load(tmp_path / "t.ult", identities=[stranger])
    with pytest.raises(WrongKey, match="for recipients"):
        Table.load(tmp_path / "t.ult", passphrase="x")
    with pytest.raises(WrongKey, match="expected a passphrase or an identity"):
        Table.load(tmp_path / "t.ult")
    with pytest.raises(WrongKey, match="AGE-SECRET-KEY-1") as caught:
        Table.load(tmp_path / "t.ult", identities=[owner[0][:-1]])
    assert owner[0][20:-1] not in str(caught.value)


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"passphrase": "x", "recipients": ["age1x"]},
        {"passphrase": "x", "encrypt": False},
        {"recipients": ["age1x"], "encrypt": False},
        {"passphrase": ""},
        {"recipients": [""]},
        {"recipients": ["age1x"]},
        {"recipients": ["ssh-ed25519 AAAA"]},
    ],
)
def test_exactly_one_way_must_be_given(tmp_path, ways):
    with pytest.raises(InvalidConfig):
        TABLE.save(tmp_path / "t.ult", **ways)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "age1public\n", "\x00\xff", "AGE-SECRET-KEY-1A\nx\n"])
def test_refuses_what_is_no_identity_file(tmp_path, text):
    (tmp_path / "k").write_text(text, encoding="latin-1")
    with pytest.raises(WrongKey, match="not an identity file"):
        keyfile.read_identities(tmp_path / "k")


def test_what_is_not_there(tmp_path):
    for read in (Table.load, keyfile.read_identities, keyfile.is_encrypted):
        with pytest.raises(MissingSource):
            read(tmp_path / "t.ult")
    with pytest.raises(FormatError, match="is a folder; expected a table"):
        Table.load(tmp_path)


def test_a_file_larger_than_any_table_is_not_read(tmp_path):
    with (tmp_path / "t.ult").open("wb") as file:
        file.truncate(keyfile.MAX_BYTES + 1)
    with pytest.raises(FormatError, match="at most"):
        Table.load(tmp_path / "t.ult")


# ---- files


@pytest.mark.parametrize("umask", [0, 0o022, 0o277, 0o777])
@pytest.mark.parametrize("force", [False, True])
def test_mode_is_0600_whatever_the_umask(tmp_path, umask, force):
    path = tmp_path / "t.ult"
    if force:
        path.write_bytes(b"old")
        path.chmod(0o666)
    before = os.umask(umask)
    try:
        TABLE.save(path, encrypt=False, force=force)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Table.load(path).fingerprint == TABLE.fingerprint
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_overwritten_without_force(tmp_path):
    path = tmp_path / "t.ult"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExists, match="--force"):
        TABLE.save(path, encrypt=False)
    assert path.read_bytes() == b"precious"
    TABLE.save(path, encrypt=False, force=True)
    assert Table.load(path).fingerprint == TABLE.fingerprint
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExists):
        TABLE.save(link, encrypt=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "t.ult"]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    path, link = tmp_path / "t.ult", os.link

    def appear(source, target):
        Path(target).write_bytes(b"precious")
        link(source, target)

    monkeypatch.setattr(os, "link", appear)
    with pytest.raises(OutputExists):
        TABLE.save(path, encrypt=False)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("t.ult", b"precious")]


@pytest.mark.parametrize("function", ["fsync", "link", "mkdir", "fdopen"])
@pytest.mark.parametrize("fails", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch, function, fails):
    def stop(*_, **__):
        raise fails

    monkeypatch.setattr(os, function, stop)
    expected = OutputError if isinstance(fails, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        TABLE.save(tmp_path / "t.ult", encrypt=False)
    assert not list(tmp_path.iterdir())
    if expected is OutputError:
        assert "No space left" in str(caught.value)


@pytest.mark.parametrize("fails", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_replacement_keeps_what_was_there(tmp_path, monkeypatch, fails):
    path = tmp_path / "t.ult"
    path.write_bytes(b"precious")

    def stop(*_, **__):
        raise fails

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(OutputError if isinstance(fails, OSError) else KeyboardInterrupt):
        TABLE.save(path, encrypt=False, force=True)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("t.ult", b"precious")]


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "no" / "t.ult", tmp_path / "file" / "t.ult", tmp_path):
        for force in (False, True):
            with pytest.raises(OutputError):
                TABLE.save(path, encrypt=False, force=force)


@pytest.mark.parametrize("factor", [b"23", b"40", b"-1", b"1e9", b""])
def test_refuses_a_passphrase_file_that_asks_for_endless_work(factor, tmp_path):
    path = tmp_path / "t.ult"
    path.write_bytes(b"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA " + factor + b"\n" + bytes(100))
    with pytest.raises(FormatError, match="asks for more work"):
        keyfile.read(path, passphrase="anything")


@pytest.mark.slow
def test_a_busy_machine_neither_calls_a_file_damaged_nor_makes_its_passphrase_cheap_to_guess(tmp_path, monkeypatch):
    """The library measures the machine at each call: 15 to 20 were seen within a minute, and 15 does not open 20."""
    sealed, factors, asked = keyfile.encryptor(passphrase="p")(b"x"), [15, 16, 20], []

    def encrypt(payload, passphrase):
        return keyfile.AGE + b"-> scrypt c2FsdA %d\n" % factors.pop(0)

    def decrypt(data, passphrase):
        asked.append(passphrase)
        if len(asked) < 3 or data.endswith(b"never"):
            raise pyrage.DecryptError("Excessive work parameter for passphrase.\nDecryption would take ...")
        return b"x"

    monkeypatch.setattr(pyrage, "passphrase", SimpleNamespace(encrypt=encrypt, decrypt=decrypt))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert keyfile.encryptor(passphrase="p")(b"").endswith(b" 20\n")
    assert not factors
    (tmp_path / "busy").write_bytes(sealed)
    assert keyfile.read(tmp_path / "busy", passphrase="p") == b"x"
    assert len(asked) == 3
    (tmp_path / "never").write_bytes(sealed + b"never")
    with pytest.raises(FormatError, match="need not be damaged"):
        keyfile.read(tmp_path / "never", passphrase="p")
