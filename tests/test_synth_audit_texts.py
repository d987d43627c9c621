"""`ult audit synth` of texts: what is quoted, or written whole, turns red, and what is alike by its form does not."""

import numpy as np
import pytest

from test_synth_audit import CITIES, levels
from ult.audit import audit_synth

WORDS = [f"{a}{b}" for a in ("fe", "do", "ka", "mi", "su", "ro") for b in ("ver", "lor", "tan", "mas", "ning", "sol")]


def notes(seed, n=150):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 25)) for _ in range(n)]


def texts_audited(folder, made, train, canaries=(), n=150, held=None):
    for name, lines in (("made", made), ("train", train), ("test", held or notes(2, n)), ("canaries", canaries)):
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return audit_synth(
        folder / "made.txt", folder / "train.txt", held_out=folder / "test.txt", epsilon=1,
        canaries=folder / "canaries.txt" if canaries else None, progress=lambda *_: None,
    ).document  # fmt: skip


def test_texts_that_quote_or_that_tell_a_canary_are_red(tmp_path):
    train = notes(1)
    told = texts_audited(tmp_path, notes(3, 500), notes(1, 500), n=500)
    assert told["verdict"] == "green", levels(told)
    assert told["texts"]["text"]["synthetic"] == pytest.approx(told["texts"]["text"]["real"], abs=0.1)
    quoted = [" ".join(line.split()[3:15]) for line in train[:20]]
    alike = [quoted[k].replace("a", "\u0430").replace("e", "e\u200b").replace(" ", ", ").title() for k in range(10)]
    quoting = [f"{quote} {line}" for quote, line in zip([*alike, *quoted[10:], *[""] * 130], notes(3), strict=True)]
    told = texts_audited(tmp_path, quoting, train)
    assert levels(told)["passages"] == "red"
    assert {"values", "extremes"}.isdisjoint(levels(told))  # there is nothing to ask
    assert levels(texts_audited(tmp_path, train[:60], train))["copies"] == "red"
    assert told["privacy"]["passages"][0]["lengths"][1]["real"] == 20
    secrets = [f"the code of number {k} is {digits:08d}" for k, digits in enumerate((12345678, 90807060, 31415926))]
    told = texts_audited(tmp_path, notes(3), [*train, *secrets], secrets)
    assert levels(told)["canaries"] == "green"
    told = texts_audited(tmp_path, [*notes(3)[:149], f"so {secrets[1]}"], [*train, *secrets], secrets)
    assert levels(told)["canaries"] == "red"
    assert told["canaries"]["written"] == 1


@pytest.mark.parametrize("times", [1, 20])
def test_one_text_that_is_written_whole_is_red_however_often_it_was_learned(times, tmp_path):
    """A model learns by heart what stands there often, and that is one record all the same."""
    train = [*notes(1), *[notes(7)[0]] * times]
    told = texts_audited(tmp_path, [*notes(3)[1:], notes(7)[0]], train)
    assert levels(told)["copies"] == "red"
    assert told["privacy"]["records"]["real_only"] == told["privacy"]["passages"][0]["lengths"][0]["real"] == 1
    told = texts_audited(tmp_path, [*notes(3)[5:], *[notes(7)[0]] * 5], train)  # and however often it is written
    assert levels(told)["copies"] == "red"
    assert levels(texts_audited(tmp_path, notes(3), train))["copies"] == "green"


def test_a_long_text_that_is_quoted_is_never_green_where_people_repeat_each_other(tmp_path):
    """Texts of three equal those of others by themselves, so that counting cannot tell one copy from chance."""
    stock = [" ".join(line.split()[:12]) for line in notes(8)[:8]]
    train, held = [*notes(1), *stock[:4], *[notes(7)[0]] * 20], [*notes(2), *stock[4:]]
    made = [*notes(3), *stock]
    told = texts_audited(tmp_path, made, train, held=held)
    assert (levels(told)["copies"], levels(told)["passages"]) == ("green", "green")
    told = texts_audited(tmp_path, [*made, *[notes(7)[0]] * 16], train, held=held)
    assert (levels(told)["copies"], levels(told)["passages"]) == ("green", "amber")
    long = [" ".join(line.split()[:20]) for line in notes(9)[:5]]
    told = texts_audited(tmp_path, [*made, *long, notes(7)[0]], train, held=[*held, *long])
    assert levels(told)["passages"] == "green"


def test_texts_of_a_form_that_happen_to_be_equal_are_no_copies(tmp_path):
    def forms(seed):
        rng = np.random.default_rng(seed)
        return [f"ward {rng.integers(40)} reports {rng.choice(CITIES)} pain, day {rng.integers(9)}" for _ in range(150)]

    told = texts_audited(tmp_path, forms(3), forms(1), held=forms(2))
    assert told["privacy"]["records"]["real_only"] > 0
    assert levels(told)["copies"] == "green"


def test_one_phrase_that_is_repeated_is_one_text_that_is_quoted(tmp_path):
    train = notes(1)
    stock = " ".join(train[0].split()[:10])
    told = texts_audited(tmp_path, [f"{stock} {line}" for line in notes(3)], train)
    assert levels(told)["passages"] == "green"
    assert told["privacy"]["passages"][0]["lengths"][0]["real"] == 1
