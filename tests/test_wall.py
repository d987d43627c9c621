"""The wall: what runs at the trainer's never reaches what holds a secret or a record."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ult

SOURCE = Path(ult.__file__).parent
TRAINER = (
    "ahead",
    "atomic",
    "lock",
    "disk",
    "regular",
    "checkpoint",
    "model",
    "train",
    "evaluate",
    "frozen",
    "generate",
    "goldfish",
    "memorisation",
    "metrics",
    "guarantee",
    "lora",
    "manifest",
    "mixture",
    "ngrams",
    "packing",
    "pairs",
    "privacy.accountant",
    "privacy.draws",
    "privacy.gradient",
    "privacy.randomness",
    "privacy.training",
    "processes",
    "progress",
    "published",
    "pulse",
    "report",
    "restraint",
    "run",
    "seq2seq",
    "settings",
    "steps",
    "translate",
    "validation",
    "windows",
    "shards",
    "vocabulary",
    "distribution",
    "errors",
)
SECRET = (
    "ult.table",
    "ult.keyfile",
    "ult.codecs",
    "ult.data",
    "ult.grammar",
    "ult.phrases",
    "ult.privacy.patches",
    "pyrage",
)


def imports(path):
    """Every module that a file names in an import, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_secret(name):
    return any(name == secret or name.startswith(secret + ".") for secret in SECRET)


@pytest.mark.parametrize("name", TRAINER)
def test_trainer_module_names_no_secret(name):
    found = set(imports(SOURCE / f"{name.replace('.', '/')}.py"))
    assert not {i for i in found if is_secret(i)}
    ours = {i.split(".")[1] for i in found if i.startswith("ult.")}
    assert ours <= {module.partition(".")[0] for module in TRAINER}
    assert "ult" not in found, "import what is needed from its own module"


def test_rule_would_see_a_breach(tmp_path):
    (tmp_path / "x.py").write_text("def f():\n    from ult import table\n    import ult.codecs.text\n")
    assert {i for i in imports(tmp_path / "x.py") if is_secret(i)} == {"ult.table", "ult.codecs.text"}


def test_importing_the_trainer_s_side_loads_no_secret():
    modules = ", ".join(f"ult.{name}" for name in TRAINER)
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = done.stdout.split()
    assert {f"ult.{name}" for name in TRAINER} <= set(loaded)
    assert not [name for name in loaded if is_secret(name)]
