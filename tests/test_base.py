"""`ult fit --base`: a table that extends a public one, whose ids anyone who has it reads."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import format_reader
import ult
from toy import weights
from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import attack
from ult.audit.release.reading import judge_code
from ult.cli import app
from ult.errors import FormatError, InvalidConfig
from ult.owner.handover.align import align
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import N_SPECIAL, Vocabulary
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

PUBLIC = ["the cat sat on the mat", "the dog sat on the log", "that is the hat"] * 3
OWN = [f"the nephritis of patient {k % 7} sat on the renal log" for k in range(24)]
ROWS = "model.embed_tokens.weight"


def public(size=310, **options):
    return Table.fit(PUBLIC, vocabulary=Vocabulary(size), min_records=1, public=True, **options)


@pytest.fixture(scope="module")
def base():
    return public()


@pytest.fixture(scope="module")
def extended(base):
    return Table.fit(OWN, vocabulary=Vocabulary(360), min_records=2, base=base.as_base())


def test_the_phrases_of_the_public_table_keep_their_ids_and_the_owners_come_after(base, extended):
    n = base.size - N_SPECIAL
    same = [(a.tolist(), b.tolist()) for a, b in zip(base.spellings(), extended.spellings(), strict=False)]
    assert all(a == b for a, b in same)
    assert len(same) == n
    assert (extended.base.ids, extended.base.table) == (n, base.fingerprint)
    assert extended.size > base.size
    assert (np.diff(extended.counts[n:]) <= 0).all()
    own = [bytes(s.astype(np.uint8)).decode() for s in extended.spellings()[n:]]
    assert any("nephr" in phrase or "patient" in phrase for phrase in own)
    for record in (*OWN, *PUBLIC, "what nobody wrote: \u6771\u4eac"):
        assert extended.decode(extended.encode(record)) == record
        assert len(extended.encode(record)) <= len(base.encode(record))
    used = np.bincount(np.concatenate(extended.encode_batch(OWN)), minlength=extended.size)[N_SPECIAL:]
    assert used.tolist() == extended.counts.tolist()


def test_it_is_stored_and_read_by_others_and_no_other_order_is_taken(base, extended, tmp_path):
    extended.save(tmp_path / "t.ult", encrypt=False)
    loaded = Table.load(tmp_path / "t.ult")
    assert (loaded.fingerprint, loaded.base.ids) == (extended.fingerprint, extended.base.ids)
    reader = format_reader.Table(extended.cleartext())
    assert reader.fingerprint == extended.fingerprint
    assert reader.encode(OWN[0]) == extended.encode(OWN[0]).tolist()
    document = json.loads(extended.cleartext())
    assert document["format"] == "ult-table/6"
    for wrong in (
        {"base": {"ids": 3, "table": base.fingerprint}},
        {"base": {"ids": extended.base.ids, "table": "x"}},
        {"base": {"ids": extended.base.ids - 1, "table": base.fingerprint}},
        {"base": 5},
        {"format": "ult-table/1"},
        {"ranks": document["ranks"][::-1]},
    ):
        text = json.dumps(document | wrong, sort_keys=True, separators=(",", ":"))
        with pytest.raises(FormatError, match="damaged"):
            Table.from_cleartext(text.encode())
    assert dict(extended.facts())["extends"] == f"public table {base.fingerprint}, {extended.base.ids} ids"


def test_it_can_be_extended_again_and_promise_privacy(base):
    own = Table.fit(OWN, vocabulary=Vocabulary(320), base=base.as_base(), public=True, min_records=1)
    again = Table.fit(["renal renal failure"] * 5, vocabulary=Vocabulary(330), base=own.as_base())
    assert again.base.table == own.fingerprint
    assert again.base.ids == own.size - N_SPECIAL
    private = Table.fit(OWN * 40, vocabulary=Vocabulary(340), base=base.as_base(), epsilon=8.0, patches_per_record=12)
    assert private.privacy is not None
    assert Table.from_cleartext(private.cleartext()).fingerprint == private.fingerprint


def test_what_does_not_go_together_is_refused(base):
    with pytest.raises(InvalidConfig, match="nobody declared public"):
        Table.fit(PUBLIC, vocabulary=Vocabulary(310), min_records=1).as_base()
    with pytest.raises(InvalidConfig, match="the public table has 310 ids"):
        Table.fit(OWN, vocabulary=Vocabulary(300), base=base.as_base())
    with pytest.raises(InvalidConfig, match="order cannot be secret"):
        Table.fit(OWN, vocabulary=Vocabulary(360), base=base.as_base(), secret_ids=True)


def test_by_command_with_the_price(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base.save("public.ult", encrypt=False)
    (tmp_path / "a.txt").write_text("\n".join(OWN) + "\n")
    fit = "fit a.txt -o t.ult --base public.ult --vocabulary-size 360 --no-encryption --min-records 2"
    done = CliRunner().invoke(app, fit.split())
    assert done.exit_code == 0, done.output
    table = Table.load("t.ult")
    share = table.counts[: table.base.ids].sum() / table.counts.sum()
    assert f"whoever has public.ult reads {share:.0%} of the ids of these records" in " ".join(done.output.split())
    assert "extends" in CliRunner().invoke(app, ["inspect", "t.ult"]).output
    for more, said in (
        ("--secret-ids", "order cannot be secret"),
        ("--option max_length=9", "the options of its codec already"),
        ("--codec molecule/smiles", "is of text/bytes"),
        ("--merges public.ult", "expected one of them"),
    ):
        done = CliRunner().invoke(app, [*fit.split(), "--force", *more.split()])
        assert said in str(done.exception), more


def test_whoever_has_the_public_table_reads_its_ids_and_the_verdict_is_red(base, extended):
    other = [f"the renal log of a cat sat {k % 5}" for k in range(30)]
    adversary = Adversary.fitted(extended, other)
    assert adversary.known.base.table == base.fingerprint
    ids = extended.encode_batch(OWN)
    found = list(attack(ids, adversary=adversary, truth=extended, plaintext=False))
    (read,) = (one for one in found if one["name"] == "public table" and one["units"] == sum(map(len, ids)))
    flat = np.concatenate(ids).astype(int) - N_SPECIAL
    assert read["occurrences"] >= float((flat < extended.base.ids).mean()) > read["blind"]
    assert read["occurrences"] <= read["ceiling"]
    audit = {"attacks": found, "units": read["units"], "records": 1, "codec": "text/bytes"}
    audit["reference"] = {"records": 30, "bytes": 900}
    assert any(one.level == "red" and "public table" in one.found for one in judge_code(audit))


def test_a_run_of_the_public_table_keeps_its_rows_under_a_larger_vocabulary(base, extended, tmp_path):
    with ShardWriter(tmp_path / "shards", vocabulary=base.vocabulary, table=base.fingerprint, codec="text/bytes",
                     column="text") as writer:  # fmt: skip
        writer.write(base.encode_batch(PUBLIC), nbytes=sum(map(len, PUBLIC)))
    train(tmp_path / "shards", tmp_path / "run", Recipe(steps=2, context=16, batch_size=2))
    align(tmp_path / "run", base, extended, tmp_path / "moved")
    before, after = weights(tmp_path / "run")[ROWS], weights(tmp_path / "moved")[ROWS]
    assert after.shape[0] == extended.vocabulary.size > before.shape[0]
    assert (after[: base.size] == before[: base.size]).all()
    moved = Run.open(tmp_path / "moved")
    assert (moved.vocabulary, moved.tables) == (extended.vocabulary, {extended.fingerprint})
    other = Table.fit(OWN, vocabulary=Vocabulary(360), min_records=2)
    with pytest.raises(ult.errors.WrongVocabulary):
        align(tmp_path / "run", base, other, tmp_path / "not")
