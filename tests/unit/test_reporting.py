"""Numbers that the prose quotes: what is printed, what is glued, what is refused."""

import importlib.util

import myst_nb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from vi_helpers.reporting import report


@pytest.fixture
def glued(monkeypatch):
    """What ``report`` glues, by name."""
    box = {}

    def record(name, value, display):
        assert display is False
        box[name] = value

    monkeypatch.setattr(myst_nb, "glue", record)
    return box


def test_each_number_is_printed_and_glued_under_its_name(glued, capsys):
    report(gap=0.0482345, n=3, evidence=np.float64(-240.057), rate=np.array(2.5))
    assert capsys.readouterr().out == "gap = 0.0482345   n = 3   evidence = -240.057   rate = 2.5\n"
    assert glued == {"gap": 0.0482345, "n": 3, "evidence": -240.057, "rate": 2.5}


def test_lines_are_broken_between_numbers_and_fit_the_page(glued, capsys):
    report(**{f"number_{k}": k / 7 for k in range(20)})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    assert "   ".join(lines) == "   ".join(f"number_{k} = {k / 7:.7g}" for k in range(20))


def test_one_bad_number_silences_the_call(glued, capsys):
    with pytest.raises(ValueError, match=r"^second must be"):
        report(first=1.0, second=float("nan"))
    assert capsys.readouterr().out == ""
    assert glued == {}


def test_no_number_prints_nothing(capsys):
    report()
    assert capsys.readouterr().out == ""


def test_whole_numbers_are_glued_as_whole_numbers_and_numpys_as_pythons(glued):
    report(steps=np.int64(100), two=2.0, half=np.float32(0.5))
    assert {name: type(value) for name, value in glued.items()} == {"steps": int, "two": int, "half": float}


def test_the_glued_value_keeps_every_digit(glued):
    report(third=1 / 3)
    assert glued["third"] == 1 / 3
    assert f"{glued['third']:.3f}" == "0.333"  # what the page does with it


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_printed_number_is_right_to_seven_digits(number):
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(myst_nb, "glue", lambda *args, **kwargs: None)
        patch.setattr("builtins.print", lines.append)
        report(x=number)
    name, printed = lines[0].split(" = ")
    assert name == "x"
    assert float(printed) == pytest.approx(number, rel=1e-6, abs=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "3", None, [1.0], True], ids=repr)
def test_what_a_chapter_cannot_quote_is_refused_by_name(glued, bad):
    with pytest.raises(ValueError, match=r"^gap must be one finite number"):
        report(gap=bad)
    assert glued == {}


def test_without_myst_nb_the_number_is_only_printed(glued, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report(gap=1.5)
    assert capsys.readouterr().out == "gap = 1.5\n"
    assert glued == {}


def test_the_real_glue_takes_the_number():
    InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    try:
        with capture_output() as captured:
            report(answer=41.5)
    finally:
        InteractiveShell.clear_instance()
    (output,) = captured.outputs
    assert output.metadata["scrapbook"]["name"] == "answer"
    assert "41.5" in str(output.data)
