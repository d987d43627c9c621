"""`ult rekey` and `ult shred`: another key for a secret file, and its destruction."""

import errno
import hashlib
import json
import os

import pytest

from ult import Table, Vocabulary
from ult.errors import InvalidConfig, MissingSource, OutputError, WrongKey
from ult.host import atomic
from ult.owner import keyfile
from ult.owner.keyfile import rekey, shred

pytestmark = pytest.mark.usefixtures("cheap_passphrases")

TABLE = Table.fit(["to be or not", "to do or not"], vocabulary=Vocabulary(300), min_records=1)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A table under a passphrase, as bytes."""
    path = tmp_path_factory.mktemp("old") / "t.ult"
    TABLE.save(path, passphrase="old words")
    return path.read_bytes()


@pytest.fixture
def old(encrypted, tmp_path):
    (tmp_path / "t.ult").touch(mode=0o600)
    (tmp_path / "t.ult").write_bytes(encrypted)
    return tmp_path / "t.ult"


def owner(path):
    text, public = keyfile.keygen()
    keyfile.write(path, text.encode())
    return keyfile.read_identities(path), public


def test_a_new_passphrase_opens_and_the_old_one_does_not(old):
    rekey(old, keyfile.encryptor(passphrase="new"), passphrase="old words", new_passphrase="new")
    assert Table.load(old, passphrase="new").fingerprint == TABLE.fingerprint
    with pytest.raises(WrongKey):
        Table.load(old, passphrase="old words")
    assert old.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in old.parent.iterdir()] == ["t.ult"]


def test_a_table_in_the_clear_gets_a_key_and_recipients_change(tmp_path):
    path = tmp_path / "t.ult"
    TABLE.save(path, encrypt=False)
    (first, first_public), (second, second_public) = owner(tmp_path / "a"), owner(tmp_path / "b")
    rekey(path, keyfile.encryptor(recipients=[first_public]), new_identities=first)
    rekey(path, keyfile.encryptor(recipients=[second_public]), identities=first, new_identities=second)
    assert Table.load(path, identities=second).fingerprint == TABLE.fingerprint
    with pytest.raises(WrongKey):
        Table.load(path, identities=first)


@pytest.mark.slow
def test_the_old_file_stays_until_the_new_one_opens(old, tmp_path):
    before = old.read_bytes()
    _, public = owner(tmp_path / "a")
    stranger, _ = owner(tmp_path / "b")
    with pytest.raises(WrongKey, match="as it was"):
        rekey(old, keyfile.encryptor(recipients=[public]), passphrase="old words", new_identities=stranger)
    with pytest.raises(WrongKey):
        rekey(old, keyfile.encryptor(passphrase="new"), passphrase="wrong", new_passphrase="new")
    with pytest.raises(InvalidConfig, match="not none"):
        rekey(old, keyfile.encryptor(encrypt=False), passphrase="old words")
    with pytest.raises(OutputError, match="as it was"):
        rekey(old, lambda _: keyfile.encryptor(passphrase="new")(b"{}"), passphrase="old words", new_passphrase="new")
    assert old.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "t.ult"]


def test_a_full_disk_leaves_the_old_file(old, monkeypatch):
    before = old.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="space"):
        rekey(old, keyfile.encryptor(passphrase="new"), passphrase="old words", new_passphrase="new")
    assert old.read_bytes() == before
    assert len(list(old.parent.iterdir())) == 1


@pytest.mark.parametrize("how", [{"passphrase": "words"}, {"encrypt": False}])
def test_a_shredded_file_is_a_tombstone(how, tmp_path):
    path = tmp_path / "t.ult"
    TABLE.save(path, **how)
    held, number = path.read_bytes(), path.stat().st_ino
    with path.open("rb") as still_open:
        digest = shred(path)
        overwritten = still_open.read()
    assert len(overwritten) == len(held)
    assert sum(a == b for a, b in zip(overwritten, held, strict=True)) < 0.05 * len(held) + 10
    assert digest == hashlib.sha256(held).hexdigest()
    stone = json.loads(path.read_text())
    assert stone["format"] == "ult-tombstone/1"
    assert stone["sha256"] == digest
    assert path.stat().st_ino != number
    with pytest.raises(MissingSource, match="was shredded"):
        Table.load(path, passphrase="words")
    with pytest.raises(InvalidConfig, match="nothing was done"):
        shred(path)


def test_only_secret_files_are_shredded(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidConfig, match="nothing was done"):
        shred(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(MissingSource):
        shred(tmp_path / "nothing")


@pytest.fixture
def plain(tmp_path):
    """A table in a folder, for the first of two keys."""
    (tmp_path / "real").mkdir()
    keys = [owner(tmp_path / name) for name in "ab"]
    path = tmp_path / "real" / "t.ult"
    TABLE.save(path, recipients=[keys[0][1]])
    return path, keys


def test_rekey_through_a_link_reaches_the_file_behind_it(plain, tmp_path):
    path, ((first, _), (second, public)) = plain
    (tmp_path / "link").symlink_to("real/t.ult")
    rekey(tmp_path / "link", keyfile.encryptor(recipients=[public]), identities=first, new_identities=second)
    assert (tmp_path / "link").is_symlink()
    assert Table.load(path, identities=second).fingerprint == TABLE.fingerprint
    with pytest.raises(WrongKey):
        Table.load(path, identities=first)
    TABLE.save(tmp_path / "link", recipients=[public], force=True)
    assert (tmp_path / "link").is_symlink()
    shred(tmp_path / "link")
    assert path.read_bytes().startswith(keyfile.TOMBSTONE)


def test_rekey_refuses_a_file_with_other_names_and_shred_reaches_them(plain, tmp_path):
    path, ((first, _), (second, public)) = plain
    (tmp_path / "other").hardlink_to(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="2 names"):
        rekey(path, keyfile.encryptor(recipients=[public]), identities=first, new_identities=second)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["t.ult"]
    digest = shred(path)
    for name in (path, tmp_path / "other"):
        assert json.loads(name.read_text())["sha256"] == digest


def test_rekey_does_not_undo_what_another_command_wrote(plain):
    path, ((first, _), (second, public)) = plain

    def meanwhile(payload):
        keyfile.write(path, b"{}", force=True)
        return keyfile.encryptor(recipients=[public])(payload)

    with pytest.raises(OutputError, match="changed meanwhile"):
        rekey(path, meanwhile, identities=first, new_identities=second)
    assert path.read_bytes() == b"{}"


def test_shred_on_a_disk_without_room(plain, monkeypatch):
    path, _ = plain

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(os, "mkdir", full)
    monkeypatch.setattr(os, "rename", full)
    assert shred(path) == digest
    assert json.loads(path.read_text())["sha256"] == digest


def test_shred_overwrites_what_a_killed_command_left(plain):
    path, _ = plain
    claim = atomic.Claim(path)
    claim.__enter__()
    left = claim.folder / "new"
    left.write_bytes(b"a copy that opens")
    os.close(claim._lock)  # its process is gone
    with left.open("rb") as still_open:
        shred(path)
        assert still_open.read() != b"a copy that opens"
    assert not claim.folder.exists()


def test_shred_killed_after_its_tombstone_is_swept_up_by_another(plain):
    path, _ = plain
    shred(path)
    atomic.hidden(path).mkdir(mode=0o700)  # as a kill between the last two changes leaves it
    with pytest.raises(InvalidConfig, match="shredded already"):
        shred(path)
    assert not atomic.hidden(path).exists()


def test_json_that_is_no_table_is_not_shredded(tmp_path):
    (tmp_path / "package.json").write_text('{"name": "thesis"}')
    with pytest.raises(InvalidConfig, match="nothing was done"):
        shred(tmp_path / "package.json")
    assert (tmp_path / "package.json").read_text() == '{"name": "thesis"}'
