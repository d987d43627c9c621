"""How alike two sets of texts are, as one figure: the area under their divergence frontier, as MAUVE has it.

After Pillutla et al. 2021 (arXiv:2102.01454): features of both sets are clustered together, and the histograms P and Q
over clusters are compared with their mixtures R by exp(-5 KL(P|R)) and exp(-5 KL(Q|R)). The features here are words,
hashed and weighted by how rare they are, in 50 dimensions: no model of language. So the figure tells words and topics,
not grammar, and only figures of this file can be compared with it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.extras import require

with require("scipy", "scikit-learn", extra="audit"):
    from scipy import sparse
    from scipy.sparse.linalg import svds
    from sklearn.cluster import KMeans

LEAST = 500  # texts of a side: with fewer the figure is mostly chance
MOST = 5000
WORDS = re.compile(r"\w+|[^\w\s]")
_BUCKETS, _DIMENSIONS, _SCALE, _STEPS, _DRAWS = 2**16, 50, 5.0, 50, 5
Floats = NDArray[np.float64]


def alike(synthetic: Sequence[str], held_out: Sequence[str], real: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Return, as JSON values, how alike synthetic and held-out texts are, and real and held-out ones; 1 is the same.

    All sets have as many texts as the smallest. The figures are None with fewer than `LEAST`.
    """
    n = min(len(synthetic), len(held_out), len(real), MOST)
    told: dict[str, Any] = {"texts": n, "least": LEAST, "synthetic": None, "real": None}
    if n < LEAST:
        return told
    rng = np.random.default_rng(seed)
    sets = [[each[k] for k in rng.permutation(len(each))[:n]] for each in (synthetic, held_out, real)]
    points = features([text for each in sets for text in each], seed=seed)
    parts = [points[k * n : (k + 1) * n] for k in range(3)]
    return {**told, "synthetic": _area(parts[0], parts[1], seed), "real": _area(parts[2], parts[1], seed)}


def features(texts: Sequence[str], *, seed: int) -> Floats:
    """Return the features of texts, (n, dimensions)."""
    counts = hashed(texts)
    counts.data = np.log1p(counts.data)
    held = np.asarray((counts > 0).sum(0)).ravel()
    weighted = counts @ sparse.diags(np.log((1 + counts.shape[0]) / (1 + held)))
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
    weighted = sparse.diags(1 / np.maximum(norms, 1e-12)) @ weighted
    k = min(_DIMENSIONS, min(weighted.shape) - 1)
    start = np.random.default_rng(seed).normal(size=min(weighted.shape))
    u, s, _ = svds(weighted.astype(float), k=k, v0=start)
    found: Floats = u * s
    return found


def hashed(texts: Sequence[str], *, run: int = 1) -> sparse.csr_matrix:
    """Return the counts of words, or of runs of words, in texts: (n, buckets)."""
    columns: list[int] = []
    ends = [0]
    for text in texts:
        words = WORDS.findall(text.lower())
        runs = (" ".join(words[k : k + run]) for k in range(len(words) - run + 1))
        columns.extend(zlib.crc32(one.encode("utf-8", "surrogatepass")) % _BUCKETS for one in runs)
        ends.append(len(columns))
    found = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(texts), _BUCKETS))
    found.sum_duplicates()
    return found


def _area(one: Floats, other: Floats, seed: int) -> float:
    """Return the area under the frontier of two sets of points."""
    clusters, found = max(2, min(500, len(one) // 10)), []
    for draw in range(seed, seed + _DRAWS):
        labels = KMeans(clusters, n_init=1, max_iter=30, random_state=draw).fit_predict(np.concatenate([one, other]))
        p, q = (np.bincount(each, minlength=clusters) / len(one) for each in (labels[: len(one)], labels[len(one) :]))
        found.append(area(p, q))
    return float(np.mean(found))


def area(p: Floats, q: Floats) -> float:
    """Return the area under the divergence frontier of two distributions, 0 to 1.

    >>> round(area(np.array([0.5, 0.5]), np.array([0.5, 0.5])), 6)
    1.0
    >>> area(np.array([1.0, 0.0]), np.array([0.0, 1.0])) < 0.01
    True
    """
    points = [(0.0, 1.0)]
    for share in np.linspace(1e-6, 1 - 1e-6, _STEPS):
        mixed = share * p + (1 - share) * q
        points.append((float(np.exp(-_SCALE * _divergence(q, mixed))), float(np.exp(-_SCALE * _divergence(p, mixed)))))
    points.append((1.0, 0.0))
    x, y = np.array(sorted(points, key=lambda point: (point[0], -point[1]))).T
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


def _divergence(p: Floats, r: Floats) -> float:
    there = p > 0
    return float((p[there] * np.log(p[there] / r[there])).sum())
