"""The audit's page: it shows what was graded, on a phone and on paper, whatever the names of files are."""

import html
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from browser import widths
from evidence import code, model, rates
from pages import RED, audit, column
from ult.audit.pages import charts
from ult.audit.release import plain
from ult.audit.release.finding import Finding
from ult.audit.release.page import SO, render
from ult.audit.release.remembering import SWAPPED
from ult.errors import FormatError

HOSTILE = ("<script>alert(1)</script>", "\"' onload=alert(1) x='", "{{ 7 * 7 }}", "&lt;b&gt;", "שם פרטי", "患者の名前")
CSS = (files("ult.audit.pages") / "page.css").read_text(encoding="utf-8")


class Text(HTMLParser):
    """What a page shows: its text, and every tag and attribute that it has."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.attributes, self._hidden = [], set(), set(), 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._hidden += tag == "style"

    def handle_endtag(self, tag):
        self._hidden -= tag == "style"

    def handle_data(self, data):
        if not self._hidden:
            self.text.append(data)

    def __str__(self):
        return re.sub(r"\s+", " ", "".join(self.text))


def cards(page):
    """Return each finding of the page: its level, and its text."""
    listed = page[page.index("Findings, worst first") : page.index("What is guaranteed")]
    return [(one.split('"', 1)[0], str(Text(one))) for one in listed.split('<li class="')[1:]]


def test_every_finding_stands_there_once_with_its_level_line_and_what_to_do():
    page = render(audit())
    shown = cards(page)
    assert [level for level, _ in shown] == ["red", "amber", "amber", "green"]
    whole = str(Text(page))
    for one in RED:
        mine = [text for level, text in shown if level == one.level and one.found in text]
        assert len(mine) == 1
        assert one.line in mine[0]
        assert one.change in mine[0]
        assert whole.count(one.found) == 1


@pytest.mark.parametrize(
    "findings",
    [RED, RED[1:], RED[2:3], (), (Finding("model", "amber", "x: not measured", "y", "z", "body", measured=False),)],
)
def test_the_first_screen_says_what_was_graded(findings):
    told = audit(findings)
    page = render(told)
    first = str(Text(page[page.index('<section class="verdict') : page.index("</section>")]))
    assert f'<section class="verdict {told["verdict"]}"' in page
    assert SO[told["verdict"]] in first
    assert all(sentence in first for sentence in plain.sentences(told))


@pytest.mark.parametrize("topic", [*plain.TOPICS, "never heard of"])
@pytest.mark.parametrize(("level", "measured"), [("red", True), ("amber", True), ("green", True), ("amber", False)])
def test_sentences_follow_level_and_measure_of_each_topic(topic, level, measured):
    told = audit([Finding("model", level, "it was found", "a line", "", topic, measured=measured)])
    can, looked, missing = plain.sentences(told)
    known = plain.TOPICS.get(topic)
    what = known.looked if known else "this: it was found"
    if not measured:
        assert what in missing
        assert looked == "We measured nothing."
        assert can.startswith("We do not know what a receiver of")
    elif not (known and known.condition):
        assert what in looked
        assert what not in missing
        assert (" can do nothing that crosses a line" in can) == (level == "green" and topic != "table")


def test_what_was_measured_in_part_is_not_said_to_be_measured_in_full():
    half = Finding("shards", "amber", "not tried on all ids", "y", "z", "code", measured=False)
    can, looked, missing = plain.sentences(audit([RED[0], half]))
    assert plain.TOPICS["code"].red in can
    assert plain.TOPICS["code"].looked in looked
    assert "not measure in full" in missing
    only = plain.sentences(audit([half]))
    assert "in full" not in only[2]
    assert "nothing" in only[1]


def test_the_worst_of_a_topic_is_said_and_no_less_beside_it():
    can, *_ = plain.sentences(audit((), [column("zip", "amber"), column("surname", "red"), column("label")]))
    assert plain.TOPICS["kept"].red in can
    assert "lesser" not in can


def test_an_audit_of_swapped_groups_says_so_and_nothing_of_what_a_receiver_can():
    told = audit([Finding("model", "red", f"AUC 0.1: {SWAPPED}", "y", "z", "membership, overall")])
    can, looked, _ = plain.sentences(told)
    assert "do this" not in can
    assert SWAPPED in looked


def test_every_topic_of_the_rules_has_words():
    """Topics are named in calls of `Finding` and `unmeasured`; one without words would be said in the rule's own."""
    named = set()
    for module in ("reading", "remembering", "verdict", "binding"):
        source = (files("ult.audit.release") / f"{module}.py").read_text(encoding="utf-8")
        named |= set(re.findall(r'(?:topic=|unmeasured\(\s*(?:subject|"\w+"), )"([\w, ]+)"', source))
    assert {"code", "plaintext", "binding"} <= named
    assert named <= set(plain.TOPICS)


