"""A Sphinx extension: a lecture deck for every chapter, made from the chapter's own built page.

Numbers, equations, figures and explorers are the page's, so the two cannot disagree.  Each ``##`` section is a
stack of slides.  A slide shows the section's title, bold idea sentences, the sentence that leads to an equation,
display equations, definitions and theorems, figures, explorers, tables and lists.  The prose goes into the
speaker's notes; proofs, solutions and code are left out.

A cell's tags change that (and so does an HTML comment of the same name inside a Markdown cell):

``slide-skip``
    nothing of the cell is shown; in a comment, up to ``<!-- /slide-skip -->``.
``slide-text``
    the prose of the cell is shown; in a comment, up to ``<!-- /slide-text -->``.
``slide-new``
    a new slide begins here.
``slide-code``
    the code cell is shown with what it prints.
"""

from __future__ import annotations

import copy
import json
import posixpath
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from book_contents import PageOfBook, chapters
from bs4 import BeautifulSoup, Comment, NavigableString, Tag
from sphinx.application import Sphinx

FOLDER = "slides"
MODES = ("slide-skip", "slide-text")
#: What a slide holds, in lines of text, before the next thing goes to a new one.
ROOM = 11.5
LINE = 76
#: A sentence that begins so points at the one before it, and is shown together with it.
POINTER = re.compile(r"(It|Its|They|Their|This|That|These|Those|Such|Both|Then|When it|Without)\b")
STATE = 'script[type="application/vnd.jupyter.widget-state+json"]'
VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]'


