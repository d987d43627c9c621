"""The recipe: every option is declared once, and from there reaches the command line, the file, checks and metrics."""

import json
from contextlib import suppress
from dataclasses import asdict, fields
from typing import Any

import pytest
import typer

from toy import counting, write
from ult.cli import app
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputExists, TrainingError
from ult.public.run import Run
from ult.trainer.config import config_text
from ult.trainer.option import option, options_of
from ult.trainer.recipe import OPTIONS, Recipe
from ult.trainer.train import train
from ult.trainer.workdir import partial_folder, working_folder

NAMES = [one.name for one in fields(Recipe)]


def another(name):
    """Options of which `name` differs from its default, with what it needs beside it."""
    one = OPTIONS[name]
    value: Any
    if one.kind is bool:
        value = not one.default
    elif one.choices:
        value = next(choice for choice in one.choices if choice != one.default)
    elif one.kind is tuple:
        value = (3.0, 1.0)
    elif name == "part":
        value = "1/3"
    elif name == "replay":
        value = "old.shards:0.1"
    elif one.kind is int:
        value = next(n for n in range(int(one.at_least) + 1, int(one.at_least) + 3) if n != one.default)
    elif one.kind is float:
        value = (one.at_least or one.above or 0.0) + 1e-5  # which YAML would take for a text
    else:
        value = "no"  # which YAML would take for false
    tasks = {"task": one.tasks[0]} if one.tasks else {}
    tasks |= {"anneal": {"schedule": "infinite"}, "order": {"model": "ngrams"}}.get(name, {})
    return {**tasks, **(another(one.needs) if one.needs else {}), name: value}


by_option = pytest.mark.parametrize("name", NAMES)


