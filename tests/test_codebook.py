"""What a public file lists of categories is known to `ult synth`, and costs nothing."""

from test_marginals import LABELLED, made, people, write
from ult.data.columns.describe import describe
from ult.synth.records import Reading, Records


def test_cells_that_a_public_file_lists_are_known(tmp_path):
    write(tmp_path / "people.csv", people())
    write(tmp_path / "public.csv", people(200, seed=7))
    schema = describe(tmp_path / "public.csv", public=True).schema
    assert schema is not None
    assert schema.domains == {"sex": ("f", "m"), "outcome": ("admitted", "home")}  # no range: others may lie beyond it
    private = describe(tmp_path / "public.csv").schema
    assert private is not None
    assert not private.domains
    one = describe(tmp_path / "public.csv", public=True, column="sex").schema
    assert one is not None
    assert not one.domains
    done, rows = made(tmp_path, tmp_path / "out.csv", n=20, schema=schema, forms=None, **LABELLED)
    assert "what cells 'sex' may have, which the owner declared" in done.told.public
    assert not any("what cells 'outcome' may have" in told for told in done.told.public)  # labels are counted
    assert {row["sex"] for row in rows} == {"f", "m"}
    records = Records.open(Reading(inputs=tmp_path / "people.csv", schema=schema), private=True).without_domains()
    assert records.layout is not None
    assert (records.layout.domains, records.declared) == ({}, {})
    assert records.told[-1] == "the schema says what cells 'sex', 'outcome' may have, which only marginals use"
