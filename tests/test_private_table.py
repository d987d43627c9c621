"""Tables with differential privacy: bounded patches, noisy counts and a threshold; what is stored of the promise."""

import json
import math
from typing import Any

import numpy as np
import pytest

import format_reader
from ult.codecs.patches import Patches
from ult.codecs.text import TextBytes
from ult.errors import FormatError, InvalidConfig
from ult.owner.bpe.counts import PatchCounts
from ult.owner.bpe.private_counts import bounded, promise, release
from ult.owner.pipeline.engine import Local
from ult.owner.pipeline.pieces import count
from ult.owner.table import Table
from ult.privacy.accountant import spent
from ult.public.guarantee import Guarantee
from ult.public.manifest import Manifest
from ult.public.shard_writer import ShardWriter
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary

V = Vocabulary(1024)
WORDS = ["alpha", " beta", " gamma", " delta"]
RECORDS = ["".join(np.random.default_rng(k).permutation(WORDS)) for k in range(2000)]


def patches(*records):
    return TextBytes().encode_batch(list(records))


def spelt(found):
    """Return what the patches of each record spell."""
    starts = [0, *found.ends]
    words = [bytes(found.symbols[a:b].tolist()).decode() for a, b in zip(starts, found.ends, strict=False)]
    return [words[a:b] for a, b in zip([0, *found.records], found.records, strict=False)]


def test_a_record_counts_in_so_many_distinct_patches_once_each():
    found = patches("a b a b c", "", "d", "e f g h i j")
    for most in (1, 2, 3, 100):
        kept = spelt(bounded(found, most))
        for words, whole in zip(kept, spelt(found), strict=True):
            assert len(words) == len(set(words)) == min(most, len(set(whole)))
            assert set(words) <= set(whole)
    assert spelt(bounded(patches("", ""), 3)) == [[], []]
    none = bounded(Patches.concatenate([]), 3)
    assert (len(none.symbols), len(none.ends), len(none.records)) == (0, 0, 0)


def test_all_patches_of_a_record_are_as_likely():
    found = patches("a b b b b b c d")
    rng = np.random.default_rng(0)
    drawn = [word for _ in range(2000) for word in spelt(bounded(found, 2, draw=rng))[0]]
    shares = np.unique(drawn, return_counts=True)[1] / 2000
    assert len(shares) == 4
    assert np.abs(shares - 0.5).max() < 0.05


def test_noise_and_threshold_are_those_of_the_closed_forms():
    kept = promise(1.0, 1e-6, patches=16, records=1000)
    assert spent(kept.noise / 4, 5e-7, rate=1.0, steps=1) <= 1.0 < spent(kept.noise / 4 * 0.99, 5e-7, rate=1.0, steps=1)
    passes = 0.5 * math.erfc((kept.threshold - 1) / kept.noise / math.sqrt(2))  # a count of 1, with noise
    assert 1 - (1 - passes) ** 16 == pytest.approx(5e-7, rel=1e-6)
    assert promise(1.0, None, patches=16, records=1000).delta == pytest.approx(1000**-1.1)


def test_no_attack_on_simulated_releases_gets_more_than_the_promise():
    """One record more, that holds two patches of others and two of its own: how often is each release seen?"""
    kept, n = promise(2.0, 0.05, patches=4, records=10), 100_000
    rng = np.random.default_rng(0)
    shared = kept.threshold
    without = shared + kept.noise * rng.standard_normal((n, 2))
    also = 1 + shared + kept.noise * rng.standard_normal((n, 2))
    own: Any = (1 + kept.noise * rng.standard_normal((n, 2)) > kept.threshold).any(1)
    assert own.mean() < kept.delta / 2
    thresholds = np.quantile(without.sum(1), 1 - np.geomspace(1e-2, 0.5, 40))
    false = (without.sum(1)[:, None] > thresholds).mean(0)
    true = ((also.sum(1)[:, None] > thresholds) | own[:, None]).mean(0)
    assert (true <= math.exp(kept.epsilon) * false + kept.delta).all()


class Noiseless:
    def standard_normal(self, size):
        return np.zeros(size)


def test_released_are_the_counts_above_the_threshold_whatever_the_order():
    kept = Guarantee(1.0, 1e-3, 4, 1.0, 2.5)
    released = []
    for records in (["x y", "y x", "x q"], ["x q", "y x", "x y"]):
        counts = PatchCounts()
        counts.add(patches(*records, "x z"))
        released.append(release(counts, kept, draw=Noiseless()))
    assert [bytes(symbols.tolist()) for symbols, *_ in released] == [b"x"] * 2
    _, ends, times, holders = released[0]
    assert (ends.tolist(), times.tolist(), holders.held.tolist(), len(holders.record)) == ([1], [3], [0], 0)
    counts = PatchCounts(capacity=1)
    counts.add(patches("a b", "c d"))
    with pytest.raises(InvalidConfig, match="--patches-per-record"):
        release(counts, kept)


class Drawn:
    """Noise that is told in advance, in the order in which patches were met."""

    def __init__(self, *noise):
        self.noise = noise

    def standard_normal(self, size):
        assert size == (len(self.noise),)
        return np.array(self.noise)


def test_the_threshold_is_for_the_count_before_it_is_rounded():
    """Each of these is 3 once rounded; the threshold lies between them."""
    counts = PatchCounts()
    counts.add(patches("x y z"))
    symbols, _, times, _ = release(counts, Guarantee(1.0, 1e-3, 4, 1.0, 2.6), draw=Drawn(1.55, 1.61, 2.4))
    assert (bytes(symbols.tolist()), times.tolist()) == (b" y z", [3, 3])


