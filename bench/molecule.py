"""Ids per molecule or reaction of `molecule/smiles`, beside `text/bytes` of the same size and atom-wise tokens."""

import csv
import re

from session import counted, data_folder, metric, write

import ult

# The tokens of Schwaller et al., ACS Cent. Sci. 5 (2019), the usual unit of language models for SMILES.
ATOMS = re.compile(r"\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>|\*|\$|%[0-9]{2}|[0-9]")


def main() -> None:
    folder = data_folder() / "molecules"
    with (folder / "smiles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    reactions = [(folder / "uspto-mit" / f"{part}.txt").read_text("utf-8").splitlines() for part in ("train", "test")]
    sets = {
        "USPTO-MIT reactions": reactions,
        "HIV screen molecules": [[r["smiles"] for r in rows if r["split"] == part] for part in ("train", "test")],
    }
    metrics = []
    for name, (train, test) in sets.items():
        for codec in ("molecule/smiles", "text/bytes"):
            table = ult.Table.fit(train, codec=codec, vocabulary=ult.Vocabulary(8192), min_records=1)
            ids = table.encode_batch(test)
            assert table.decode_batch(ids) == test
            metrics.append(_row(name, codec, sum(map(len, ids)) / len(test), len(test)))
        atoms = sum(len(ATOMS.findall(record)) for record in test)
        metrics.append(_row(name, "atom-wise tokens", atoms / len(test), len(test)))
    write("molecule-ids", "Ids of molecules", metrics, __doc__, command="python bench/molecule.py --data DATA")


def _row(name: str, system: str, value: float, n: int) -> dict:
    return metric(f"ids per record, {name}", system, counted(value), n=n, higher_is_better=False, unit="ids")


if __name__ == "__main__":
    main()