def mark_cells(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put each Markdown cell's ``slide-`` tags into its text as comments, which the built page keeps."""
    if not app.env.doc2path(docname).endswith(".ipynb") or '"slide-' not in source[0]:
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        text = "".join(cell["source"])
        for tag in cell["metadata"].get("tags", []):
            if tag in MODES:
                text = f"<!-- {tag} -->\n\n{text}\n\n<!-- /{tag} -->"
            elif tag == "slide-new":
                text = f"<!-- {tag} -->\n\n{text}"
        cell["source"] = text
    source[0] = json.dumps(notebook)


def plain(node: Tag) -> str:
    """The words of ``node``; of a formula, its signs."""
    return re.sub(r"\s+", " ", node.get_text()).strip()


def sentences(paragraph: Tag) -> list[list]:
    """The child nodes of ``paragraph`` in groups, one a sentence."""
    found: list[list] = [[]]
    for node in list(paragraph.children):
        if isinstance(node, NavigableString):
            for k, piece in enumerate(re.split(r"(?<=[.?!:])\s+(?=[A-Z(“‘]|$)", str(node))):
                if k:
                    found.append([])
                if piece:
                    found[-1].append(NavigableString(piece))
        else:
            found[-1].append(copy.copy(node))
            if node.name == "strong" and node.get_text().rstrip()[-1:] in ".?!:":
                found.append([])
    return [nodes for nodes in found if "".join(node.get_text() for node in nodes).strip()]


def wrap(nodes: list, kind: str) -> Tag:
    """The nodes in a paragraph of class ``kind``."""
    paragraph = BeautifulSoup("", "html.parser").new_tag("p", attrs={"class": kind})
    paragraph.extend(nodes)
    return paragraph


def is_bold(nodes: list) -> bool:
    return any(isinstance(node, Tag) and (node.name == "strong" or node.find("strong")) for node in nodes)


def first_words(paragraph: Tag) -> list:
    """The first sentence of a paragraph, and the second too where the first is a title in bold."""
    parts = sentences(paragraph)
    short = is_bold(parts[0]) and len("".join(node.get_text() for node in parts[0])) < 32
    return [*parts[0], NavigableString(" "), *parts[1]] if short and len(parts) > 1 else parts[0]


@dataclass
class Slide:
    """What one slide shows, what its speaker reads, and how many lines are taken."""

    title: str
    kind: str = "text"
    shown: list[Tag] = field(default_factory=list)
    notes: list[Tag] = field(default_factory=list)
    lines: float = 0.0


@dataclass
class Stack:
    """The slides of one section."""

    title: str
    slides: list[Slide] = field(default_factory=list)


class Deck:
    """Walks the article of a built page and sorts what it holds into slides."""

    def __init__(self, article: Tag):
        self.stacks: list[Stack] = []
        self.modes: set[str] = set()
        self.fresh = False  # a new slide is asked for
        self.waiting: list[Tag] = []  # notes read before the slide they belong to is begun
        self.lead: Tag | None = None  # the sentence before an equation or an explorer
        self.title = ""
        self.exercises: list[Tag] = []
        self.walk(article)
        self.finish()

    # -- slides

    @property
    def slide(self) -> Slide | None:
        slides = self.stacks[-1].slides if self.stacks else []
        return slides[-1] if slides else None

    def begin(self, kind: str = "text") -> Slide:
        self.stacks[-1].slides.append(Slide(self.title, kind, notes=self.waiting))
        self.waiting, self.fresh = [], False
        return self.slide

    def note(self, node: Tag) -> None:
        """Prose belongs to the slide before it, but to the next one where a section has just begun."""
        if self.slide is None or self.fresh:
            self.waiting.append(node)
        else:
            self.slide.notes.append(node)

    def show(self, node: Tag, lines: float, kind: str = "text", alone: bool = False) -> None:
        """Add to the slide, or to a new one where there is no room, or where ``alone`` asks for its own."""
        lead, self.lead = self.lead, None
        if lead is not None:
            lines += self.height(lead)
        slide = self.slide
        full = slide is not None and slide.lines + lines > ROOM
        full = full or (slide is not None and slide.kind != "text")
        if slide is None or self.fresh or full or (alone and (slide.lines > 3.6 or self.has_formula(kind))):
            slide = self.begin(kind)
        slide.kind = kind if kind != "text" else slide.kind
        slide.shown += [node] if lead is None else [lead, node]
        slide.lines += lines

    def has_formula(self, kind: str) -> bool:
        """A picture would be too small under an equation."""
        return kind == "figure" and any("math" in node.get("class", []) for node in self.slide.shown)

    @staticmethod
    def height(node: Tag) -> float:
        return max(1, -(-len(plain(node)) // LINE)) + 0.35

    @staticmethod
    def formula(node: Tag) -> float:
        tables = node.select("mjx-itable")  # Sphinx puts a table of one row around the author's
        return 0.7 + 1.4 * max((len(table.find_all("mjx-mtr", recursive=False)) for table in tables), default=1)

    # -- what the page holds

    def walk(self, parent: Tag) -> None:
        children = [child for child in parent.children if isinstance(child, Tag | Comment)]
        for k, child in enumerate(children):
            if isinstance(child, Comment):
                self.mark(child.strip())
            elif child.name == "section":
                self.walk(child)
            elif "slide-skip" not in self.modes or child.name in {"h1", "h2", "h3"}:
                self.take(child, next((c for c in children[k + 1 :] if isinstance(c, Tag)), None))

    def mark(self, name: str) -> None:
        if name == "slide-new":
            self.fresh = True
        elif name in MODES:
            self.modes.add(name)
        elif name[:1] == "/" and name[1:] in MODES:
            self.modes.discard(name[1:])

    def take(self, node: Tag, following: Tag | None) -> None:
        classes = set(node.get("class", []))
        if node.name in {"h1", "h2", "h3"}:
            self.heading(node)
        elif node.name == "p":
            self.paragraph(node, following)
        elif "math" in classes:
            self.show(node, self.formula(node))
        elif "cell" in classes:
            self.cell(node, classes)
        elif classes & {"theorem", "definition", "algorithm", "proof"} and "dropdown" not in classes:
            self.show(node, self.statement(node), alone=True)
        elif "exercise" in classes:
            self.exercises.append(node)
        elif node.name in {"ul", "ol"}:
            self.list(node)
        elif "pst-scrollable-table-container" in classes or node.name == "table":
            rows = [max(self.cell_lines(row), 1) for row in node.find_all("tr")]
            self.show(node, sum(rows) * 0.9 + 1, "table", alone=True)
        elif node.name == "blockquote":
            self.show(node, self.height(node))
        elif "admonition" in classes and not classes & {"dropdown", "solution"}:
            if "slide-text" in self.modes:
                self.show(node, self.statement(node))
            else:
                self.note(node)

    @staticmethod
    def cell_lines(row: Tag) -> float:
        cells = row.find_all(["td", "th"])
        return max((-(-len(plain(cell)) // max(8, 92 // len(cells))) for cell in cells), default=1)

    def statement(self, node: Tag) -> float:
        lines = 1.5
        for part in node.find_all(["p", "div", "li"]):
            if part.name == "div" and "math" in part.get("class", []):
                lines += self.formula(part)
            elif part.name == "p" and "admonition-title" not in part.get("class", []):
                lines += self.height(part)
        return lines

    def heading(self, node: Tag) -> None:
        for link in node.select("a.headerlink, .section-number"):
            link.extract()
        self.lead = None
        self.title = node.decode_contents().strip()
        if node.name == "h3":
            self.fresh = True
        else:
            self.close()
            self.stacks.append(Stack(self.title))

    def close(self) -> None:
        """A section of prose and code alone still says something: the first sentence of each paragraph."""
        if self.stacks and not self.stacks[-1].slides:
            paragraphs = [node for node in self.waiting if node.name == "p"]
            if paragraphs:
                title, self.title = self.title, self.stacks[-1].title
                slide = self.begin()
                firsts = [wrap(first_words(paragraph), "say") for paragraph in paragraphs]
                firsts = [first for first in firsts if len(plain(first)) > 44 and plain(first)[-1:] != ":"]
                slide.shown += firsts[:3] or [wrap(first_words(paragraphs[0]), "say")]
                self.title = title
        elif self.stacks:
            self.stacks[-1].slides[-1].notes += self.waiting
        self.waiting, self.fresh, self.lead = [], False, None

    def paragraph(self, node: Tag, following: Tag | None) -> None:
        self.note(node)
        if "slide-text" in self.modes:
            self.show(wrap([copy.copy(n) for n in node.children], "say"), self.height(node))
            return
        parts = sentences(node)
        leads = following is not None and "math" in following.get("class", [])
        room = following is not None and following.select_one(".vi-room") is not None
        for k, nodes in enumerate(parts):
            words = "".join(n.get_text() for n in nodes).strip()
            before = parts[k - 1] if k and not is_bold(parts[k - 1]) else []
            # "It follows", "So": not enough alone
            whole = (
                [*before, NavigableString(" "), *nodes]
                if before and (POINTER.match(words) or len(words) < 34)
                else nodes
            )
            last = k == len(parts) - 1
            if is_bold(nodes):
                bold = nodes[0].get_text() if isinstance(nodes[0], Tag) and nodes[0].name == "strong" else ""
                kind = "idea" if len(bold) > 25 and len(bold) > 0.8 * len(words) else "say"
                if len(words) < 32 and words.endswith((".", ":")):
                    if leads:
                        self.show(wrap(nodes, "run-in"), 1.2, alone=True)
                    elif not last and not is_bold(parts[k + 1]):
                        item = wrap([*nodes, NavigableString(" "), *map(copy.copy, parts[k + 1])], "say")
                        self.show(item, self.height(item))
                elif leads and last:
                    self.lead = wrap(whole, kind)
                else:
                    item = wrap(nodes if kind == "idea" else whole, kind)
                    self.show(item, self.height(item), alone=kind == "idea")
            elif (leads and last) or (room and k == 0):
                self.lead = wrap(whole, "say")

    def list(self, node: Tag) -> None:
        items = node.find_all("li", recursive=False)
        lines = sum(self.height(item) for item in items)
        self.show(node, lines, alone=lines > 7)

    def cell(self, node: Tag, classes: set[str]) -> None:
        if "tag_slide-new" in classes:
            self.fresh = True
        if "tag_slide-skip" in classes:
            return
        if "tag_slide-code" in classes:
            code = node.select_one(".cell_input")
            lines = len(code.get_text().strip().splitlines())
            self.show(code, 1 + 0.72 * lines, alone=lines > 8)
            for output in node.select(".cell_output > .output.stream, .cell_output > .output.text_plain"):
                lines = 0.8 + 0.72 * len(output.get_text().strip().splitlines())
                if self.slide.lines + lines <= ROOM + 3:  # beside its code or not at all
                    self.slide.shown.append(output)
                    self.slide.lines += lines
        output = node.select_one(".cell_output")
        if output is None:
            return
        if output.select_one(".vi-room") is not None:
            for still in output.find_all("noscript"):
                still.extract()
            self.show(output, 9, "explorer", alone=True)
            return
        for picture in output.select("figure, img"):
            if picture.name == "figure" or picture.find_parent("figure") is None:
                self.figure(picture)

    def figure(self, node: Tag) -> None:
        self.lead = None
        for link in node.select("a.headerlink"):
            link.extract()
        text = node.select_one(".caption-text")
        if text is not None and len(plain(text)) > 270:
            self.note(wrap([copy.copy(n) for n in node.select_one("figcaption p").children], "caption"))
            kept, length = [], 0
            for nodes in sentences(text):
                length += len("".join(n.get_text() for n in nodes))
                if kept and length > 270:
                    break
                kept += [*nodes, NavigableString(" ")]
            text.clear()
            text.extend(kept)
        self.show(node, 8, "figure", alone=True)

    def finish(self) -> None:
        self.close()
        if self.exercises:
            if not self.stacks[-1].slides:
                self.begin()
            names = BeautifulSoup("", "html.parser").new_tag("ul")
            for exercise in self.exercises:
                title = exercise.select_one(".admonition-title")
                number = title.select_one(".caption-number").get_text().strip()
                name = title.get_text().replace(number, "").strip().removeprefix("(").removesuffix(")")
                item = BeautifulSoup("", "html.parser").new_tag("li")
                link = BeautifulSoup("", "html.parser").new_tag("a", href=f"#{exercise['id']}")
                link.string = number
                item.extend([link, f" · {name}"])
                names.append(item)
                self.slide.notes.append(exercise)
            self.slide.shown.insert(0, names)


def moved(address: str, page: str) -> str:
    """An address on ``page`` (``book/part/slug.html``) as it has to read in a deck, one folder below the site."""
    if not address or re.match(r"[a-zA-Z][\w+.-]*:|//", address):
        return address
    if address.startswith("#"):
        return f"../{page}{address}"
    place, mark, anchor = address.partition("#")
    return "../" + posixpath.normpath(posixpath.join(posixpath.dirname(page), place)) + mark + anchor


def settle(soup: Tag, page: str) -> None:
    """Links point back to the book, names of places are left to it, and pictures do not wait to be scrolled to."""
    for link in soup.select("a.headerlink, .toggle-button"):
        link.extract()
    for tag in soup.find_all(True):
        tag.attrs.pop("id", None)
        for name in ("href", "src"):
            if name in tag.attrs:
                tag[name] = moved(tag[name], page)
        if tag.name == "img":
            tag.attrs.pop("loading", None)
        elif tag.name == "section":  # reveal.js would take a theorem's for a slide
            tag.name = "div"


def moved_state(text: str) -> str:
    """The explorers' stored state; pictures that are files are one folder nearer than from a page of a part."""
    return re.sub(r"(?:\.\./)+(?=_images/)", "../", text)


def render(slide: Slide, page: str) -> str:
    """One slide as HTML."""
    shown = BeautifulSoup("".join(str(node) for node in slide.shown), "html.parser")
    notes = BeautifulSoup("".join(str(node) for node in slide.notes), "html.parser")
    settle(shown, page)
    settle(notes, page)
    for formula in notes.select(".math"):  # the speaker's window has no style sheet of ours: the browser draws MathML
        if (mathml := formula.select_one("math")) is not None:
            formula.replace_with(mathml)
    for heavy in notes.select("script, noscript, img, .cell"):
        heavy.extract()
    aside = f'<aside class="notes">{notes}</aside>' if slide.notes else ""
    return (
        f'<section class="of-{slide.kind}"><h2>{slide.title}</h2><div class="slide-body">{shown}</div>{aside}</section>'
    )


def deck_html(chapter: PageOfBook, soup: BeautifulSoup, book: str) -> str:
    """The whole deck of a chapter, from its built page."""
    page = f"{chapter.name}.html"
    article = soup.select_one("article.bd-article")
    for below_title in article.select(".chapter-strip, .on-this-page"):  # of the page, and of no use on a slide
        below_title.decompose()
    deck = Deck(article)
    front, *sections = deck.stacks
    title = re.sub(r"<[^>]+>", "", front.title)
    head = front.slides[0] if front.slides else Slide(front.title)
    question = [node for node in head.shown if node.name in {"p", "blockquote"}]
    head.shown = [node for node in head.shown if node not in question]
    cover = Slide(front.title, "cover", question, head.notes)
    name, _, rest = front.title.partition(": ")
    cover_html = (
        render(cover, page)
        .replace(
            f"<h2>{front.title}</h2>",
            f'<p class="part">{escape(book)} · {escape(chapter.part)}</p>'
            f'<h1><span class="number">{chapter.number}</span> '
            f"{name}{f'<small>{rest}</small>' if rest else ''}</h1>",
            1,
        )
        .replace(
            "</section>",
            f'<p class="hint"><a href="../{page}">the chapter</a> · <kbd>→</kbd> next · <kbd>Esc</kbd> all slides · '
            "<kbd>S</kbd> notes · <kbd>D</kbd> dark or light · <kbd>?</kbd> keys</p></section>",
            1,
        )
    )
    stacks = [cover_html]
    head.title, head.notes = "In this chapter", []
    for slide in front.slides:
        if slide.shown:
            slide.title = "In this chapter"
            stacks.append(render(slide, page))
    for stack in sections:
        if stack.slides:
            slides = "\n".join(render(slide, page) for slide in stack.slides)
            stacks.append(f"<section>\n{slides}\n</section>" if len(stack.slides) > 1 else slides)
    state = soup.select_one(STATE)
    explorers = ""
    if state is not None:
        explorers = (
            f'<script type="application/vnd.jupyter.widget-state+json">{moved_state(state.string)}</script>\n'
            '<script defer src="../_static/anywidget-static.js"></script>\n'
        )
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light" class="preparing">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slides: {title} — {escape(book)}</title>
<meta name="description" content="Lecture slides of chapter {chapter.number}, {title}.">
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/vendor/reveal/reveal.css">
<link rel="stylesheet" href="../_static/pygments.css">
<link rel="stylesheet" href="../_static/formulas.css">
<link rel="stylesheet" href="../_static/slides/deck.css">
{explorers}<script defer src="../_static/vendor/reveal/reveal.js"></script>
<script defer src="../_static/vendor/reveal/notes.js"></script>
<script defer src="../_static/slides/deck.js"></script>
</head>
<body>
<main class="reveal"><div class="slides">
{chr(10).join(stacks)}
</div></main>
</body>
</html>
"""


def write_decks(app: Sphinx, exception: Exception | None) -> None:
    """Write ``slides/<slug>.html`` for every chapter whose page is newer than its deck."""
    if exception is not None or app.builder.name != "html":
        return
    folder = Path(app.outdir, FOLDER)
    folder.mkdir(exist_ok=True)
    for chapter in chapters():
        built, deck = Path(app.outdir, f"{chapter.name}.html"), folder / f"{chapter.slug}.html"
        if built.exists() and not (deck.exists() and deck.stat().st_mtime_ns > built.stat().st_mtime_ns):
            soup = BeautifulSoup(built.read_text(encoding="utf8"), "html.parser")
            deck.write_text(deck_html(chapter, soup, app.config.project), encoding="utf8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; the decks are made last, when the pages are as readers get them."""
    app.connect("source-read", mark_cells)
    app.connect("build-finished", write_decks, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
