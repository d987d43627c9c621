"""Passphrases that cost a test nothing: files as `ult` writes them, of age's form, but 256 times as cheap to open.

`ult` itself has no such choice, and shall have none. So the library beneath it is replaced, by the age library in
Python, which can be told how much work a key shall be; the files are opened as always. Where the work itself is looked
at, or that others read our files, passphrases are real: test_keyfile.py, test_age.py, test_readme.py, and the first
table with one of test_secrets.py.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from unittest import mock

import pyrage
import pytest
from age.file import Encryptor
from age.keys.password import PasswordKey
from age.recipients import scrypt

FACTOR = 10  # of scrypt; `ult` takes 18 and more
CHEAPLY = functools.partial(scrypt.scrypt_encrypt_file_key, log_cost=FACTOR)


def encrypt(payload: bytes, passphrase: str) -> bytes:
    """Return an age file with the passphrase, as `pyrage.passphrase.encrypt` does."""
    file = io.BytesIO()
    with (
        mock.patch.object(scrypt, "scrypt_encrypt_file_key", CHEAPLY),
        Encryptor([PasswordKey(passphrase.encode())], file) as out,
    ):
        out.write(payload)
    return file.getvalue()


def cheap() -> mock._patch[object]:
    """Return what makes passphrases cheap in this process, from `start()` on, or in a `with`."""
    return mock.patch.object(pyrage.passphrase, "encrypt", encrypt)


@pytest.fixture(scope="module")
def cheap_passphrases() -> Iterator[None]:
    """Passphrases of a module's tests, and of its fixtures, are cheap."""
    with cheap():
        yield
