"""Row `distance`: are records that lie far apart still far apart once encoded?

The check of the ICDH paper: Pearson's correlation between the distances of all pairs of records and the distances of
their encodings. What a trainer sees are ids, so the encodings are compared as ids: how often each occurs (cosine), and,
where records have the same length and a value an id, place by place (the share that differs). Beside them stands what
only the table's owner can compute, the distance of symbols, and the same on tokens of raw data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from lib.baselines import BytePairs
from lib.corpus import cifar, genes, heartbeats, molecules, wikitext
from lib.interval import over_records
from lib.result import metric
from lib.session import Session
from numpy.typing import NDArray

import ult
from ult.codecs.series import SeriesMulaw

Floats = NDArray[np.float64]
SEED, COUNTS = 0, "cosine of id counts"
PLACES, LEVELS, DECODED = "ids that differ, place by place", "Euclid on symbols", "Euclid on what the owner decodes"
SMILES = re.compile(r"\[[^\]]+\]|Br|Cl|%\d\d|.")  # the papers' atom-wise tokens (Schwaller 2018), shortened
DRAWN = [f"{name}: {COUNTS}" for name in ("wikitext-2", "cifar-10", "molecules")]
SETTING = """\
Pearson's correlation over all pairs of up to {n} records that the tables were not fitted on (the omic sets, which \
are small, are fitted and compared whole); the bootstrap is over records, and a record is never paired with itself. \
Distances of records: Euclid for gene expression (log2, 200 genes), heartbeats and pixels, cosine of counts of four \
letters for text, 1 - Tanimoto of Morgan fingerprints (radius 2, 2,048 bits) for molecules. Vocabulary 2,048; a value \
of a series is an id of its own. `raw` is the same distance on byte-level BPE tokens, 256 evenly spaced bins, pixel \
bytes and atom-wise SMILES tokens. `paper` scales each gene, clips it at one deviation and compands it to 256 levels: \
our reading of the published table, in which 30 % of the values are clipped."""
NOTES = [
    "What the owner decodes keeps the distances almost exactly. What a trainer gets keeps them as far as tokens of raw "
    "data do, for text and series. Image ids keep none, and molecule ids less than atom-wise tokens: a phrase of many "
    "symbols is another id as soon as one of them differs.",
    "Euclid on symbols is below 1 for `ult` because mu-law levels lie dense near zero; the evenly spaced bins of `raw` "
    "are the values again.",
]


def main() -> None:
    """Measure all modalities."""
    session = Session.begin("distance")
    n = session.sized(300, 40)
    metrics = []
    for measured in (omics, series, text, images, smiles):
        name, settings = measured.__name__, {"n": n, "distance": 1}
        found = session.once(name, settings, lambda _, measured=measured: {"metrics": measured(session, n)})  # type: ignore[misc]
        metrics += found["metrics"]
    session.write(
        "Distances kept by encoding",
        metrics,
        asked="Are records that lie far apart still far apart once encoded (the ICDH paper's check)?",
        setting=SETTING.format(n=n),
        notes=NOTES,
        chart=list(dict.fromkeys(m["name"] for m in metrics if m["name"].endswith(PLACES) or m["name"] in DRAWN)),
        model={"name": "none", "parameters": 0},
    )


def omics(session: Session, n: int) -> list[dict[str, Any]]:
    """Gene expression, one id a gene."""
    return [
        m
        for name in ("tcga_crc_cms", "tcga_brca_mrna")
        for m in _levelled(name, *[genes(session, name, 200).values] * 2, paper=True)
    ]


def series(session: Session, n: int) -> list[dict[str, Any]]:
    """Heartbeats, one id a value."""
    beats = heartbeats(session)
    return _levelled("ecg5000", beats.values[~beats.test], beats.values[beats.test][:n])


def text(session: Session, n: int) -> list[dict[str, Any]]:
    """Paragraphs of articles."""
    train = wikitext(session, "train")
    records = _some([record for record in wikitext(session, "test") if len(record) > 200], n)
    raw = _cosine(_grams(records))
    systems = {
        "ult": _ids(train, records, "text/bytes"),
        "ult, text/bwt": _ids(train, records, "text/bwt"),
        "raw": BytePairs(train, 2048).encode(records),
    }
    return [_kept("wikitext-2", name, raw, _cosine(_counts(ids))) for name, ids in systems.items()]


def images(session: Session, n: int) -> list[dict[str, Any]]:
    """Photographs of 32x32."""
    train, records = cifar(session, "train", session.sized(5000, 200)), _some(cifar(session, "test", 2000), n)
    raw = _euclid(np.stack([image.ravel() for image in records]).astype(float))
    table = _table(train, "image/dct")
    ids = table.encode_batch(records)
    decoded = np.stack([image.ravel() for image in table.decode_batch(ids)]).astype(float)
    return [
        _kept("cifar-10", "ult", raw, _cosine(_counts(ids))),
        _kept("cifar-10", "ult", raw, _euclid(decoded), DECODED),
        _kept("cifar-10", "raw", raw, _cosine(_counts([image.ravel() for image in records]))),
    ]


