"""Windows of series to forecast: how they are scaled, cut into levels, foretold, and how good a forecast is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.baselines import Ours
from ult.codecs.series import SeriesMulaw
from ult.public.vocabulary import N_SPECIAL

CONTEXT, HORIZON, DAY = 96, 24, 24  # hours
LEVELS = 64  # 256 need longer to be learned, and are no better: dev/log.md
QUANTILES = np.arange(1, 10) / 10
Floats = NDArray[np.float64]
Ids = NDArray[np.uint32]


@dataclass(frozen=True)
class Windows:
    """Pieces of several variables, each of CONTEXT values and the HORIZON that follow."""

    values: Floats  # (n, CONTEXT + HORIZON)
    variable: NDArray[np.int64]  # (n,)
    origin: NDArray[np.int64]  # (n,) the hour of the first value to foretell

    @classmethod
    def cut(cls, series: Floats, first: int, last: int, step: int) -> Windows:
        """Return windows whose values to foretell lie in hours `first` to `last`, of all variables at each origin."""
        origins = np.arange(first, last - HORIZON + 1, step)
        at = origins[:, None] + np.arange(-CONTEXT, HORIZON)
        many = series[at].transpose(0, 2, 1).reshape(-1, CONTEXT + HORIZON)
        return cls(many, np.tile(np.arange(series.shape[1]), len(origins)), np.repeat(origins, series.shape[1]))

    @property
    def context(self) -> Floats:
        """What is known."""
        return self.values[:, :CONTEXT]

    @property
    def future(self) -> Floats:
        """What is to be foretold."""
        return self.values[:, CONTEXT:]


def scales(how: str, windows: Windows) -> tuple[Floats, Floats]:
    """Return what to take off each window and what to divide it by (n, 1): the owner keeps both, no id says them.

    "window" are mean and deviation of its context, "mean" is the mean size of its context (Chronos, Ansari 2024).
    """
    if how == "mean":
        off, size = np.zeros((len(windows.values), 1)), np.abs(windows.context).mean(1, keepdims=True)
    else:
        off, size = windows.context.mean(1, keepdims=True), windows.context.std(1, keepdims=True)
    return off, np.maximum(size, 1e-6)


class Bins:
    """Evenly spaced levels over all but 0.1 % of the values, an id each."""

    codec, size = "raw/bins", N_SPECIAL + LEVELS

    def __init__(self, train: Floats) -> None:
        low, high = np.quantile(train, [0.0005, 0.9995])
        self._edges = np.linspace(low, high, LEVELS + 1)
        middles = (self._edges[1:] + self._edges[:-1]) / 2
        self.values = np.concatenate([np.full(N_SPECIAL, np.nan), middles])  # (size,) of each id

    def encode(self, records: Floats) -> list[Ids]:
        """Return the ids of each row."""
        return list((np.digitize(records, self._edges[1:-1]) + N_SPECIAL).astype(np.uint32))


class MuLaw(Ours):
    """A table of `series/mulaw` in which an id is a value."""

    def __init__(self, train: Floats) -> None:
        codec = SeriesMulaw.calibrated(list(train), patch_size=1, levels=LEVELS)
        super().__init__(list(train), N_SPECIAL + LEVELS + 1, codec)
        self.values = np.full(self.size, np.nan)  # of each id
        self.values[N_SPECIAL:] = codec.decode(np.concatenate(self.table.spellings()))

    def encode(self, records: Floats) -> list[Ids]:
        """Return the ids of each row."""
        return self.table.encode_batch(list(records))


class Numbers:
    """A grammar for `generate` in which a record never ends and has no gaps: a forecast has all its values."""

    def __init__(self, values: Floats) -> None:
        self._allowed = np.isfinite(values)

    def start(self, ids: NDArray[Any]) -> Any:
        """Return the only state."""
        return 0

    def allowed(self, state: Any, room: int) -> NDArray[np.bool_]:
        """Return which ids are numbers."""
        return self._allowed

    def advance(self, state: Any, written: int) -> Any:
        """Return the only state."""
        return state


def seasonal_naive(known: Windows, windows: Windows) -> Floats:
    """Return quantiles (9, n, HORIZON): the day before again, and about it the errors that this makes on `known`."""
    errors = known.future - known.context[:, -DAY:]
    spread = [np.quantile(errors[known.variable == v], QUANTILES, axis=0) for v in range(known.variable.max() + 1)]
    return windows.context[:, -DAY:] + np.stack(spread, 1)[:, windows.variable]


def ridge(known: Windows, windows: Windows) -> Floats:
    """Return quantiles (9, n, HORIZON) of a linear forecast from all of a scaled context, errors as on `known`."""
    from sklearn.linear_model import Ridge

    (off, size), (to, by) = scales("window", known), scales("window", windows)
    x, y = (known.context - off) / size, (known.future - off) / size
    model = Ridge(alpha=100.0).fit(x, y)
    spread = np.quantile(y - model.predict(x), QUANTILES, axis=0)
    return to + by * (model.predict((windows.context - to) / by) + spread[:, None])


def scored(quantiles: Floats, known: Windows, windows: Windows) -> dict[str, Floats]:
    """Return MASE and weighted quantile loss of forecasts (9, n, HORIZON) for each origin, the mean over variables.

    MASE (Hyndman 2006) is the error of the median over that of the day before in `known`; the quantile loss, a
    discrete CRPS, is twice the pinball loss at nine quantiles over the mean size of what was to be foretold.
    """
    variables, of = range(known.variable.max() + 1), windows.variable
    usual = [_usual(known.values[known.variable == v]) for v in variables]
    sizes = [np.abs(windows.future[of == v]).mean() for v in variables]
    error = windows.future - quantiles
    taus = QUANTILES[:, None, None]
    loss = 2 * np.maximum(taus * error, (taus - 1) * error).mean((0, 2))
    each = {"MASE": np.abs(error[4]).mean(1) / np.array(usual)[of], "quantile loss": loss / np.array(sizes)[of]}
    return {
        name: np.array([s[windows.origin == o].mean() for o in np.unique(windows.origin)]) for name, s in each.items()
    }


def _usual(values: Floats) -> float:
    return float(np.abs(values[:, DAY:] - values[:, :-DAY]).mean())
