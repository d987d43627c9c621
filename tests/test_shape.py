"""The shape of the package: layers, no cycles, short files, a complete tree of errors, nothing forgotten."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ult
from ult import codecs, errors
from ult.codecs.base import Codec
from ult.host import moved

SOURCE = Path(ult.__file__).parent
ROOT = SOURCE.parent.parent
FLOORS = (  # imports between rooms go down, never up; within a folder, only in no circle
    ("errors",),
    ("host",),
    ("codecs", "privacy"),
    ("data", "public"),
    ("trainer",),
    ("owner",),
    ("audit",),
    ("synth",),
    ("demo", "__init__"),
    ("cli",),
    ("__main__",),
)
MEETING = "owner.handover"  # where alone owner meets trainer
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_TRUE = {"trust_remote_code", "allow_pickle", "shell"}


def files(*folders):
    """Every Python file of ours in these folders of the project."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found
    return found


def dotted(path):
    """Return the name of a module of the package: `codecs.text`, `table`, `__init__`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in sorted(SOURCE.rglob("*.py"))}


@functools.cache
def trees():
    """The syntax tree of each module, by its name."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def by_module(test):
    """Hold all modules against a rule, in one test that names each one that breaks it."""

    @functools.wraps(test)
    def of_all():
        broken = []
        for name, tree in trees().items():
            try:
                test(name, tree)
            except AssertionError as error:
                broken.append(f"{name}: {error}")
        assert not broken, "\n".join(broken)

    del of_all.__wrapped__  # of which pytest would take the arguments
    return of_all


def floor(name):
    """Return the floor of the room that a module stands in: a file or a folder of the package's own."""
    room = name.partition(".")[0]
    heights = [height for height, rooms in enumerate(FLOORS) if room in rooms]
    assert len(heights) == 1, f"{room} stands on {len(heights)} floors: give it one in FLOORS"
    return heights[0]