def test_columns_in_the_clear_are_in_one_table_the_worst_first():
    columns = [
        column("label"),
        column("zip", "amber"),
        column("surname", "red", alone=299, looks="name", why="its header"),
    ]
    page = render(audit(RED[2:3], columns))
    assert '<section class="verdict red"' in page
    level, text = cards(page)[0]
    assert level == "red"
    assert "combinations of them: 3, of which 2 raise a flag: surname; zip" in text
    section = str(Text(page[page.index("Columns in the clear</h2>") :]))
    assert section.index("surname") < section.index("zip") < section.index("label")
    assert "99.7 %" in section
    assert "names of people, by its header" in section


def test_without_columns_in_the_clear_there_is_no_table_of_them():
    assert "Columns in the clear" not in render(audit())


def test_who_gives_what_to_whom_is_there_or_said_not_to_be_stated():
    assert str(Text(render(audit()))).count("not stated") == 3
    told = audit(parties={"giver": "Clinic A", "receiver": "Firm B", "purpose": "to train"})
    text = str(Text(render(told)))
    assert "not stated" not in text
    assert "From Clinic A" in text
    assert "To Firm B" in text
    assert "For to train" in text


def test_digests_say_which_files_are_meant():
    page = render(audit(holds=("shards", "model", "table")))
    for digest in ("12" * 32, "34" * 32, "56" * 16, "78" * 32, "9a" * 32):
        assert page.count(digest) == 1


def test_the_page_needs_nothing_else_and_is_the_same_each_time():
    page = render(audit(columns=[column("a", "red")]))
    assert page == render(audit(columns=[column("a", "red")]))
    assert not re.search(r"(?:src|href|url|@import)\s*[=(]?\s*[\"']?(?:https?:)?//", page)
    assert not Text(page).tags & {"script", "img", "link", "iframe", "object", "form"}
    assert page.count("<svg") == 2
    assert "Pseudonymised is not anonymous" in page
    assert "Nothing. No proof limits" in page


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_strangers_are_no_markup(name):
    told = audit(
        [Finding("shards", "red", name, name, name, "code")],
        [column(name, "red", examples=(name,))],
        parties={"giver": name, "receiver": name, "purpose": name},
        guarantees=[name],
    )
    told["holds"][0]["name"] = told["audits"]["code"]["attacks"][0]["name"] = name
    told["audits"]["model"] = model(membership={name: rates(5)}, notes=[name])
    page = Text(render(told))
    assert "script" not in page.tags
    assert not {"onload", "onerror"} & page.attributes
    assert name in str(page)


def test_one_colour_and_sign_tell_an_attack_in_every_figure():
    many = [f"attack {number}" for number in range(32)]
    marks = charts.marks([*many, *many[:3]])
    assert len({(mark.colour, mark.sign) for mark in marks.values()}) == 32
    page = render(audit())
    names = [one["name"] for one in code()["attacks"]]
    for mark in charts.marks([*names, *model()["membership"]]).values():
        assert f'<span class="mark" style="color:{mark.colour}">{mark.letter}</span>{mark.name}' in page
        assert f"stroke: {mark.colour}" in page
    assert not set(charts.COLOURS) & set(re.findall(r"#[0-9a-f]{6}", CSS))


def contrast(a, b):
    """Return the contrast of two colours as WCAG 2 has it."""

    def light(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((light(a), light(b)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", range(3))
def test_text_has_the_contrast_of_wcag_aa_light_dark_and_on_paper(theme):
    blocks = re.findall(r":root \{([^}]*)\}", CSS)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--(\w+): (#\w{3,6});", blocks[theme]))
    full = {
        name: value if len(value) == 7 else "#" + "".join(2 * sign for sign in value[1:])
        for name, value in colours.items()
    }
    for paper in ("paper", "card"):
        for ink in ("ink", "soft", "green", "amber", "red"):
            assert contrast(full[ink], full[paper]) >= 4.5, (ink, paper)
        for colour in charts.COLOURS:
            assert contrast(colour, full[paper]) >= 3, (colour, paper)


def test_an_audit_that_is_none_is_refused():
    told = audit()
    del told["findings"][0]["level"]
    with pytest.raises(FormatError):
        render(told)


# ---- in a browser


def test_the_page_fits_a_phone_and_a_screen(tmp_path):
    columns = [column(f"{'x' * 60}"), *(column(f"column_{n}_of_a_laboratory", "red") for n in range(30))]
    told = audit([Finding("shards", "red", "y" * 300, "z" * 300, "w" * 300, "code")], columns)
    told["holds"][0]["name"] = "n" * 200
    told["audits"]["model"] = model(membership={f"an attack {n} of a long name": rates(50) for n in range(12)})
    pairs = {
        "says": "",
        "told": [{"read": [{"text": "r" * 200, "right": False}], "truth": "t" * 200, "says": "s" * 99}],
    }
    page = render(told, pairs).replace("<details>", "<details open>")
    assert page.count("<details open>") > 5
    rooms = (320, 420, 1280)
    frames = [
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(page)}"></iframe>'
        for width in rooms
    ]
    seen = widths(frames, tmp_path / "page.html", tmp_path / "profile")
    for width, (wide, room) in zip(rooms, seen, strict=True):
        assert width - 20 <= room <= width
        assert wide <= room