def command(*arguments):
    """Run `ult train` in this process, as the command line does."""
    root: Any = typer.main.get_command(app)  # typer leaves open that it is a group
    verb = root.commands["train"]
    verb.main([str(one) for one in arguments], prog_name="ult train", standalone_mode=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    shards = write(folder / "shards", counting(8))
    recipe = Recipe(steps=1, batch_size=2, context=8)
    return shards, folder / "run", recipe, train(shards, folder / "run", recipe)


# ---- each option is everywhere


@by_option
def test_an_option_stands_in_the_help_with_its_default(name):
    root: Any = typer.main.get_command(app)  # typer leaves open that it is a group
    verb = root.commands["train"]
    with verb.make_context("ult train", [], resilient_parsing=True, terminal_width=80) as context:
        text = " ".join(verb.get_help(context).split())
    one = OPTIONS[name]
    assert f" {one.flag} " in text
    assert f"{one.sentence.split('. ')[0]}" in text.replace("- ", "-")
    assert f"[default: {one.unset or str(one.default).lower()}" in text.replace("- ", "-")


@by_option
def test_an_option_stands_in_a_written_file_with_help_and_default_and_is_read_from_it(name, tmp_path):
    recipe = Recipe(**another(name))
    assert OPTIONS[name].is_set(recipe)
    text = recipe.to_yaml()
    assert f"\n{name}: " in text
    assert OPTIONS[name].help.split()[-1] in text
    for suffix, written in (("yaml", text), ("json", json.dumps(asdict(recipe)))):
        (tmp_path / f"r.{suffix}").write_text(written, encoding="utf-8")
        assert Recipe.read(tmp_path / f"r.{suffix}") == recipe


@by_option
def test_an_option_stands_in_the_metrics_of_a_run(name, trained):
    _, run, recipe, metrics = trained
    told = Run.open(run).metrics["recipe"]
    assert told[name] == metrics["recipe"][name] == ({"model": "tiny"}.get(name) or getattr(recipe, name))


@by_option
def test_an_option_given_in_the_command_overrides_the_file(name, tmp_path, capsys):
    (tmp_path / "r.yaml").write_text("steps: 1000\nseed: 3\n", encoding="utf-8")
    given = []
    for option_name, value in another(name).items():
        one = OPTIONS[option_name]
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        on = one.flag if value is True else f"--no-{one.flag[2:]}"
        given += [on] if one.kind is bool else [one.flag, text]
    command("--config", tmp_path / "r.yaml", *given, "--write-config", "-")
    (tmp_path / "again.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert Recipe.read(tmp_path / "again.yaml") == Recipe(**{"seed": 3, **another(name)})


def test_metrics_tell_no_path_of_the_machine(trained, tmp_path):
    shards, run, _, _ = trained
    later = train(shards, tmp_path / "later", Recipe(from_run=run, steps=1, batch_size=2, context=8))
    assert (later["recipe"]["from_run"], later["recipe"]["model"]) == ("run", None)
    assert str(run.parent) not in (tmp_path / "later" / "metrics.json").read_text(encoding="utf-8")


def test_a_field_that_is_not_declared_is_refused():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Careless:
        declared: int = option(1, help="Something")
        forgotten: int = 2

    with pytest.raises(TypeError, match=r"Careless\.forgotten is a field, but not declared"):
        options_of(Careless)


def test_a_new_option_needs_its_declaration_alone(tmp_path):
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Later:
        steps: int = option(5, panel="A", at_least=1, help="Optimizer steps")
        momentum: float = option(0.9, panel="A", at_least=0, below=1, help="What is kept of the last step")

    options = options_of(Later)
    text = config_text(Later(), options)
    assert "# What is kept of the last step. (default: 0.9; at least 0 and below 1)\nmomentum: 0.9\n" in text
    assert options["momentum"].flag == "--momentum"
    with pytest.raises(InvalidConfig, match=r"momentum is 1.0; expected a number of at least 0 and below 1"):
        options["momentum"].checked(1)


# ---- files


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("r.yaml", "steps: 3\n\nbatchsize: 4\n", InvalidConfig, "line 3: no option is called 'batchsize'.*batch_size"),
        ("r.yaml", "batch-size: 4\n", InvalidConfig, "no option is called 'batch-size'.*did you mean batch_size"),
        ("r.json", '{"stepz": 4}', InvalidConfig, "no option is called 'stepz'.*did you mean steps"),
        ("r.yaml", "wings: 2\n", InvalidConfig, "no option is called 'wings'.*--write-config -"),
        ("r.yaml", "validation: held\n", InvalidConfig, "on the command line: --validation SHARDS"),
        ("r.yaml", "out: run\n", InvalidConfig, "on the command line: --out RUN"),
        ("r.yaml", "steps: 3\nsteps: 4\n", InvalidConfig, "line 2: steps is given twice"),
        ("r.json", '{"steps": 3, "steps": 4}', InvalidConfig, "steps is given twice"),
        ("r.yaml", "seed: 010\n", FormatError, "line 1: seed is 010, which YAML reads as another number"),
        ("r.yaml", "steps: 1:30\n", FormatError, "steps is 1:30, which YAML reads as another number"),
        ("r.yaml", "mixture: [1, 0x10]\n", FormatError, "mixture is 0x10, which YAML"),
        ("r.yaml", "steps: '3'\n", InvalidConfig, "line 1: steps is '3'; expected an integer of at least 1"),
        ("r.yaml", "steps: true\n", InvalidConfig, "steps is True; expected an integer"),
        ("r.yaml", "steps: null\n", InvalidConfig, "steps is None; expected an integer"),
        ("r.yaml", "learning_rate: quick\n", InvalidConfig, "learning_rate is 'quick'; expected a number"),
        ("r.yaml", "task: {a: b}\n", FormatError, "line 1: expected a name with a value"),
        ("r.yaml", "task: !!python/object/apply:os.getcwd []\n", FormatError, "not YAML: line 1"),
        ("r.yaml", "mixture: &a [1]\nlabel: [*a, *a]\n", FormatError, "line 2: expected a name with a value"),
        ("r.yaml", "- steps\n", FormatError, "expected lines of option: value"),
        ("r.yaml", "steps: [\n", FormatError, "not YAML: line 2"),
        ("r.json", "[1]", FormatError, "no JSON object"),
        ("r.json", "{", FormatError, "not JSON"),
        ("r.yaml", "[" * 5000, FormatError, "not YAML"),
    ],
)
def test_files_that_are_refused(tmp_path, name, text, error, said):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(error, match=said):
        Recipe.read(tmp_path / name)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingSource, match=r"is not there.*--write-config FILE"):
        Recipe.read(tmp_path / "nowhere.yaml")
    (tmp_path / "r.yaml").write_bytes(b"\xff")
    with pytest.raises(FormatError, match="UTF-8"):
        Recipe.read(tmp_path / "r.yaml")
    (tmp_path / "r.yaml").write_text("# nothing\n", encoding="utf-8")
    assert Recipe.read(tmp_path / "r.yaml") == Recipe()