def imports(tree):
    """The modules of the package that a tree imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("ult.") for alias in node.names if alias.name.startswith("ult."))
            assert "ult" not in [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "ult":
                yield from (alias.name if alias.name in MODULES else "__init__" for alias in node.names)
            elif node.module and node.module.startswith("ult."):
                parent = node.module.removeprefix("ult.")
                inner = [f"{parent}.{alias.name}" for alias in node.names]
                yield from (child for child in inner if child in MODULES)
                if any(child not in MODULES for child in inner):
                    yield parent


@by_module
def test_imports_only_go_down(name, tree):
    room = name.partition(".")[0]
    for found in imports(tree):
        assert found in MODULES, f"{name} imports {found}, which is not there"
        other = found.partition(".")[0]
        assert other == room or floor(found) < floor(name), f"{name} imports {found}, which does not stand below it"


def test_owner_meets_trainer_in_one_place():
    met = {
        name
        for name in MODULES
        if name.startswith("owner.") and any(found.startswith("trainer") for found in imports(trees()[name]))
    }
    assert met
    assert all(name.startswith(f"{MEETING}.") for name in met), met


def test_the_house_is_small():
    rooms = {name.partition(".")[0] for name in MODULES}
    arrows = {(name.partition(".")[0], found.partition(".")[0]) for name in MODULES for found in imports(trees()[name])}
    arrows = {(one, other) for one, other in arrows if one != other}
    assert len(rooms) <= 16, "with bench, fuzz, runs and scripts: 20"
    assert len(arrows) <= 72, "with those of bench, fuzz, runs and scripts: 80"


def test_there_are_no_cycles():
    """Inside rooms either, and none of imports that only a type checker runs."""
    graph = {name: {found for found in imports(tree) if found != name} for name, tree in trees().items()}
    while leaves := [name for name, below in graph.items() if not below & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert not graph, f"cycles among {sorted(graph)}"


def test_the_rules_would_see_a_breach():
    tree = ast.parse(
        "def f():\n    from ult.cli import owner\n    from ult.owner import table\nimport ult.codecs.text\n"
    )
    assert set(imports(tree)) == {"cli.owner", "owner.table", "codecs.text"}
    with pytest.raises(AssertionError, match="FLOORS"):
        floor("surprise")


def test_every_floor_has_its_rooms():
    rooms = [room for floor in FLOORS for room in floor]
    assert len(set(rooms)) == len(rooms)
    assert set(rooms) == {name.partition(".")[0] for name in MODULES}


def test_files_are_short():
    ours = files("src", "tests", "bench", "docs", "runs", "fuzz", "scripts")
    long = [path for path in ours if len(path.read_text(encoding="utf-8").splitlines()) >= 400]
    assert not long


@by_module
def test_nothing_runs_data_and_nothing_is_asserted(name, tree):
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"{name}:{node.lineno} asserts; raise one of our errors"
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).partition(".")[0] not in FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            assert called not in FORBIDDEN_CALLS, f"{name}:{node.lineno} calls {called}"
            for keyword in node.keywords:
                no = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                assert keyword.arg not in FORBIDDEN_TRUE or no, f"{name}:{node.lineno} gives {keyword.arg}"


@by_module
def test_every_module_says_what_it_is_for(name, tree):
    docstring = ast.get_docstring(tree)
    assert docstring
    assert re.search(r"[.:]$", docstring.splitlines()[0]), f"the first line of {name} is not a sentence"


def test_only_the_keyfile_opens_an_age_file():
    aside = "data.composed.spilled"  # encrypts what a process puts aside for itself, for a key that it never writes
    found = {name for name, tree in trees().items() for node in ast.walk(tree) if _imports_pyrage(node)}
    assert found == {"owner.keyfile", aside}


def _imports_pyrage(node):
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] == "pyrage" for alias in node.names)
    return isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "pyrage"


# ---- errors


def drawn():
    """The tree of the docstring of `errors`: name -> (name of the parent, name of the built-in or "")."""
    found: dict[str, tuple[str | None, str]] = {}
    path = []
    for line in errors.__doc__.splitlines():
        if match := re.match(r"^( +)((?:│   |    )*)(?:[├└]── )?(\w+)(?: +(\w+Error))?(?:  .*)?$", line):
            _, bars, name, builtin = match.groups()
            if name == "UltError":
                found[name] = (None, "")
                path = [name]
            elif name == "UltWarning":
                path = []  # warnings are drawn below, and are no errors
            elif "── " in line and path:
                depth = 1 + len(bars) // 4
                path = [*path[:depth], name]
                found[name] = (path[-2], builtin or "")
    return found


def test_every_error_is_drawn_and_is_the_built_in_that_it_says():
    tree = drawn()
    kinds = {n: kind for n, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == "ult.errors"}
    warned = {name for name, kind in kinds.items() if issubclass(kind, Warning)}
    assert all(issubclass(kinds[name], errors.UltWarning) and f" {name} " in errors.__doc__ for name in warned)
    assert set(tree) == set(kinds) - warned
    assert len(tree) > 15
    for name, (parent, builtin) in tree.items():
        assert issubclass(kinds[name], errors.UltError)
        assert kinds[name].__doc__
        if parent:
            assert kinds[name].__bases__[0] is kinds[parent], f"{name} is drawn below {parent}"
            assert [b.__name__ for b in kinds[name].__bases__[1:]] == [builtin] * bool(builtin)


def test_every_error_is_one_line_with_its_hint():
    for name in drawn():
        kind = getattr(errors, name)
        error = (
            kind("torch", extra="train", hint="try w")
            if name == "MissingExtra"
            else kind("x is y; expected z", hint="try w")
        )
        assert re.fullmatch(r".+ \(hint: .+\)", str(error))
        assert error.what in str(error)
        assert error.hint in str(error)


def test_only_our_errors_are_raised():
    """Each `raise` names one of the tree, one that Python asks for, a broken invariant, or what its module catches."""
    allowed = {*drawn(), "AttributeError", "ModuleNotFoundError", "TypeError", "SystemExit", "AssertionError"}
    functions = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    allowed |= {one.name for one in functions if one.returns and ast.unparse(one.returns) in drawn()}  # that make one
    caught = {
        ("owner.table_format", "_Bad"),
        ("data.array", "EOFError"),
        ("data.text", "_Twice"),
        ("cli.signals", "Terminated"),
        ("trainer.federated.local", "RoundDone"),
        ("host.portable", "BlockingIOError"),
        ("host.portable", "FileExistsError"),
        ("cli.train", "BadParameter"),  # which typer turns into an error of usage
        *((f"audit.release.{name}", "Missing") for name in ("binding", "figures", "remembering")),
    }
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                raised = ast.unparse(node.exc.func).rpartition(".")[2]
                assert raised in allowed or (name, raised) in caught, f"{name}:{node.lineno} raises {raised}"


# ---- names


def test_public_names_are_what_they_say():
    assert {name for name in dir(ult) if not name.startswith("_")} == set(ult.__all__)
    for name in ult.__all__:
        found = getattr(ult, name)
        assert (
            found is vars(importlib.import_module(ult._HOME[name]))[name]
            if name in ult._HOME
            else inspect.ismodule(found)
        )
    with pytest.raises(AttributeError, match="surprise"):
        _ = ult.surprise


@by_module
def test_every_all_can_be_imported(name, tree):
    if any(isinstance(n, ast.Name) and n.id == "__all__" for n in ast.walk(tree)):
        module = importlib.import_module(f"ult.{name}" if name != "__init__" else "ult")
        assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize(("old", "new"), moved.MOVED.items())
def test_a_module_that_moved_is_found_by_its_old_name_too(old, new):
    assert new.removeprefix("ult.") in MODULES
    today = importlib.import_module(new)
    if old.removeprefix("ult.") in MODULES:  # a folder has the name now
        package = importlib.import_module(old)
        names = [name for name in vars(today) if not name.startswith("_") and name not in vars(package)]
        with pytest.warns(DeprecationWarning, match=f" of {old} is in {new} now$"):
            assert any(getattr(package, name, None) is vars(today)[name] for name in names)
        return
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"^{old} is {new}(, .*)? now$"):
        module = importlib.import_module(old)
    name = next(name for name in vars(today) if not name.startswith("_"))
    assert getattr(module, name) is getattr(today, name)
    del sys.modules[old]
    vars(sys.modules[old.rpartition(".")[0]]).pop(old.rpartition(".")[2], None)


def test_names_of_a_module_that_was_split_are_found(tmp_path):
    code = (
        "from ult.run import Recipe, Run; from ult.shards import Shards, ShardWriter; from ult.train import train\n"
        "import ult\n"
        "assert callable(ult.train) and ult.Shards is Shards\n"
        "try: train('nothing', 'run', steps=3, model='tiny')\n"
        "except ult.errors.MissingSource as error: print('refused:', error.what)\n"
        "try: ult.train('nothing', 'run', Recipe(steps=3))\n"
        "except ult.errors.MissingSource: print('refused')\n"
    )
    command = [sys.executable, "-W", "always", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["refused", "refused"]
    assert "ult.train is ult.trainer.train now" in done.stderr


def test_every_codec_is_registered():
    for module in pkgutil.iter_modules(codecs.__path__, "ult.codecs."):
        importlib.import_module(module.name)
    kinds = {kind for kind in Codec.__subclasses__() if kind.__module__.startswith("ult.")}
    assert kinds == set(codecs.CODECS.values())
    assert {name: kind.id for name, kind in codecs.CODECS.items()} == {name: name for name in codecs.CODECS}


@pytest.mark.parametrize("code", ["import ult", "from ult import errors", "import ult; dir(ult)"])
def test_importing_loads_nothing_heavy(code):
    heavy = "numpy numba torch transformers datasets matplotlib sklearn pyarrow pandas rich typer pyrage PIL rdkit"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & set(heavy.split())


def test_help_loads_no_torch():
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); from ult.__main__ import main; main()"
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Usage" in done.stdout, done.stderr
    assert not set(done.stdout.split()) & {"torch", "transformers", "datasets", "matplotlib", "sklearn", "numba"}
