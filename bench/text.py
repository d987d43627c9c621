"""Ids per character of `text/bytes` beside a Hugging Face byte-level BPE of the same size, fitted on the same file."""

from session import counted, data_folder, metric, write
from tokenizers import ByteLevelBPETokenizer

import ult

SIZE = 8192


def main() -> None:
    folder = data_folder() / "text" / "wikitext-2"
    train = (folder / "train.txt").read_text(encoding="utf-8").split("\n")
    test = (folder / "test.txt").read_text(encoding="utf-8").split("\n")
    characters = sum(map(len, test))

    peer = ByteLevelBPETokenizer()
    peer.train([str(folder / "train.txt")], vocab_size=SIZE, min_frequency=2, show_progress=False)
    peers = sum(len(e.ids) for e in peer.encode_batch(test))

    metrics = []
    for min_records in (1, 5):
        table = ult.Table.fit(train, codec="text/bytes", vocabulary=ult.Vocabulary(SIZE), min_records=min_records)
        ids = table.encode_batch(test)
        assert table.decode_batch(ids) == test
        ours = sum(map(len, ids))
        name = f"text/bytes, min_records {min_records}"
        metrics.append(metric("ids per character", name, counted(ours / characters), n=characters, **_FEWER))
        metrics.append(
            metric("ids, relative to BPE", name, counted(ours / peers), n=characters, goal="at most 1.00", **_SHARE)
        )
    bwt = ult.Table.fit(train, codec="text/bwt", vocabulary=ult.Vocabulary(SIZE), min_records=1)
    ids = bwt.encode_batch(test)
    assert bwt.decode_batch(ids) == test
    ours = sum(map(len, ids))
    metrics.append(
        metric("ids per character", "text/bwt, patches of 8", counted(ours / characters), n=characters, **_FEWER)
    )
    metrics.append(
        metric("ids per character", "byte-level BPE (tokenizers)", counted(peers / characters), n=characters, **_FEWER)
    )
    write("text-ids", "Ids of text", metrics, __doc__, command="python bench/text.py --data DATA")


_FEWER = {"higher_is_better": False, "unit": "ids/character"}
_SHARE = {"higher_is_better": False, "unit": "x"}

if __name__ == "__main__":
    main()
