"""`--side` of reactions: what is read, that both sides encode as the whole does, and what is refused."""

import numpy as np
import pytest

from ult import Table, Vocabulary
from ult.data import open_source
from ult.errors import InvalidConfig, SourceError

REACTIONS = ["CCO.[Na+]>CC(C)=O>CC=O.O", "Clc1ccccc1>>Oc1ccccc1", ">C.N>C", "C>N.O>", ">>"]
LEFT = ["CCO.[Na+]>CC(C)=O>", "Clc1ccccc1>>", ">C.N>", "C>N.O>", ">>"]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "r.txt").write_text("\n".join(REACTIONS) + "\n")
    return tmp_path / "r.txt"


def test_sides_together_are_the_reaction(path):
    left, right = (list(open_source([path], modality="molecule", side=side)) for side in ("left", "right"))
    assert left == LEFT
    assert [a + b for a, b in zip(left, right, strict=True)] == REACTIONS
    pieces = open_source([path], modality="molecule", side="left").pieces(20)
    assert [record for piece in pieces for record in piece.read().records] == LEFT


def test_a_table_of_reactions_encodes_both_sides_as_it_does_the_whole():
    table = Table.fit(REACTIONS * 3, codec="molecule/smiles", vocabulary=Vocabulary(600), min_records=1)
    for left, whole in zip(LEFT, REACTIONS, strict=True):
        sides = [table.encode(left), table.encode(whole[len(left) :])]
        assert np.concatenate(sides).tolist() == table.encode(whole).tolist()


def test_sides_are_made_canonical_one_by_one(path):
    path.write_text("OCC>>C(C)=O\n")
    sides = [list(open_source([path], modality="molecule", side=s, canonical=True)) for s in ("left", "right")]
    assert sides == [["CCO>>"], ["CC=O"]]


@pytest.mark.parametrize(("line", "arrows"), [("CCO", 0), ("C>N", 1), ("C>[Fe]<-N>C>N", 3)])
def test_what_is_no_reaction_is_refused_by_its_line(path, line, arrows):
    path.write_text(f"C>>N\n{line}\n")
    with pytest.raises(SourceError, match=rf"line 2 holds {arrows} of '>'.*--side") as caught:
        list(open_source([path], modality="molecule", side="right"))
    assert line not in str(caught.value)


def test_only_molecules_have_sides(path):
    for modality, side in (("text", "left"), ("molecule", "top")):
        with pytest.raises(InvalidConfig, match="side is"):
            open_source([path], modality=modality, side=side)
