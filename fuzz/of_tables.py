"""The owner's files, and ids that a model wrote."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from reading import Made, file

TEXTS = ["to be or not to be", "that is the question", "naïve café", "to be is to do", ""] * 3


def tables() -> list[Any]:
    """Return small tables of every codec."""
    from ult import Table, Vocabulary

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :24]
    images = [(128 + 100 * np.sin(x / k + y / 3)).astype(np.uint8) for k in (3, 5)]
    images += [rng.integers(0, 256, shape, np.uint8) for shape in ((9, 7, 3), (8, 17, 4))]
    series = [np.sin(np.arange(n) / 3) for n in (5, 20, 31)]
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "C[C@@H](N)C(=O)O", "BrC%12CC%12[Se]>>C"]
    from ult.codecs.series import SeriesMulaw

    small = SeriesMulaw(low=-1.0, high=1.0, levels=9, patch_size=4)
    records = {"text/bytes": TEXTS, "text/bwt": TEXTS, "image/dct": images, "molecule/smiles": smiles, small: series}
    return [
        (Table.fit(many * 3, codec=codec, vocabulary=Vocabulary(600), allow_lost=True, min_records=1), many)
        for codec, many in records.items()
    ]


def use(table: Any) -> None:
    """Do with a table what its owner does with one."""
    repr(table)
    ids = np.arange(table.size - 3, table.size, dtype=np.uint32)
    with contextlib.suppress(ValueError):
        table.decode_prefix(ids)
    table.spellings()


def table(folder: Path) -> Made:
    from ult import Table, Vocabulary
    from ult.codecs.series import SeriesMulaw

    made = [one.cleartext() for one, _ in tables()]
    private = Table.fit([f"{i} {'to be ' * 3}" for i in range(80)], vocabulary=Vocabulary(300), epsilon=9.0, delta=0.01)
    tiny = SeriesMulaw(low=-1.0, high=1.0, levels=3, patch_size=4)
    least = Table.fit(
        [np.zeros(9), np.ones(9)], codec=tiny, vocabulary=Vocabulary(48), allow_lost=True, min_records=1
    ).cleartext()
    seeds = [made[-1]] * 6 + [least] * 12 + [*made, private.cleartext()]
    return seeds, file(folder, "t.ult", lambda path: use(Table.load(path)))


def age(folder: Path) -> Made:
    from ult import Table, Vocabulary
    from ult.owner import keyfile

    text, public = keyfile.keygen()
    key = text.splitlines()[-1]
    fitted = Table.fit(TEXTS, vocabulary=Vocabulary(300), min_records=1)
    fitted.save(folder / "t.ult", recipients=[public])
    seeds = [(folder / "t.ult").read_bytes(), keyfile.encryptor(recipients=[public])(b"{}")]
    seeds += [keyfile.TOMBSTONE + b'"sha256": "00"}\n', b"-----BEGIN AGE ENCRYPTED FILE-----\n", keyfile.AGE]
    return seeds, file(folder, "m.ult", lambda path: Table.load(path, identities=[key]))


def identity(folder: Path) -> Made:
    from ult.owner import keyfile

    text, public = keyfile.keygen()
    (folder / "t.age").write_bytes(keyfile.encryptor(recipients=[public])(b"{}"))

    def read(path: Path) -> object:
        return keyfile.read(folder / "t.age", identities=keyfile.read_identities(path))

    return [text.encode(), text.encode() * 2], file(folder, "key", read)


def ids(folder: Path) -> Made:
    """Ids to decode: what a model wrote, as 16-bit integers behind the number of the table."""
    fitted = tables()
    seeds = []
    for number, (made, records) in enumerate(fitted):
        many = [made.encode(record).astype("<u2").tobytes() for record in records[:5]]
        seeds += [bytes([number]) + one for one in many]

    def read(data: bytes) -> None:
        made = fitted[(data[0] if data else 0) % len(fitted)][0]
        found = np.frombuffer(data[1 : 1 + len(data[1:]) // 2 * 2], "<u2").astype(np.uint32)
        sure = 32 + (found - np.uint32(32)) % np.uint32(made.size - 32)
        with contextlib.suppress(ValueError):
            made.decode_prefix(found)
        symbols = (found * np.uint32(7919)) % np.uint32(made.codec.alphabet)
        with contextlib.suppress(ValueError):
            made.codec.decode(symbols)
        made.codec.prefixes(symbols)
        made.decode(sure.astype(np.uint32))

    return seeds, read
