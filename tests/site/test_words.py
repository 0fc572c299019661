"""Finding one's way: search, the glossary, the list of sections, the order of pages, the printed cheat sheet."""

from __future__ import annotations

import io
import re
from html import unescape

import nbformat
import pypdf
import pytest

from tests.site.conftest import ROOT, SITE, book_contents

CHAPTERS = [page.name for page in book_contents.chapters()]
PAGES = [page.name for page in book_contents.pages()]
FIND = (
    "query => Search._performSearch(...Search._parseQuery(query)).reverse().map(([page, , anchor]) => [page, anchor])"
)

#: What a reader types for a symbol of the notation page, by the formula that is written there.
TYPED = {
    r"X = \{X_1, \dots, X_m\}": "X",
    r"Y = \{Y_1, \dots, Y_n\}": "Y",
    r"Z \subseteq Y": "Z ⊆ Y",
    r"P(X \mid Z)": "P(X|Z)",
    r"P(Z \mid X)": "P(Z | X)",
    r"\mathcal{D}": "D",
    r"\theta": "θ",
    r"q^\star": "q*",
    r"\E_q[f(z)]": "E_q[f(z)]",
    r"\Var_q[z]": "Var_q[z]",
    r"\KL{q}{p}": "KL(q‖p)",
    r"\KL{p}{q}": "KL(p || q)",
    r"\ELBO(q)": "ELBO(q)",
    r"\mathrm{H}[q]": "H[q]",
    r"J(\theta)": "J(θ)",
    r"\Normal(m, s^2)": "N(m, s²)",
    r"\Normal(\mu, \Sigma)": "N(μ, Σ)",
    r"\rho": "ρ",
    r"\GammaDist(\alpha, \beta)": "Gamma(alpha, beta)",
    r"\mathrm{Beta}(a, b)": "Beta(a, b)",
    r"\mathrm{Dirichlet}(\alpha)": "Dirichlet(α)",
    r"\Gamma(\cdot)": "Γ",
    r"\psi": "ψ",
    r"\mathrm{softplus}(u)": "softplus",
    r"\sigma(u)": "σ(u)",
    r"\mu": "μ",
    r"\mu_j": "mu_j",
    r"v = \sigma^2": "σ²",
    r"\tau = 1/v": "tau",
    r"\alpha_p": "α_p",
    r"\alpha": "α",
    r"\bar e": "ē",
    r"\bar x": "x bar",
    r"\hat v": "v̂",
    r"s_\mu": "s_μ",
    r"\pi_{ij}": "π_ij",
    r"\alpha_k": "α_k",
    r"F(r, \theta)": "F(r, θ)",
    r"L(\theta)": "L(θ)",
    r"I_{\mathrm{obs}}": "I_obs",
    r"\bar q": "q̄",
    r"\varepsilon": "ε",
    r"\lambda": "λ",
    r"C(\lambda)": "C(λ)",
    r"\beta": "beta",
    r"w_{dn}": "w_dn",
    r"z_{dn}": "z_dn",
    r"\theta_d": "θ_d",
    r"\beta_k": "β_k",
    r"\gamma_d": "γ_d",
    r"\phi_{dn}": "φ_dn",
    r"\lambda_k": "λ_k",
    r"\rho_t": "rho_t",
    r"\epsilon": "epsilon",
    r"\hat R": "R̂",
    r"\hat k": "k̂",
    r"\mathcal L_{\alpha,K}": "L_α,K",
    r"\nabla_\theta": "∇θ",
}


def symbol_rows() -> list[str]:
    """The first thing in each row of the notation tables that are headed by a symbol."""
    text = (ROOT / "book" / "notation.md").read_text(encoding="utf8")
    rows, wanted = [], False
    for line in text.splitlines():
        if not line.startswith("|"):
            wanted = False
        elif line.startswith("| Symbol"):
            wanted = True
        elif wanted and not line.startswith("| ---"):
            cell = line.split(" | ")[0].removeprefix("| ")
            found = re.search(r"\$(.+?)\$", cell)
            rows.append(found[1] if found else cell)
    return rows


def titles() -> list[tuple[str, str, str]]:
    """Every theorem, definition and algorithm as (title, page, label)."""
    found = []
    for name in CHAPTERS:
        cells = nbformat.read(ROOT / f"{name}.ipynb", nbformat.NO_CONVERT).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        pattern = r"^:{3,}\{prf:\w+\} (.+)\n:label: (\S+)"
        found += [(title, name, label) for title, label in re.findall(pattern, text, re.M)]
    return found


@pytest.fixture(scope="module")
def search(visit):
    """``search(query)``: the results as (page, anchor), best first."""
    opened = visit("search.html")
    opened.page.wait_for_function("window.bookNames && Search.hasIndex()")
    yield lambda query: opened.page.evaluate(FIND, query)
    assert opened.outside == opened.failed == opened.complaints == []
    opened.close()


def test_search_finds_every_theorem_by_its_title(search):
    assert len(titles()) > 40
    for title, page, label in titles():
        assert search(title)[0] == [page, f"#{label}"], title
        words = title.lower().removeprefix("the ")
        assert [page, f"#{label}"] in search(words)[:3], words