def test_table_holds_what_many_records_hold_and_counts_with_noise():
    records = [*RECORDS, "a secret that is said but once"]
    table = Table.fit(records, vocabulary=V, epsilon=2.0, patches_per_record=4)
    written = {bytes(symbols.tolist()).decode("latin-1") for symbols in table.spellings()}
    assert set(WORDS) <= written
    assert not any("sec" in phrase for phrase in written)
    assert table.decode(table.encode(records[-1])) == records[-1]
    assert table.counts[table.counts > 0].min() >= round(table.privacy.threshold)
    assert table.records == 2001
    assert (table.privacy.epsilon, table.privacy.patches) == (2.0, 4)
    again = Table.fit(records, vocabulary=V, epsilon=2.0, patches_per_record=4)
    counted = [dict(zip(map(bytes, one.spellings()), one.counts.tolist(), strict=True)) for one in (table, again)]
    differences = [counted[0][phrase] - counted[1][phrase] for phrase in counted[0] if phrase in counted[1]]
    apart = np.array([difference for difference in differences if difference])  # the noise is never the same
    assert len(apart) >= 3
    assert np.abs(apart).max() < 8 * table.privacy.noise


def test_promise_is_stored_and_shards_carry_it(tmp_path):
    table = Table.fit(RECORDS, vocabulary=V, epsilon=1.0, delta=1e-5)
    table.save(tmp_path / "t", encrypt=False)
    assert json.loads((tmp_path / "t").read_text())["format"] == "ult-table/3"
    loaded = Table.load(tmp_path / "t")
    assert (loaded.privacy, loaded.fingerprint) == (table.privacy, table.fingerprint)
    assert format_reader.Table((tmp_path / "t").read_bytes()).fingerprint == table.fingerprint
    plain = Table.fit(RECORDS, vocabulary=V, min_records=1)
    assert plain.privacy is None
    assert json.loads(plain.cleartext())["format"] == "ult-table/1"
    with ShardWriter(tmp_path / "s", vocabulary=V, table="ab" * 16, codec="text/bytes", column="text") as writer:
        writer.write(table.encode_batch(["alpha"]), 5)
    manifest = Shards(tmp_path / "s").manifest
    private = Manifest(**{**{n: getattr(manifest, n) for n in manifest.__slots__}, "privacy": table.privacy})
    document = json.loads(private.to_json())
    assert (document["format"], document["privacy"]["epsilon"]) == ("ult-shards/2", 1.0)
    assert Manifest.from_json(private.to_json(), "m") == private
    assert json.loads(manifest.to_json())["format"] == "ult-shards/1"


@pytest.mark.parametrize("change", [{"epsilon": -1.0}, {"patches": 1.0}, {"noise": True}, {"x": 1}, {"delta": None}])
def test_damaged_promises_are_refused(change):
    table = Table.fit(["a"] * 50, vocabulary=V, epsilon=1.0)
    document = json.loads(table.cleartext())
    document["privacy"] |= change
    payload = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(FormatError, match="privacy"):
        Table.from_cleartext(payload)
    del document["privacy"]
    with pytest.raises(FormatError, match="fields"):
        Table.from_cleartext(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def test_pieces_are_bounded_by_their_workers():
    class Piece:
        rows = None

        def __init__(self, records):
            self.records = records

        def batches(self):
            yield self

    pieces: list[Any] = [Piece(RECORDS[:1000]), Piece(RECORDS[1000:])]
    counts = count(lambda: pieces, TextBytes(), min_records=1, engine=Local(1), most=2)
    times = counts.patches()[2]
    assert (times.sum(), counts.records) == (4000, 2000)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"delta": 1e-5}, "delta was given without"),
        ({"patches_per_record": 3}, "patches_per_record was given without"),
        ({"epsilon": 1.0, "min_records": 5}, "counts holders without noise"),
        ({"epsilon": 1.0, "patches_per_record": 0}, "patches_per_record is 0"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"epsilon": 1.0, "delta": 0.5}, "below 1 / 2000"),
        ({"epsilon": 1.0, "codec": "series/mulaw"}, "takes its range from the records"),
    ],
)
def test_options_that_make_no_promise(options, text):
    with pytest.raises(InvalidConfig, match=text):
        Table.fit(RECORDS, vocabulary=V, **options)


def test_public_records_are_declared_and_shards_say_so(tmp_path):
    table = Table.fit(RECORDS, vocabulary=V, public=True, min_records=1)
    assert json.loads(table.cleartext())["format"] == "ult-table/4"
    loaded = Table.from_cleartext(table.cleartext())
    assert (loaded.public, loaded.privacy, loaded.fingerprint) == (True, None, table.fingerprint)
    assert format_reader.Table(table.cleartext()).fingerprint == table.fingerprint
    plain = Table.fit(RECORDS, vocabulary=V, min_records=1)
    assert (plain.public, plain.fingerprint != table.fingerprint) == (False, True)
    with pytest.raises(InvalidConfig, match="need no promise"):
        Table.fit(RECORDS, vocabulary=V, public=True, epsilon=1.0)
    document = json.loads(table.cleartext())
    for change in ({"public": False}, {"public": 1}, {"format": "ult-table/1"}, {"format": "ult-table/3"}):
        payload = json.dumps(document | change, sort_keys=True, separators=(",", ":")).encode()
        with pytest.raises(FormatError):
            Table.from_cleartext(payload)


def test_a_promise_is_shown_as_a_sentence():
    table = Table.fit(RECORDS[:200], vocabulary=V, epsilon=8.0, delta=1e-4, patches_per_record=1)
    said = "(8, 0.0001)-differential privacy for each record, counted in up to 1 patch"
    assert f"<td>{said}</td>" in table._repr_html_()
    assert "Guarantee" not in table._repr_html_()