def test_a_file_is_written_once_and_trains(trained, tmp_path):
    shards, _, _, metrics = trained
    command("--steps", 1, "--batch-size", 2, "--context", 8, "--write-config", tmp_path / "r.yaml")
    with pytest.raises(OutputExists, match="exists already"):
        command("--write-config", tmp_path / "r.yaml")
    command(shards, "-o", tmp_path / "run", "--config", tmp_path / "r.yaml")
    assert Run.open(tmp_path / "run").metrics["recipe"] == metrics["recipe"]


def test_force_replaces_no_folder_by_a_file_of_options(tmp_path):
    (tmp_path / "records" / "deep").mkdir(parents=True)
    with pytest.raises(OutputExists, match="is a folder; expected a file"):
        command("--write-config", tmp_path / "records", "--force")
    assert (tmp_path / "records" / "deep").is_dir()
    command("--write-config", tmp_path / "r.yaml")
    command("--write-config", tmp_path / "r.yaml", "--steps", 7, "--force")
    assert Recipe.read(tmp_path / "r.yaml").steps == 7


@pytest.mark.parametrize(("given", "said"), [((), "shards folders"), (("shards",), "run folder to write")])
def test_what_is_missing_is_an_error_of_usage(given, said):
    with pytest.raises(typer.BadParameter, match=said):
        command(*given)


# ---- what options are beside others, and what was written before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": "x"}, "label was given for task 'lm'; it is for classify"),
        ({"delta": 0.1}, "delta was given without epsilon .*--epsilon"),
        ({"restrain_ngrams": 0.3}, "restrain_ngrams was given without from_run .*--from RUN"),
        ({"epsilon": 1, "mixture": (1, 2)}, "mixture and epsilon were both given"),
        ({"evaluate_every": 1001}, "evaluate_every is 1001; expected at most the 1000 steps"),
        ({"mixture": "1;2"}, "mixture is '1;2'; expected numbers with commas"),
        ({"mixture": ()}, r"mixture is \(\); expected weights above 0"),
        ({"precision": "half"}, "precision is 'half'; expected one of auto, float32, bfloat16"),
        ({"epsilon": float("nan")}, "epsilon is nan; expected a number above 0"),
        ({"epsilon": float("inf")}, "epsilon is inf; expected a number above 0"),
    ],
)
def test_options_that_do_not_go_together(options, said):
    with pytest.raises(InvalidConfig, match=said):
        Recipe(**options)


def test_a_call_of_yesterday_is_told_what_to_type(tmp_path):
    with pytest.raises(TypeError, match=r"steps is an option of the recipe: train\(shards, out, Recipe\(steps=...\)\)"):
        train(tmp_path, tmp_path / "run", steps=3)


def test_metrics_whose_recipe_no_run_says_are_refused(trained, tmp_path):
    _, run, _, metrics = trained
    (tmp_path / "vocabulary.json").write_bytes((run / "vocabulary.json").read_bytes())
    for recipe in ([], {"steps": {}}, {"mixture": ["x"]}):
        (tmp_path / "metrics.json").write_text(json.dumps({**metrics, "recipe": recipe}), encoding="utf-8")
        with pytest.raises(FormatError, match="recipe is"):
            Run.open(tmp_path)
    del metrics["recipe"]  # as runs of 0.1.0
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert Run.open(tmp_path).context == 8


def interrupted(out, recipe, *, resume):
    """Begin a training, or go on with it, and interrupt it after its first checkpoint."""
    with suppress(KeyboardInterrupt), working_folder(out, recipe, {}, resume=resume, force=False) as folder:
        assert (folder / "checkpoint-1").is_dir() == resume
        (folder / "checkpoint-1").mkdir(exist_ok=True)
        (folder / "checkpoint-1" / "trainer_state.json").write_text("{}", encoding="utf-8")
        raise KeyboardInterrupt


def test_an_unfinished_training_of_0_1_0_is_resumed(tmp_path):
    recipe, out = Recipe(steps=9, epsilon=8, clip=0.5), tmp_path / "run"
    interrupted(out, recipe, resume=False)
    journal = partial_folder(out) / "recipe.json"
    told = json.loads(journal.read_text(encoding="utf-8"))
    private = {name: told["recipe"].pop(name) for name in ("epsilon", "delta", "clip", "secure_random")}
    told["recipe"] |= {"privacy": private}
    journal.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(TrainingError, match="started with other clip"):
        interrupted(out, Recipe(steps=9, epsilon=8), resume=True)
    interrupted(out, recipe, resume=True)