def smiles(session: Session, n: int) -> list[dict[str, Any]]:
    """Molecules of the HIV screen."""
    from rdkit import Chem, DataStructs, RDLogger
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # which its types leave out
    train, test = molecules(session)
    read = {smiles: molecule for smiles in _some(test, n) if (molecule := Chem.MolFromSmiles(smiles))}
    records, prints = list(read), GetMorganGenerator(radius=2, fpSize=2048).GetFingerprints(list(read.values()))
    raw = 1 - np.array([DataStructs.BulkTanimotoSimilarity(one, list(prints)) for one in prints])
    places: dict[str, int] = {}
    tokens = [np.array([places.setdefault(t, len(places)) for t in SMILES.findall(s)]) for s in records]
    systems = {"ult": _ids(train, records, "molecule/smiles"), "raw": tokens}
    return [_kept("molecules", name, raw, _cosine(_counts(ids))) for name, ids in systems.items()]


def _levelled(name: str, train: Floats, test: Floats, *, paper: bool = False) -> list[dict[str, Any]]:
    """Compare series of one length, one id a value."""
    raw = _euclid(test)
    codec = SeriesMulaw.calibrated(list(train), patch_size=1)
    ids = np.stack(_table(list(train), codec).encode_batch(list(test))).astype(int)
    symbols = np.stack([codec.encode(row).symbols for row in test]).astype(float)
    decoded = np.stack([codec.decode(row.astype(int)) for row in symbols])
    bins = np.digitize(test, np.linspace(train.min(), train.max(), 257)[1:-1])
    found = [
        _kept(name, "ult", raw, _cosine(_counts(ids))),
        _kept(name, "ult", raw, _hamming(ids), PLACES),
        _kept(name, "ult", raw, _euclid(symbols), LEVELS),
        _kept(name, "ult", raw, _euclid(decoded), DECODED),
        _kept(name, "raw", raw, _cosine(_counts(bins))),
        _kept(name, "raw", raw, _hamming(bins), PLACES),
        _kept(name, "raw", raw, _euclid(bins.astype(float)), LEVELS),
    ]
    if paper:
        scaled = np.clip((test - train.mean(0)) / train.std(0), -1, 1)
        levels = np.stack([SeriesMulaw(low=-1.0, high=1.0).encode(row).symbols for row in scaled]).astype(float)
        found.append(_kept(name, "paper", raw, _euclid(levels), LEVELS))
    return found


def _kept(of: str, system: str, raw: Floats, encoded: Floats, how: str = COUNTS) -> dict[str, Any]:
    """Return the correlation of two matrices of distances (n, n)."""
    above = np.triu_indices(len(raw), 1)
    x, y = raw[above], encoded[above]

    def pearson(places: NDArray[np.int64]) -> float:
        times = np.bincount(places, minlength=len(raw))
        weights = (times[above[0]] * times[above[1]]).astype(float)
        weights /= weights.sum()
        a, b = x - weights @ x, y - weights @ y
        return float(weights @ (a * b) / np.sqrt((weights @ a**2) * (weights @ b**2)))

    found = over_records(pearson, len(raw), seed=SEED)
    name = f"{of}: {how}"
    return metric(
        name,
        system,
        found,
        n=len(raw),
        seeds=[SEED],
        higher_is_better=True,
        baseline="raw" if system != "raw" and how != DECODED else "",
    )


def _table(records: Sequence[Any], codec: Any) -> ult.Table:
    return ult.Table.fit(records, codec=codec, vocabulary=ult.Vocabulary(2048), min_records=1)


def _ids(train: Sequence[Any], records: Sequence[Any], codec: str) -> list[NDArray[Any]]:
    return _table(train, codec).encode_batch(records)


def _some(records: Sequence[Any], n: int) -> list[Any]:
    places = np.random.default_rng(SEED).permutation(len(records))[:n]
    return [records[k] for k in places]


def _counts(many: Sequence[NDArray[Any]]) -> Floats:
    width = 1 + max(int(ids.max()) for ids in many)
    return np.stack([np.bincount(ids.astype(int), minlength=width) for ids in many]).astype(float)


def _grams(records: Sequence[str]) -> Floats:
    from sklearn.feature_extraction.text import HashingVectorizer

    found = HashingVectorizer(analyzer="char", ngram_range=(4, 4), n_features=2**16, norm=None, alternate_sign=False)
    return np.asarray(found.transform(records).toarray())


def _cosine(rows: Floats) -> Floats:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return 1 - rows @ rows.T


def _euclid(rows: Floats) -> Floats:
    squares = (rows**2).sum(1)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))


def _hamming(rows: NDArray[Any]) -> Floats:
    return np.array([(rows != row).mean(1) for row in rows])


if __name__ == "__main__":
    main()
