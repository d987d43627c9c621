"""Reactions as sources and targets that are nearly copies: what is written is read again; no source saw a product."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "runs"))

from lib import reacting, rooted
from lib.copies import Pointers

pytest.importorskip("rdkit")

ACIDS = {"CC(=O)O": "CC(=O)N", "CCC(=O)O": "CCC(=O)N", "O=C(O)c1ccc(Cl)cc1": "O=C(c1ccc(Cl)cc1)N"}
AMINES = {"CCN": "CC", "NCc1ccccc1": "Cc1ccccc1", "CC(C)N": "C(C)C"}
REACTIONS = [f"{acid}.{amine}>CN(C)C=O>{ACIDS[acid]}{AMINES[amine]}" for acid in ACIDS for amine in AMINES]


@pytest.fixture(scope="module")
def pairs():
    sites = rooted.Sites(REACTIONS)
    sources = [sites.source(one) for one in REACTIONS]
    return [(source, rooted.target(one, source)) for one, source in zip(REACTIONS, sources, strict=True)]


def test_sources_and_targets_are_the_same_molecules(pairs):
    for reaction, (source, target) in zip(REACTIONS, pairs, strict=True):
        reactants, reagents, product = reaction.split(">")
        left, right = source.split(">")
        assert sorted(map(reacting.canonical, left.split("."))) == sorted(map(reacting.canonical, reactants.split(".")))
        assert right == reagents
        assert reacting.canonical(target) == reacting.canonical(product)


def test_a_source_is_written_without_a_look_at_its_products():
    sites = rooted.Sites(REACTIONS)
    for one in REACTIONS:
        assert sites.source(one) == sites.source(one[: one.rindex(">")] + ">C")


def test_what_changes_ends_the_first_reactant_and_begins_the_others():
    sites = rooted.Sites(REACTIONS)
    assert max(sites.chances("NCc1ccccc1", True)) == sites.chances("NCc1ccccc1", True)[0]
    first, other = sites.source(REACTIONS[-2]).split(">")[0].split(".")
    assert first.endswith("C(=O)O")
    assert other.startswith("N")


@pytest.mark.parametrize("make", [reacting.Atoms, lambda texts: reacting.Ours(texts, 520)], ids=["raw", "ult"])
def test_an_edit_makes_the_product(pairs, make):
    writer = reacting.Writer(make([text for pair in pairs for text in pair] * 3 + [".", ">", "["]))
    edits = [writer.edit(*pair) for pair in pairs]
    for (source, target), edit in zip(pairs, edits, strict=True):
        assert writer.product(source, edit) == reacting.canonical(target)
        assert any(one >= writer.coder.size for one in edit)
        assert max([*edit, *writer.source(source)]) < writer.pointers.size
    assert writer.product(pairs[0][0], [writer.pointers.first]) is None  # no end


def test_pointers_to_nothing_are_refused():
    pointers = Pointers(100, parts=2, places=4, least=2, ending=1)
    begin, end = 100, 108
    parts = [[1, 2, 3], [4]]
    assert pointers.read(parts, [begin, end + 1, 9, begin + 4, end]) == [1, 2, 9, 4]
    wrong = ([begin], [end], [begin, 7, end], [begin + 3, end], [begin, end + 3], [begin, begin], [begin + 5, end])
    for written in wrong:
        assert pointers.read(parts, written) is None
    assert pointers.read(parts[:1], [begin + 4, end]) is None
    assert pointers.size == 112


def test_the_longest_run_is_pointed_to_and_no_token_is_broken():
    pointers = Pointers(1000, parts=2, places=8, least=2, ending=1)

    def encode(text):
        return [ord(one) for one in text]

    source = [["C", "C", "O"], ["N", "C", "C", "l"]]
    assert pointers.written(source, ["C", "C", "N"], encode) == [1000, 1017, ord("N")]
    assert pointers.written(source, ["C", "C", "O", "N"], encode) == [1000, 1016, ord("N")]
    assert pointers.written(source, ["N", "C", "Cl"], encode) == [1008, 1016]
    assert pointers.written([["N", "C"]], ["N", "Cl"], encode) == encode("NCl")


def test_the_largest_reactant_is_right_where_nothing_happens():
    assert reacting.copied([("CCO.C>O", "OCC"), ("CCO.C>", "CC")]) == [True, False]


def test_neighbours_answer_with_the_edit_of_the_most_similar_reaction(pairs):
    known = [*pairs, *[("c1ccccc1OC>", "c1ccccc1O")] * 3]
    writer = reacting.Writer(reacting.Atoms([text for pair in known for text in pair] + [".", ">", "["]))
    parts = {"train": known, "valid": pairs[:4], "test": pairs[:6]}
    assert all(reacting.neighbours(writer, parts))
    assert sum(reacting.linear(writer, parts, frequent=1)) > 3
