"""The documentation: it is built without a warning, every block of it runs, no page needs anything from elsewhere."""

import doctest
import importlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browser import widths

pytestmark = pytest.mark.pages

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MADE = ("reference", "measured", "development")
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] not in MADE)
BLOCK = re.compile(r"^( *)```(\S*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
RUN, SHOWN = {"python", "console"}, {"text", "{toctree}"}  # what runs, and what is no code


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path):
    return [(language, code) for _, language, code in BLOCK.findall(path.read_text(encoding="utf-8"))]


WITH_BLOCKS = [path for path in PAGES if any(language in RUN for language, _ in blocks(path))]


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """What became of each page: all run in one process, which imports torch once."""
    folder = tmp_path_factory.mktemp("docs")
    asked = folder / "pages.json"
    of_page = [[name_of(path), [one for one in blocks(path) if one[0] in RUN]] for path in WITH_BLOCKS]
    asked.write_text(json.dumps(of_page), encoding="utf-8")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("console.py"), asked],
        cwd=folder, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {one["page"]: one for one in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=name_of)
def test_blocks_run(path, ran):
    assert ran[name_of(path)]["wrong"] is None, ran[name_of(path)]["wrong"]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_block_runs_or_is_no_code(path):
    assert {language for language, _ in blocks(path)} <= RUN | SHOWN
    for language, code in blocks(path):
        assert language != "text" or not re.search(r"^ *(\$ )?(ult|make|pip) \w", code, re.MULTILINE), code


def test_a_wrong_page_would_be_seen():
    import console

    assert "status 3" in console.console("$ exit 3\n")
    assert console.console("$ ! exit 3\n") is None
    assert console.console("$ echo one two\none ...\n") is None
    assert "and not" in console.console("$ echo one two\none three\n")
    assert "ZeroDivisionError" in console.page([["python", "1 / 0"]])


@pytest.mark.parametrize("name", ["links", "words"])
def test_examples_of_the_builder_hold(name, monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "site")
    assert doctest.testmod(importlib.import_module(name)) == (doctest.TestResults(0, {"links": 2, "words": 1}[name]))


# ---- the site


class Page(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.leads = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a":
            self.leads.append(given.get("href") or "")
        else:
            self.loads += [given[name] for name in ("src", "href", "srcset") if given.get(name)]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    strict = ["-q", "-W", "--keep-going", "-n"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, "-b", "html", "-d", out / "trees", DOCS, out / "html"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_the_site_is_built_without_a_warning(site):
    """A link to a page or a heading that is not there is a warning, and so is a page that no list names."""
    assert (site / "index.html").exists()
    assert len(list(site.rglob("*.html"))) > len(PAGES)


def test_no_page_loads_anything_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        away = [one for one in Page(text).loads if re.match(r"(https?:)?//", one)]
        assert not away, f"{path.name} loads {away}"
    for path in [*site.rglob("*.css"), *site.rglob("*.js")]:
        away = re.findall(r"(?:url\(|@import |fetch\()[\"']?(?:https?:)?//[^\s\"')]+", path.read_text(encoding="utf-8"))
        assert not away, f"{path.name} loads {away}"


def test_no_page_scrolls_sideways_on_a_phone_or_a_screen(site, tmp_path):
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    asked = [(page, width) for page in pages for width in (420, 1280)]
    frames = [f'<iframe style="width:{width}px;height:900px;border:0" src="{page}"></iframe>' for page, width in asked]
    seen = widths(frames, site / "frames.html", tmp_path / "profile")
    wide = [f"{page} at {width}: {one}" for (page, width), one in zip(asked, seen, strict=True) if one[0] > one[1]]
    assert not wide
    assert all(room >= width - 20 for (_, width), (_, room) in zip(asked, seen, strict=True))


def text_of(path):
    return re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8"))


def test_every_verb_and_public_name_has_its_place(site):
    import ult
    from ult.cli.verbs import VERBS

    verbs = text_of(site / "reference" / "verbs" / "index.html")
    assert all(f"ult {name}:" in verbs for name in VERBS)
    library = text_of(site / "reference" / "library.html")
    for name in set(ult.__all__) - {"errors"}:
        assert f"ult.{name}" in library
