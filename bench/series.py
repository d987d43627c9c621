"""`series/mulaw` on real series: values clipped, signal-to-noise, ids a value; fitted on a part, measured on another.

The last fifth of the rows (of tables), or of the time (of recordings, cut into windows), is the test part. A goal is
the project's; the reference clips 30 % of the published gene values.
"""

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from session import counted, data_folder, metric, unmeasured, write

import ult
from ult.codecs.series import SeriesMulaw

GENES = "tcga_crc_cms"
WINDOW, DAY = 360, 24  # values: a second of ECG, a day of hourly readings


def main() -> None:
    folder = data_folder() / "series"
    genes = _columns(folder / f"{GENES}.parquet")
    ett = np.loadtxt(folder / "ETTh1.csv", delimiter=",", skiprows=1, usecols=range(1, 8))
    names = (folder / "ETTh1.csv").read_text(encoding="utf-8").split("\n", 1)[0].split(",")[1:]
    sets = {
        f"{GENES}, 2000 genes": genes,
        f"{GENES}, 42 genes": genes[:, :42],
        "tcga_brca_mrna, 200 genes": _columns(folder / "tcga_brca_mrna.parquet"),
        "ecg_mitbih208, ecg_mv": _windows(np.load(folder / "ecg_mitbih208.npz")["ecg_mv"], WINDOW),
        **{f"ETTh1, {name}": _windows(ett[:, i], DAY) for i, name in enumerate(names)},
    }
    write(
        "series-quality",
        "Quality of series",
        [row for name, rows in sets.items() for row in _measure(name, rows)],
        __doc__,
        command="python bench/series.py --data DATA",
    )


def _columns(path) -> NDArray[np.float64]:
    """Return the float columns of a table, a sample a row."""
    table = pq.read_table(path)
    return np.stack([column.to_numpy() for column in table.columns if column.type in ("float", "double")], axis=1)


def _windows(series: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return series[: len(series) // size * size].reshape(-1, size)


def _measure(name: str, rows: NDArray[np.float64]) -> list[dict]:
    cut = len(rows) * 4 // 5
    train, test = list(rows[:cut]), list(rows[cut:])
    codec = SeriesMulaw.calibrated(train)
    table = ult.Table.fit(train, codec=codec, vocabulary=ult.Vocabulary(8192), min_records=1)
    ids = table.encode_batch(test)
    x, y = np.concatenate(test).astype(np.float64), np.concatenate(table.decode_batch(ids))
    noise = ((x - y) ** 2).sum()
    clipped = sum(map(codec.clipped, test)) / len(x)
    decibel = 10 * np.log10((x**2).sum() / noise)
    about_mean = 10 * np.log10(((x - x.mean()) ** 2).sum() / noise)
    is_goal = name.startswith(GENES)
    return [
        _row(name, "values clipped", clipped, x, False, "share", "at most 0.01" if is_goal else ""),
        _row(name, "signal-to-noise", decibel, x, True, "dB", "at least 25" if is_goal else ""),
        _row(name, "signal-to-noise about the mean", about_mean, x, True, "dB"),
        _row(name, "ids per value, vocabulary 8192", sum(map(len, ids)) / len(x), x, False, "ids/value"),
    ]


def _row(name: str, what: str, value: float, x: NDArray, higher: bool, unit: str, goal: str = "") -> dict:
    found = unmeasured(value) if unit == "dB" else counted(value)
    return metric(what, f"series/mulaw, {name}", found, n=len(x), higher_is_better=higher, unit=unit, goal=goal)


if __name__ == "__main__":
    main()
