"""The help of every verb at 80 columns: names whole, everything described, an example that the verb would take."""

import os
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer

from ult.cli import app, verbs
from ult.cli.help import EXAMPLES, EXIT_STATUSES

ROOT: Any = typer.main.get_command(app)  # typer leaves open that it is a group
VERBS = {
    f"{name} {inner}".strip(): command if not inner else command.commands[inner]
    for name, command in ROOT.commands.items()
    for inner in getattr(command, "commands", {"": None})
}
GROUPS = {"": ROOT, **{name: ROOT.commands[name] for name in verbs.GROUPS}}


def shown(command, name):
    with command.make_context(f"ult {name}".strip(), [], resilient_parsing=True, terminal_width=80) as context:
        return command.get_help(context)


@pytest.mark.parametrize("name", [*VERBS, *GROUPS])
def test_help_fits_80_columns_and_cuts_nothing(name):
    text = shown({**VERBS, **GROUPS}[name], name)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "..." not in re.sub(r"(\w|\]|\})\.\.\.", "", text)  # SHARDS..., age1...: more of the same
    assert "\\[" not in text
    assert not re.search(r"\w-$", text.partition("\n\nOptions:")[2], re.MULTILINE)
    for one in {**VERBS, **GROUPS}[name].params:
        if not one.hidden and one.param_type_name == "option":
            told = [*one.opts, *(one.secondary_opts if one.default is not False else ())]
            assert all(re.search(rf"(?<![\w-]){option}(?![\w-])", text) for option in told)
            untold = set(one.secondary_opts) - set(told)  # such as --no-force
            assert not [option for option in untold if re.search(rf"{option[2:]}(?![\w-])", text)]


@pytest.mark.parametrize("name", VERBS)
def test_everything_is_described(name):
    text = shown(VERBS[name], name)
    assert VERBS[name].help
    for one in VERBS[name].params:
        assert one.hidden or one.help, one.name
        if one.param_type_name == "argument":
            assert one.help.split("; ")[0][:20].split(".")[0] in text


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_all_says_what_a_verb_s_own_help_says_first(name):
    first = " ".join(VERBS[name].help.partition("\n\n")[0].split())
    assert verbs.VERBS[name].sentence == first


def test_a_command_imports_no_other_verb_and_the_help_of_all_imports_none():
    places = {f"ult.cli.{one.place.partition(':')[0]}" for one in verbs.VERBS.values()}
    heavy = {"numpy", "pyarrow", "rich", "ult.trainer.options"}
    for words, own in ((["--help"], set()), (["keygen", "-o", "key.age", "--nothing"], {"ult.cli.owner"})):
        code = (
            f"import atexit, sys; sys.argv = ['ult', *{words}]; from ult.__main__ import main; "
            "atexit.register(lambda: print(*sys.modules)); main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        loaded = set(done.stdout.splitlines()[-1].split())
        assert {name for name in loaded if name in places} == own
        assert not loaded & heavy


def test_an_undescribed_argument_would_be_seen():
    bare = typer.Typer(rich_markup_mode=None)
    bare.command()(lambda what: what)
    assert not typer.main.get_command(bare).params[0].help


@pytest.mark.parametrize("name", VERBS)
def test_the_example_is_a_command_that_the_verb_takes(name):
    words = shlex.split(EXAMPLES[name])
    assert EXAMPLES[name] in shown(VERBS[name], name)
    assert words[: 1 + len(name.split())] == ["ult", *name.split()]
    context = VERBS[name].make_context("ult", words[1 + len(name.split()) :])
    assert context.params


def test_no_example_is_of_a_verb_that_is_not_there():
    assert list(VERBS) == sorted(EXAMPLES, key=list(VERBS).index)


def test_the_exit_statuses_are_those_of_the_first_page():
    text = shown(ROOT, "")
    assert all(re.search(rf"^  {status}  ", text, re.MULTILINE) for status in EXIT_STATUSES)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_verbs_and_options(shell):
    """What the script of `--install-completion` asks for at each press of Tab."""
    asked = {
        "bash": {"_ULT_COMPLETE": "complete_bash", "COMP_WORDS": "ult trans", "COMP_CWORD": "1"},
        "zsh": {"_ULT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "ult trans"},
        "fish": {"_ULT_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "ult trans"},
    }[shell]
    code = "import sys; sys.argv[0] = 'ult'; from ult.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "_TYPER_COMPLETE_FISH_ACTION": "get-args", **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "translate" in done.stdout, done.stderr
    assert "keygen" not in done.stdout
