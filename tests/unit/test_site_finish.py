"""What is done to each page of the site after Sphinx: formulas, style sheets, icons, scores."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import book_formulas
import book_pages
import lighthouse


@pytest.fixture(scope="module")
def typesetter():
    made = book_formulas.Typesetter({"KL": [r"\mathrm{KL}\left(#1\,\|\,#2\right)", 2]})
    yield made
    made.close()


def inline(tex: str) -> str:
    return rf'<span class="math notranslate nohighlight">\({tex}\)</span>'


def test_a_formula_becomes_marks_and_mathml(typesetter):
    page, faults = typesetter.page(inline(r"\KL{q}{p} &lt; 1"))
    assert faults == []
    assert r"\(" not in page
    spoken = re.search(r"<math>(.*)</math>", page)[1]
    assert re.sub(r"<[^>]*>", "", spoken) == "KL(q‖p)&lt;1"
    assert page.count("<mjx-c ") == 9  # K L ( q ‖ p ) < 1: a mark for each, none for spaces


def test_a_displayed_formula_keeps_its_number(typesetter):
    source = '<div class="math notranslate nohighlight" id="e">\n<span class="eqno">(1)</span>\\[a &amp; b\\]</div>'
    page, faults = typesetter.page(source.replace("a &amp; b", r"\frac{a}{b}"))
    assert faults == []
    assert '<span class="eqno">(1)</span><mjx-container' in page
    assert 'display="true"' in page


def test_a_formula_that_cannot_be_read_is_named(typesetter):
    page, faults = typesetter.page(inline(r"\nosuch{q}") + inline("a"))
    assert len(faults) == 1
    assert "nosuch" in faults[0]
    assert "Undefined control sequence" in faults[0]
    assert page.count("mjx-container") == 2  # the other one, opened and closed


def test_each_sign_has_a_rule(typesetter):
    page, _ = typesetter.page(inline(r"x\theta\mathcal{N}\mathbb{E}\mathbf{w}\sum\{"))
    sheet = typesetter.stylesheet()
    signs = re.findall(r'<mjx-c class="(mjx-c[0-9A-F]+)(?: (TEX-\w+))?">', page)
    assert len(signs) == 7
    for code, font in signs:
        assert f"mjx-c.{code}{'.' + font if font else ''}::before" in sheet


def test_rules_for_classes_that_no_page_has_go():
    css = """
      .used > .gone { a: b } .used, .gone { c: d } a:not(.gone) { e: f }
      @media print { .gone { g: h } } @media print { #used { i: j } } :root { --k: l }
      .used::after { content: "}"; }
    """
    kept = book_pages.trimmed(css, {"used"})
    assert kept.split("\n") == [
        ".used{c: d}",
        "a:not(.gone){e: f}",
        "@media print {#used{i: j}}",
        ":root{--k: l}",
        '.used::after{content: "}";}',
    ]


def test_an_imported_sheet_takes_the_place_of_its_import_and_addresses_follow(tmp_path):
    (tmp_path / "styles").mkdir()
    (tmp_path / "basic.css").write_text("a { b: url(x.png) }")
    (tmp_path / "styles" / "theme.css").write_text('@import "../basic.css"; c { d: e }')
    assert book_pages.with_imports(tmp_path / "styles" / "theme.css") == "a { b: url(x.png) } c { d: e }"
    assert book_pages.moved("styles/t.css", "a{b: url(../x.png)}") == "a{b: url(styles/../x.png)}"
    assert book_pages.moved("styles/t.css", "a{b: url(data:x)}") == "a{b: url(data:x)}"


@pytest.mark.parametrize("tag", ["i", "span"])
def test_icons_are_drawn_in_place(tag):
    pattern = r"<(?:i|span) (class=\"[^\"]*\bfa-[^>]*)>\s*</(?:i|span)>"
    drawn = re.sub(pattern, book_pages.drawn, f'<{tag} class="fa-solid fa-bars" data-mode="x"></{tag}>')
    assert drawn.startswith(
        '<svg class="svg-inline--fa fa-solid fa-bars" data-mode="x" aria-hidden="true" viewBox="0 0 448 512">'
    )
    unknown = f'<{tag} class="fa-solid fa-no-such"></{tag}>'
    assert re.sub(pattern, book_pages.drawn, unknown) == unknown


def test_lighthouse_takes_medians_and_names_what_falls_short():
    def report(score: float) -> dict:
        scores = {key: {"score": 1} for key in ("accessibility", "best-practices", "seo")} | {
            "performance": {"score": score}
        }
        return {"categories": scores, "audits": {name: {"numericValue": 1000 * score} for name in lighthouse.METRICS}}

    result = lighthouse.medians([report(0.2), report(0.9), report(0.88)])
    assert result["performance"] == pytest.approx(88)
    assert lighthouse.short_of(result, "mobile") == []
    assert lighthouse.short_of(result, "desktop") == ["performance"]
    assert lighthouse.short_of(result | {"seo": 92}, "mobile") == ["seo"]
