"""The peak signal-to-noise ratio, in dB, of images or series that are rebuilt from guessed phrases.

True and rebuilt records are compared as the codec decodes them. What a guess leaves open is filled by the blind guess,
the mean of the public records at each position. The mean of each channel of an image is also taken from the public
records, because it depends on the first colour, which neighbouring ids do not reveal. Where an id is a level, or a tile
of one, it stands where its value stands, so a value is rebuilt from its own ids, whatever is said of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded
from ult.audit.code.score import true_phrases
from ult.codecs.base import Codec
from ult.codecs.levels import SeriesLevels
from ult.codecs.patches import Symbols, cut
from ult.errors import InvalidConfig
from ult.owner.table import Table

MODALITIES = ("image", "series")
RECORDS = 200  # the first records are rebuilt, and as many public ones make the blind guess
LONGEST = 4  # a header that asks for more than this many times the guessed symbols is considered wrong
MOST = 100.0  # dB, for exact reconstruction

Floats = NDArray[np.float64]


class Rebuilder:
    """Rebuilds records from symbols that may not form a valid record, with defaults from public `records`."""

    def __init__(self, codec: Codec[Any], records: Sequence[Any]) -> None:
        grammar = codec.grammar()
        if grammar is None:
            raise InvalidConfig(f"{codec.id} has no grammar; expected a codec of {' or '.join(MODALITIES)}")
        self.codec, self.grammar = codec, grammar
        public = codec.encode_batch(records[:RECORDS])
        ends = np.append(0, public.ends)[public.records]
        counts = np.bincount(public.symbols, minlength=codec.alphabet)
        self.usual = np.argsort(-counts, kind="stable").astype(np.uint32)  # all symbols, the commonest first
        rows = _stacked([codec.decode(symbols) for symbols in cut(public.symbols, ends)])
        present, sums = (~np.isnan(rows)).sum(0), np.nansum(rows, 0)
        self.overall = float(sums.sum() / max(1, present.sum()))
        self.means: Floats = np.where(present > 0, sums / np.maximum(present, 1), self.overall)

    def psnr(self, guesses: Sequence[bytes | None], target: Coded, truth: Table) -> dict[str, float]:
        """Return `psnr` (dB) of the target's first records rebuilt from guessed phrases, and `psnr_blind`.

        The result is empty if no record can be rebuilt.
        """
        secret, errors, blind, n = true_phrases(target, truth), 0.0, 0.0, 0
        for start, stop in list(zip(target.starts.tolist(), target.ends.tolist(), strict=True))[:RECORDS]:
            kinds = target.kinds[start:stop].tolist()
            true = self._decode(_symbols(secret[kind] for kind in kinds))
            if true is None:  # a model wrote a header that asks for too much
                continue
            rebuilt = self._rebuilt([guesses[kind] for kind in kinds])
            flat, public = true.ravel().astype(np.float64), self._public(true.size)
            guess = np.full(len(flat), np.nan)
            if rebuilt is not None and (rebuilt.ndim == 1 or rebuilt.shape == true.shape):
                if rebuilt.ndim > 1:
                    rebuilt = rebuilt - rebuilt.mean((0, 1)) + public.reshape(rebuilt.shape).mean((0, 1))
                guess[: rebuilt.size] = rebuilt.ravel()[: len(flat)]
            known = ~np.isnan(flat)
            errors += float(((np.where(np.isnan(guess), public, guess) - flat)[known] ** 2).sum())
            blind += float(((public - flat)[known] ** 2).sum())
            n += int(known.sum())
        if not n:
            return {}
        return {"psnr": self._decibels(errors, n), "psnr_blind": self._decibels(blind, n)}

    def _rebuilt(self, guesses: Sequence[bytes | None]) -> NDArray[Any] | None:
        """Return a record (n,) with NaN where it is open, or (h, w, c), or None where the guesses say too little."""
        if self.codec.modality != "series" or self.codec.max_patch > 1:
            return self._decode(_symbols(guess or b"" for guess in guesses))
        said = np.array([np.frombuffer(guess, np.uint32)[0] if guess else -1 for guess in guesses], np.int64)
        if isinstance(self.codec, SeriesLevels):
            return _of_tiles(self.codec, said)
        found = np.full(len(said), np.nan)
        found[said >= 0] = self.codec.decode(said[said >= 0].astype(np.uint32))
        return found

    def _decode(self, symbols: Symbols) -> NDArray[Any] | None:
        """Return the record of the symbols, without those that cannot follow; None if too many are missing.

        Missing symbols become the commonest ones that fit.
        """
        grammar = self.grammar
        usual, alone = self.usual, np.arange(1, self.codec.alphabet + 1)
        state, kept = grammar.advance(grammar.start(), symbols), symbols.tolist()
        if state is None:
            state, kept = grammar.start(), []
            for symbol in symbols.tolist():
                after = grammar.advance(state, np.array([symbol], np.uint32))
                if after is not None:
                    state = after
                    kept.append(symbol)
        while 0 < (missing := grammar.least(state)) <= LONGEST * len(symbols):
            fitting = np.flatnonzero(grammar.after(state, usual, alone) == missing - 1)
            kept.append(int(usual[fitting[0]]))
            state = grammar.advance(state, usual[fitting[:1]])
        record: NDArray[Any] | None = None if missing else self.codec.decode(np.array(kept, np.uint32))
        return record

    def _public(self, size: int) -> Floats:
        return np.append(self.means, np.full(size, self.overall))[:size]

    def _decibels(self, errors: float, n: int) -> float:
        config, peak = self.codec.config(), 255.0
        if "high" in config:
            peak = config["high"] - config["low"] or 1.0
        elif "columns" in config:  # the column of the widest range
            peak = max(levels[-1] - levels[0] for levels in config["columns"]) or 1.0
        return float(min(MOST, 10 * np.log10(peak**2 * n / max(errors, 1e-200))))


def _of_tiles(codec: SeriesLevels, said: NDArray[np.int64]) -> Floats:
    """Return a record (n,) of the symbols that stand there (n * tilings,), -1 if open; NaN where nothing is said.

    A symbol of another place or tiling than that at which it stands is wrong, and says nothing; of what the others
    say of a level the median holds.
    """
    block, tile = np.divmod(said, codec.block)
    rows = np.arange(len(said) // codec.tilings)[:, None], np.arange(codec.tilings)
    expected = rows[1] + codec.tilings * rows[0] if codec.alphabet > codec.block * codec.tilings else rows[1]
    tile, block = (part.reshape(-1, codec.tilings) for part in (tile, block))
    told = (block == expected) & (tile < codec.block - 1)
    middle = codec.tilings * tile - rows[1] + (codec.tilings - 1) / 2  # of the levels that have the tile
    level = np.array([np.median(one[some]) if some.any() else np.nan for one, some in zip(middle, told, strict=True)])
    inside = np.clip(np.rint(np.nan_to_num(level)), 0, codec.levels - 1).astype(np.int64)
    return np.where(np.isnan(level), np.nan, codec.values_of(inside[None])[0])


def _symbols(phrases: Iterable[bytes]) -> Symbols:
    return np.frombuffer(b"".join(phrases), np.uint32)


def _stacked(records: Iterable[NDArray[Any]]) -> Floats:
    """Return records as the rows of a matrix, padded by NaN."""
    flat = [record.ravel().astype(np.float64) for record in records]
    rows = np.full((len(flat), max(map(len, flat))), np.nan)
    for row, record in zip(rows, flat, strict=True):
        row[: len(record)] = record
    return rows
