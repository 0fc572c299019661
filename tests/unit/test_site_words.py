"""The words of the site: which of them become links to the glossary, and how a formula reads in a search."""

import book_glossary
import book_search
import pytest
from docutils import nodes

ENTRIES = book_glossary.entries(
    """
```{glossary}
:sorted:

ELBO
evidence lower bound
  The bound. {ref}`ch-elbo`.

evidence
  The probability of the data.

Bayes' theorem
  Posterior equals prior times likelihood.

mean field
  A product.

rate
  The second parameter of a Gamma.

divergence, statistical
  A number.
```
"""
)


def links(*parts: nodes.Node | str) -> list[tuple[str, str]]:
    """The terms linked in one paragraph, each with the words that become the link."""
    inside = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    page = nodes.section("", nodes.title("", "The ELBO"), nodes.paragraph("", "", *inside))
    return [(use.name, str(use.node)[use.start : use.end]) for use in book_glossary.first_uses(page, ENTRIES)]


def test_names_of_one_entry_belong_together():
    assert [names[0] for names in ENTRIES] == [
        "ELBO",
        "evidence",
        "Bayes' theorem",
        "mean field",
        "rate",
        "divergence, statistical",
    ]
    assert ENTRIES[0] == ["ELBO", "evidence lower bound"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The evidence lower bound is the ELBO.", [("ELBO", "evidence lower bound")]),  # the longest, and once
        ("Two ELBOs, no elbo.", [("ELBO", "ELBOs")]),
        ("Evidence, then evidence.", [("evidence", "Evidence")]),
        ("A mean-field fit.", [("mean field", "mean-field")]),
        ("By Bayes’ theorem.", [("Bayes' theorem", "Bayes’ theorem")]),
        ("The self-evidence of evidences.", [("evidence", "evidences")]),
        ("The acceptance rate, and a divergence.", []),
        ("evidently", []),
    ],
)
def test_a_term_is_found_as_it_is_written(text, expected):
    assert links(text) == expected


@pytest.mark.parametrize(
    "node",
    [
        nodes.literal("", "evidence"),
        nodes.math("", "evidence"),
        nodes.reference("", "evidence", refuri="x.html"),
    ],
    ids=lambda node: node.tagname,
)
def test_code_formulas_and_links_are_left_alone(node):
    assert links("See ", node, ".") == []
    assert links("See ", node, " or the evidence.") == [("evidence", "evidence")]


def test_a_chapter_may_mean_something_else():
    page = nodes.section("", nodes.paragraph("", "The evidence of an ELBO."))
    uses = book_glossary.first_uses(page, ENTRIES, {"evidence"})
    assert [use.name for use in uses] == ["ELBO"]


def test_words_with_another_sense_are_words_of_the_glossary():
    names = {name for own in book_glossary.read_entries() for name in own}
    assert names >= book_glossary.EVERYDAY
    assert names >= set().union(*book_glossary.NOT_MEANT.values())


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\hat k", "k\u0302"),
        (r"\hat{k}", "k\u0302"),
        (r"\bar\ell", "ℓ\u0304"),
        (r"\sigma^2", "σ²"),
        (r"\KL{q}{p}", "KL(q‖p)"),
        (r"P(Z \mid X)", "P(Z | X)"),
        (r"I_{\mathrm{obs}}", "I_obs"),
        (r"q^\star", "q*"),
        (r"\Gamma", "Γ"),
        (r"\GammaDist(\alpha, \beta)", "Gamma(α, β)"),
    ],
)
def test_a_formula_reads_as_it_is_typed(latex, expected):
    assert book_search.typed(latex) == expected


def test_a_symbol_is_known_by_both_sides_of_its_equation():
    assert book_search.names_of_symbol(r"v = \sigma^2") == ["v = σ²", "v", "σ²"]
    assert book_search.names_of_symbol(r"L(\theta)") == ["L(θ)"]
