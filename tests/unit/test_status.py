"""The page on the run: times and spreads in words, reading time, and what the tables do without records."""

import book_status
import pytest
from docutils import nodes
from docutils.utils import new_document


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (44.6, "45 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (78, "1 min 20 s"),
        (119, "2 min"),
        (131, "2 min 10 s"),
    ],
)
def test_run_times_are_rounded_and_never_break(seconds, words):
    assert book_status.seconds_in_words(seconds) == words.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("number", "words"), [(0.811, "0.81"), (43.21, "43"), (432.1, "432"), (0.000178, "0.00018"), (0, "0"), (1.0, "1.0")]
)
def test_a_standard_deviation_has_two_digits(number, words):
    assert book_status.two_digits(number) == words


def test_reading_time_counts_words_and_formulas_and_no_code():
    page = new_document("page")
    page += nodes.paragraph("", "word " * 390 + "and ", nodes.math("", "a + b"), nodes.literal("", "name"))
    assert book_status.reading_minutes(page) == 2
    page += nodes.literal_block("", "code " * 1000)
    page += nodes.comment("", "note " * 1000)
    assert book_status.reading_minutes(page) == 2
    page += [nodes.math_block("", "x") for _ in range(8)]
    assert book_status.reading_minutes(page) == 4


def test_before_the_first_run_the_tables_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(book_status, "FINGERPRINTS", tmp_path / "none.json")
    monkeypatch.setattr(book_status, "read_results", dict)
    monkeypatch.setattr(book_status, "glued", lambda path, executed: {})
    assert book_status.run_table().count("not run") == sum(page.notebook is not None for page in book_status.pages())
    assert book_status.seed_table().count("not run") == 2 * len(book_status.chapters())
    assert book_status.versions_line() == "Nothing has been executed."
    assert book_status.other_data() == ""


def test_other_data_and_changed_chapters_are_named(monkeypatch):
    page = book_status.chapters()[11]
    record = {"name": "n", "values": [1.0, 2.0] * 5, "held": 9, "checks": 10, "seeds": 1, "mark": "old"}
    record |= {"sources": ["stand-in: Made."], "failed": {"a < b": 1}}
    headline = book_status.headlines()[page.slug]
    row = book_status.Row(page, headline, record, 1.5, changed=True)
    monkeypatch.setattr(book_status, "rows", lambda: iter([row]))
    monkeypatch.setattr(book_status, "records", lambda: {page.name: {"sources": {"the real one": "Far away."}}})
    assert "(**the chapter has changed since**) | 1.000 … 2.000 | 9 of 10" in book_status.seed_table()
    assert "(stand-in)" in book_status.other_data()
    assert "`a < b` failed for 1 of ten seeds" in book_status.failed_checks()
    monkeypatch.setattr(book_status, "records", lambda: {page.name: {"sources": {"stand-in": "Made."}}})
    assert book_status.other_data() == ""
