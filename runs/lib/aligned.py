"""Known plaintext under a bijection of tokens that is told as text: two token lists aligned in order, some unlike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

WINDOW, ROUNDS, SKIP = 12, 3, -3.0  # tokens aside of the diagonal; of alignment; what passing over a token costs
Pair = tuple[list[int], list[int]]  # ciphertext tokens, plaintext tokens


def dictionary(pairs: Sequence[Pair]) -> dict[int, int]:
    """Return for each ciphertext token the plaintext token that it most often stands for, by monotone alignment."""
    met: dict[int, Counter[int]] = defaultdict(Counter)
    for cipher, plain in pairs:  # first, whatever stands about as far into the record
        for j, token in enumerate(cipher):
            middle = j * len(plain) // max(1, len(cipher))
            near = plain[max(0, middle - 2) : middle + 3]
            for other in near:
                met[token][other] += 1 / len(near)  # type: ignore[assignment]  # counters count in parts too
    for _ in range(ROUNDS):
        following: dict[int, Counter[int]] = defaultdict(Counter)
        for cipher, plain in pairs:
            for j, i in _steps(cipher, plain, met):
                following[cipher[j]][plain[i]] += 1
        met = following
    return {token: others.most_common(1)[0][0] for token, others in met.items()}


def _steps(cipher: list[int], plain: list[int], met: dict[int, Counter[int]]) -> list[tuple[int, int]]:
    """Return the places (j, i) that the best alignment in order sets beside each other."""
    m, n = len(cipher), len(plain)
    best = np.full((m + 1, n + 1), -np.inf)
    came = np.zeros((m + 1, n + 1), np.int8)
    best[0, 0] = 0
    totals = {token: sum(met[token].values()) for token in set(cipher)}
    for j in range(m + 1):
        middle = j * n // max(1, m)
        for i in range(max(0, middle - WINDOW), min(n, middle + WINDOW) + 1):
            if i and best[j, i - 1] + SKIP > best[j, i]:
                best[j, i], came[j, i] = best[j, i - 1] + SKIP, 1
            if j and best[j - 1, i] + SKIP > best[j, i]:
                best[j, i], came[j, i] = best[j - 1, i] + SKIP, 2
            if i and j:
                token = cipher[j - 1]
                way = best[j - 1, i - 1] + np.log((met[token][plain[i - 1]] + 0.01) / (totals[token] + 1))
                if way > best[j, i]:
                    best[j, i], came[j, i] = way, 3
    found, j, i = [], m, n
    while (j or i) and came[j, i]:
        if came[j, i] == 3:
            found.append((j - 1, i - 1))
        j, i = j - (came[j, i] != 1), i - (came[j, i] != 2)
    return found
