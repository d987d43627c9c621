"""decode(encode(x)) == x for every record of the text and molecule files; the count is the result."""

import csv
from collections.abc import Iterator
from pathlib import Path

from session import counted, data_folder, metric, write

import ult

csv.field_size_limit(2**30)


def records(path: Path) -> Iterator[str]:
    """Give every string of a file: the lines of a text, the cells of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".txt":
            yield from file.read().split("\n")
        else:
            for row in csv.reader(file):
                yield from row


def main() -> None:
    data = data_folder()
    metrics = []
    for codec, folders in CODECS.items():
        paths = sorted(p for f in folders for p in (data / f).rglob("*") if p.suffix in (".txt", ".csv"))
        everything = [record for path in paths for record in records(path)]
        table = ult.Table.fit(everything[::7], codec=codec, vocabulary=ult.Vocabulary(8192), min_records=1)
        exact = 0
        for start in range(0, len(everything), 4096):
            batch = everything[start : start + 4096]
            decoded = table.decode_batch(table.encode_batch(batch))
            exact += sum(a == b for a, b in zip(batch, decoded, strict=True))
        name = f"records exact, {len(paths)} files"
        share = exact / len(everything)
        metrics.append(
            metric(
                name, codec, counted(share), n=len(everything), higher_is_better=True, unit="share", goal="at least 1"
            )
        )
    write("exact", "What comes back exactly", metrics, __doc__, command="python bench/exact.py --data DATA")


CODECS = {
    "text/bytes": ("text", "molecules"),
    "text/bwt": ("text", "molecules"),
    "molecule/smiles": ("molecules", "text"),
}

if __name__ == "__main__":
    main()
