"""The wall: what runs at the trainer's never reaches what holds a secret or a record."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ult

SOURCE = Path(ult.__file__).parent
WINGS = ("public", "trainer")  # what a trainer has, and may be installed without the rest
BEHIND = ("ult.owner", "ult.codecs", "ult.data", "pyrage")  # the wall: the table, what it is made of, and records
TRAINER = sorted(path for wing in WINGS for path in (SOURCE / wing).rglob("*.py"))


def dotted(path):
    """Return the name of a module."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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
    return any(name == secret or name.startswith(secret + ".") for secret in BEHIND)


@pytest.mark.parametrize("path", TRAINER, ids=dotted)
def test_the_trainer_s_wing_names_nothing_behind_the_wall(path):
    found = set(imports(path))
    assert not {name for name in found if is_secret(name)}
    assert "ult" not in found, "import what is needed from its own module"


def test_rule_would_see_a_breach(tmp_path):
    (tmp_path / "x.py").write_text("def f():\n    from ult.owner import table\n    import ult.codecs.text\n")
    assert {name for name in imports(tmp_path / "x.py") if is_secret(name)} >= {"ult.owner.table", "ult.codecs.text"}


def test_importing_the_trainer_s_wing_loads_nothing_behind_the_wall():
    names = [dotted(path) for path in TRAINER]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = done.stdout.split()
    assert set(names) <= set(loaded)
    assert not [name for name in loaded if is_secret(name)]