def test_search_finds_every_symbol_of_the_notation(search):
    rows = symbol_rows()
    assert len(rows) > 90
    page = (SITE / "book" / "notation.html").read_text(encoding="utf8")
    for formula in rows:
        shown = TYPED.get(formula, formula)
        assert "\\" not in shown, f"say what a reader types for {formula}"
        notation = [anchor for name, anchor in search(shown)[:3] if name == "book/notation" and anchor]
        assert notation, shown
        where = {anchor for anchor in notation if words_beside(formula) <= words(row_of(page, anchor))}
        assert where or formula in {"D", "K", "S"}, f"{shown}: {notation} are rows of something else"


def row_of(page: str, anchor: str) -> str:
    """The text of the row of a table that has this anchor."""
    return re.sub(r"<[^>]*>", " ", page.split(f'id="{anchor[1:]}"', 1)[1].split("</tr>", 1)[0])


def words(text: str) -> set[str]:
    """Its words of four letters and more."""
    return set(re.findall(r"[A-Za-z]{4,}", unescape(text)))


def words_beside(formula: str) -> set[str]:
    """What the source says of a symbol, without formulas and references."""
    lines = (ROOT / "book" / "notation.md").read_text(encoding="utf8").splitlines()
    rows = [line.removeprefix("| ") for line in lines if line.startswith("|")]
    line = next(row for row in rows if f"${formula}$" in row.split(" | ")[0] or row.startswith(f"{formula} | "))
    return words(re.sub(r"\$[^$]*\$|\{\w+(?::\w+)?\}`[^`]*`", " ", line.split(" | ")[1]))


def test_a_symbol_is_found_as_it_is_written(search):
    for spellings in (["k̂", "k-hat", r"\hat{k}", "k hat"], ["σ²", "sigma^2", r"\sigma^2"], ["KL(q‖p)", "kl(q||p)"]):
        anchors = [next(anchor for page, anchor in search(s) if page == "book/notation") for s in spellings]
        assert len(set(anchors)) == 1, dict(zip(spellings, anchors, strict=True))


def test_the_search_page_answers_a_symbol(visit):
    opened = visit("search.html?q=%CF%88")
    link = opened.page.locator("#search-results li a").first
    link.wait_for()
    assert link.text_content() == "ψ"
    assert "digamma" in opened.page.locator("#search-results li").first.text_content()
    link.click()
    opened.page.wait_for_url("**/book/notation.html*#symbol-*")
    assert opened.outside == []
    opened.close()


GLOSSARY_LINK = re.compile(r'<a class="glossary-link[^"]*" href="\.\./back/glossary\.html#([^"]+)" id="([^"]+)">', re.S)


def test_a_chapter_links_each_term_once_and_the_glossary_links_back():
    glossary = (SITE / "book" / "back" / "glossary.html").read_text(encoding="utf8")
    for name in CHAPTERS:
        text = (SITE / f"{name}.html").read_text(encoding="utf8")
        links = GLOSSARY_LINK.findall(text)
        assert len(links) == text.count("glossary-link")
        assert len(links) >= 3, name
        assert len({term for term, _ in links}) == len(links), "one link a term"
        for term, own in links:
            assert f'<dt id="{term}">' in glossary
            assert f'href="../{name.removeprefix("book/")}.html#{own}"' in glossary
        for outside in re.findall(r"<(h[1-6]|pre|table|figcaption|code)\b.*?</\1>", text, re.S):
            assert "glossary-link" not in outside
    assert '<p class="used-in">Used in chapters ' in glossary


def test_phones_have_the_sections_of_a_chapter_folded_and_wide_screens_beside_the_text(visit):
    opened = visit("book/topics/em.html", viewport={"width": 375, "height": 812})
    listed = opened.page.locator("details.on-this-page")
    assert listed.locator("summary").inner_text() == "In this chapter"
    assert not listed.locator("a").first.is_visible()
    listed.locator("summary").press("Enter")
    heading = listed.locator("a").nth(1)
    target = heading.get_attribute("href")
    heading.click()
    assert opened.page.locator(target).bounding_box()["y"] < 300
    opened.page.set_viewport_size({"width": 1440, "height": 900})
    assert not listed.is_visible()
    assert "In this chapter" in opened.page.locator("#pst-secondary-sidebar").inner_text()
    opened.close()


def test_next_and_previous_follow_the_table_of_contents():
    for place, name in enumerate(PAGES):
        text = (SITE / f"{name}.html").read_text(encoding="utf8").split('class="prev-next-area"', 1)[-1]
        links = dict(re.findall(r'class="(left|right)-(?:prev|next)"\s+href="([^"]+)"', text))
        for side, neighbour in (("left", place - 1), ("right", place + 1)):
            if 0 <= neighbour < len(PAGES):
                found = ((SITE / f"{name}.html").parent / links[side]).resolve()
                assert found == (SITE / f"{PAGES[neighbour]}.html").resolve(), (name, side)
            else:
                assert side not in links


def test_the_cheat_sheet_prints_on_two_sheets_of_a4(visit):
    opened = visit("book/back/cheat_sheet.html", color_scheme="light")
    sheet = opened.page.pdf(format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "10mm"))
    pages = pypdf.PdfReader(io.BytesIO(sheet)).pages
    assert len(pages) == 2
    text = [page.extract_text() for page in pages]
    assert "One identity" in text[0]
    assert "Common bugs" in text[1]
    assert "The checks" not in text[1]
    opened.close()
