"""Sequences of FASTA and FASTQ, and molecules of SDF, which the tests write themselves; packed ones, and bad ones."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdDistGeom

from ult.cli import app
from ult.data import open_source, packed, sequence
from ult.errors import EmptySource, MissingColumn, SourceError

FASTA = ">one two ü\nACGT\nacgtNN\n\n\n>b\r\nAC-*\r\n>c\nA"
FASTQ = "@r1 x\nACGT\n+\n!!@@\n@r2\nAC\nGT\n+r2\n@@\n@I\n"


def write(path: Path, text: str | bytes) -> Path:
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" and isinstance(text, str) else data)
    return path


def read(path: Path, modality: str = "text", **options: Any) -> list[str]:
    return list(open_source([path], modality=modality, **options))


def kept(path: Path, modality: str = "text", **options: Any) -> list[dict[str, Any]]:
    batches = open_source([path], modality=modality, **options).batches()
    return [row for batch in batches for row in batch.kept.to_pylist()]


@pytest.mark.parametrize("name", [f"x{suffix}" for suffix in sequence.SUFFIXES])
def test_a_sequence_is_a_record_as_it_is_written(name, tmp_path):
    if name.removesuffix(".gz").endswith(sequence.FASTQ):
        path = write(tmp_path / name, FASTQ)
        assert read(path) == ["ACGT", "ACGT"]
        expected = [{"quality": "!!@@", "header": "r1 x"}, {"quality": "@@@I", "header": "r2"}]
        assert kept(path, keep=["quality", "header"]) == expected
        assert read(path, column="quality") == ["!!@@", "@@@I"]
    else:
        path = write(tmp_path / name, FASTA)
        assert read(path) == ["ACGTacgtNN", "AC-*", "A"]
        assert [row["header"] for row in kept(path, keep=["header"])] == ["one two ü", "b", "c"]
    assert kept(path) == [{}] * len(read(path))


BAD = [
    ("x.fa", "\n\n", EmptySource, "holds only blank lines"),
    ("x.fa", "ACGT\n", SourceError, "line 1 does not begin with '>'"),
    ("x.fa", ">a\n>b\nAC\n", SourceError, "line 1 is a header without a sequence"),
    ("x.fa", ">a\nAC\n\nGT\n", SourceError, "line 4 does not begin with '>'"),
    ("x.fa", ">a\nACGT\nAC GT\n", SourceError, "line 3 holds ' ' in a sequence"),
    ("x.fa", b">a\nAC\xffGT\n", SourceError, "line 2 holds byte 0xff"),
    ("x.fa", b">a\xff\nACGT\n", SourceError, "line 1 is not UTF-8"),
    ("x.fa", "@a\nAC\n+\n!!\n", SourceError, "hint: a .fastq file begins so"),
    ("x.fa", gzip.compress(b">a\nAC\n"), SourceError, "packed by gzip"),
    ("x.fa", b"\1" * 5000, SourceError, "line 1 does not begin with '>'"),
    ("x.fq", "@r\nACG\n+\n!!\n", SourceError, "cut short: it ends after line 4; expected qualities"),
    ("x.fq", "@r\nACG\n+\n!!!!\n", SourceError, "line 4 ends 4 qualities of 3 letters"),
    ("x.fq", "@r\nACG\n", SourceError, "cut short"),
    ("x.fq", "@r\nACG\n+x\n!!!\n", SourceError, "line 3 names another read"),
    ("x.fq", "@r\nACG\n+\n!! \n", SourceError, "line 4 holds a character that is no quality"),
    ("x.fq", ">r\nACG\n", SourceError, "hint: a .fasta file begins so"),
    ("x.fa.gz", b">a\nAC\n", SourceError, "not packed by gzip"),
    ("x.fa.gz", gzip.compress(b">a\nAC\n" * 99)[:-12], SourceError, "cut short: it ends inside packed data"),
    ("x.fa.gz", gzip.compress(b">a\nAC\n") + b"trash", SourceError, "does not unpack to its end"),
    ("x.fa.gz", gzip.compress(b">a\nAC\n")[:-8] + bytes(8), SourceError, "does not unpack to its end"),
]


@pytest.mark.parametrize(("name", "data", "error", "message"), BAD, ids=range(len(BAD)))
def test_what_is_no_sequence_is_refused_with_its_line(name, data, error, message, tmp_path):
    with pytest.raises(error, match=message):
        read(write(tmp_path / name, data))


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "ALWAYS", 2**20)
    path = write(tmp_path / "x.fa.gz", ">a\n" + "A" * 2**22)
    with pytest.raises(SourceError, match=r"unpacks to over 200 times its size;.*gunzip -k"):
        read(path)
    monkeypatch.setattr(packed, "ALWAYS", 2**23)
    assert len(read(path)[0]) == 2**22
    monkeypatch.setattr(sequence, "LONGEST", 2**21)
    with pytest.raises(SourceError, match="line 2 has more than"):
        read(path)


SMILES = ["C[C@H](N)C(=O)O", "F/C=C/F", "[NH3+]CC(=O)[O-]", "c1ccccc1", "[13CH4]", "[Na+].[Cl-]", "C[C@@H](O)F"]


def block(smiles: str, title: str = "x", *, solid: bool = False) -> str:
    molecule = Chem.MolFromSmiles(smiles)
    if solid:
        molecule = Chem.AddHs(molecule)
        rdDistGeom.EmbedMolecule(molecule, randomSeed=1)
    else:
        rdDepictor.Compute2DCoords(molecule)
    molecule.SetProp("_Name", title)
    return str(Chem.MolToMolBlock(molecule))


def library() -> str:
    blocks = [block(one, f"m{k}", solid=k == 6) for k, one in enumerate(SMILES)]
    fields = [f">  <NAME>\nname {k}\nsecond\n\n> 25 <P <x>> (1)\n{k}\n\n" for k in range(len(blocks))]
    return "".join(f"{one}{more}$$$$\n" for one, more in zip(blocks, fields, strict=True))


def test_molecules_are_canonical_smiles_with_their_stereochemistry(tmp_path):
    expected = [Chem.CanonSmiles(one) for one in SMILES]
    for name, text in (("a.sdf", library()), ("b.sdf", library().replace("\n", "\r\n")), ("c.sdf.gz", library())):
        assert read(write(tmp_path / name, text), "molecule") == expected
    rows = kept(tmp_path / "b.sdf", "molecule", keep=["title", "NAME", "P <x>"])
    assert rows[3] == {"title": "m3", "NAME": "name 3\nsecond", "P <x>": "3"}
    assert read(write(tmp_path / "a.mol", block("CCO")), "molecule") == ["CCO"]
    missing = write(tmp_path / "d.sdf", f"{block('C')}$$$$\n{block('CC')}> <A>\n1\n\n$$$$\n")
    assert kept(missing, "molecule", keep=["A"]) == [{"A": None}, {"A": "1"}]


def test_stereochemistry_that_smiles_cannot_hold_is_counted(tmp_path):
    racemic = Chem.MolToV3KMolBlock(Chem.MolFromSmiles("C[C@H](F)Cl |&1:1|"))
    source = open_source([write(tmp_path / "a.mol", racemic)], modality="molecule")
    assert list(source) == ["C[C@H](F)Cl"]
    assert source.told == [
        f"{tmp_path}/a.mol: 1 of the molecules have stereochemistry that is relative or a mixture; their SMILES hold "
        "one configuration"
    ]


def spoilt() -> str:
    bad = block("C=C=C").replace("  1  2  2  0", "  1  2  3  0").replace("  2  3  2  0", "  2  3  3  0")
    return library() + bad + "$$$$\n"


MOLECULES = [
    ("x.sdf", spoilt, {}, r"molecule 8 \(line 154\) cannot be read by RDKit: AtomValence.*hint: sed '154,164d'"),
    ("x.sdf", lambda: library()[:-30], {}, "cut short: its last molecule does not end"),
    ("x.sdf", lambda: library()[:400], {}, "cut short: its last molecule does not end"),
    ("x.sdf", lambda: block("CC"), {}, "cut short.*hint: printf"),
    ("x.sdf", lambda: library() + "words\n$$$$\n", {}, r"molecule 8 \(line 154\) has no line 'M  END'"),
    ("x.sdf", lambda: "\n\n", {}, "holds no molecule"),
    ("x.mol", lambda: Chem.MolToMolBlock(Chem.MolFromSmarts("C~N")), {}, "is a query"),
    ("x.mol", lambda: block("CC").split("M  END")[0], {}, "has no line 'M  END'"),
    ("x.mol", lambda: "\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n", {}, "has no atoms"),
    ("x.sdf", lambda: block("C") + "> <A>\n1\n\n> <A>\n2\n\n$$$$\n", {"keep": ["A"]}, "has the field 'A' twice"),
    ("x.sdf", lambda: block("C") + "> <title>\n1\n\n$$$$\n", {"keep": ["title"]}, "as other columns are called"),
    ("x.sdf", lambda: "x" * 2**20 + "\n", {}, "molecule 1 has more than"),
]


@pytest.mark.parametrize(("name", "make", "options", "message"), MOLECULES, ids=range(len(MOLECULES)))
def test_a_molecule_that_cannot_be_read_is_refused_by_its_number(
    name, make, options, message, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr("ult.data.molecules.sdf.LARGEST", 2**16)
    with pytest.raises(SourceError, match=message):
        read(write(tmp_path / name, make()), "molecule", **options)
    assert capfd.readouterr().err == ""


def test_an_unknown_field_is_named(tmp_path):
    with pytest.raises(MissingColumn, match="no column 'B'; it has 'smiles', 'title', 'NAME'"):
        read(write(tmp_path / "a.sdf", library()), "molecule", keep=["B"])


def test_from_sequences_and_molecules_to_ids_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("a.fasta.gz"), "".join(f">p{k}\nMKV{'LA' * k}\nGG\n" for k in range(1, 9)))
    write(Path("b.sdf"), library())
    of = "--no-encryption --vocabulary-size 512 --min-records 1 -w 1"
    for line in (
        f"fit a.*.gz -o a.ult {of}",
        "encode a.fasta.gz -t a.ult -o a.shards --keep header -w 1",
        "decode a.shards -t a.ult -o a.csv",
        f"fit b.sdf --codec molecule/smiles -o b.ult {of}",
        "encode b.sdf -t b.ult -o b.shards -w 1",
        "decode b.shards -t b.ult -o b.txt",
    ):
        app(line.split(), standalone_mode=False)
    assert Path("a.csv").read_text().splitlines()[:2] == ["header,sequence", "p1,MKVLAGG"]
    assert Path("b.txt").read_text().splitlines() == [Chem.CanonSmiles(one) for one in SMILES]
