"""The reference as built: every public name is there, types lead out of the book, pages stay light."""

import ast
import gzip
import posixpath
import re

import pytest
from import_graph import ROOT, module_files
from sphinx.util.inventory import InventoryFile

SITE = ROOT / "_build" / "html"
PAGES = sorted((ROOT / "book" / "reference").glob("*.md"))
HEAVIEST = 200_000  # bytes compressed, of the 900,000 that a first visit may take


def public_names() -> set[str]:
    """Every name in an ``__all__`` of the package, in full; read from the text, nothing is imported."""
    names = set()
    for module, path in module_files().items():
        for node in ast.parse(path.read_text(encoding="utf8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                names |= {f"{module}.{name}" for name in ast.literal_eval(node.value)}
    return names


@pytest.fixture(scope="module")
def listed() -> dict[str, str]:
    """Python name → its place on the site, from the site's own inventory."""
    with (SITE / "objects.inv").open("rb") as stream:
        inventory = InventoryFile.load(stream, "", posixpath.join)
    return {
        name: place
        for kind, objects in inventory.items()
        if kind.startswith("py:")
        for name, (_, _, place, _) in objects.items()
    }


def test_every_public_name_is_in_the_reference(listed):
    names = public_names()
    assert len(names) > 300
    assert not names - listed.keys()


def test_every_name_is_where_the_inventory_says(listed):
    texts = {page: (SITE / page).read_text("utf8") for page in {place.partition("#")[0] for place in listed.values()}}
    for name, place in listed.items():
        page, _, anchor = place.partition("#")
        assert f'id="{anchor}"' in texts[page], f"{name} is not at {place}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_the_reference_is_light_and_has_no_mark_left_over(page):
    html = (SITE / "book" / "reference" / f"{page.stem}.html").read_text("utf8")
    assert len(gzip.compress(html.encode())) < HEAVIEST
    article = html[html.index("<article") : html.index("</article>")]
    text = re.sub(r"<[^>]+>", "", re.sub(r"<pre>.*?</pre>", "", article, flags=re.DOTALL))
    assert not re.search(r":(cite|func|class|mod|meth|attr)[:`]|``|\[[a-z]+\d{4}[a-z]?\]|object at 0x", text)


def test_types_lead_to_the_documentation_of_other_projects(listed):
    html = (SITE / listed["vi_helpers.models.topic_model.infer"].partition("#")[0]).read_text("utf8")
    for link in (
        "https://numpy.org/doc/stable/reference/typing.html#numpy.typing.ArrayLike",
        "https://docs.scipy.org/doc/scipy/reference/generated/scipy.sparse.csr_array.html#scipy.sparse.csr_array",
        "https://docs.python.org/3/library/functions.html#float",
    ):
        assert f'href="{link}"' in html
    torch = (SITE / listed["vi_helpers.vae.networks.build"].partition("#")[0]).read_text("utf8")
    assert 'href="https://docs.pytorch.org/docs/stable/generated/torch.Generator.html#torch.Generator"' in torch


def test_chapters_and_reference_link_to_each_other():
    chapter = (SITE / "book" / "topics" / "em.html").read_text("utf8")
    assert 'href="../reference/models.html#module-vi_helpers.models.em"' in chapter
    reference = (SITE / "book" / "reference" / "models.html").read_text("utf8")
    assert 'href="../topics/em.html#ch-em"' in reference
