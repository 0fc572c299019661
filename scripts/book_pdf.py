r"""A Sphinx extension: the book as one LaTeX document.  It does nothing when the site is built.

The site's doctrees serve both: everything here happens when the LaTeX builder has put them together.  The pages
are ordered into parts, numbers of figures and equations are those of the site, code cells that the site folds are
left out, and an explorer becomes a still with its description.  Macros come from MathJax's in ``_config.yml``.
"""

from __future__ import annotations

import html
import re
import shutil
import unicodedata
from pathlib import Path

import book_contents
import matplotlib
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.latex import LaTeXBuilder
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import is_exercise_node, is_solution_node

#: Where ``make pdf`` puts the book.
PDF = book_contents.ROOT / "_build" / "pdf" / "variational_inference.pdf"

#: Parts that are not printed: a reference of functions is read beside the code.
LEFT_OUT = {"Reference"}

#: Fonts of the code: matplotlib brings them, so that no font need be installed, and they hold Greek and arrows.
FONTS = (
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSansMono-BoldOblique.ttf",
)

#: Greek letters, and LaTeX's spelling of those whose Unicode name is another.
GREEK = re.compile("([Α-Ωα-ω])")
SPELLED = {"lamda": "lambda", "Lamda": "Lambda"}

#: A table with more rows than this may break over pages.
LONGEST_TABLE = 12

PREAMBLE = r"""
\addto\captionsenglish{\renewcommand{\contentsname}{Contents}}
\setcounter{tocdepth}{1}
\setlength{\emergencystretch}{3em}
\raggedbottom
\setlength{\headheight}{14pt}
% Numbers are given by the site: counters only count, so that the anchors differ.
\makeatletter
\AtBeginDocument{\@removefromreset{figure}{chapter}\@removefromreset{equation}{chapter}%
  \@removefromreset{table}{chapter}%
  \def\theHfigure{book.\arabic{figure}}\def\theHequation{book.\arabic{equation}}}
\makeatother
\AtBeginEnvironment{tabulary}{\footnotesize\renewcommand{\arraystretch}{1.3}}
\AtBeginEnvironment{longtable}{\footnotesize\renewcommand{\arraystretch}{1.3}}
\renewcommand{\sphinxtablecontinued}[1]{\textsf{(continued)}}
\setlength{\tabcolsep}{4pt}
\newcommand{\bookfigurenumber}[1]{\renewcommand{\thefigure}{#1}}
\newcommand{\bookequationnumber}[1]{\renewcommand{\theequation}{#1}}
% The page of the bibliography has a title already.
\makeatletter
\renewenvironment{sphinxthebibliography}[1]{\begingroup\def\chapter{\@gobbletwo}\def\addcontentsline##1##2##3{}%
  \begin{thebibliography}{#1}}{\end{thebibliography}\endgroup}
\makeatother
% Pages outside the numbered parts are chapters without a number; so is a part that only groups pages.
\newcommand{\bookunnumbered}{\setcounter{secnumdepth}{-2}}
\newcommand{\booknumbered}{\setcounter{secnumdepth}{2}}
\newcommand{\booksolution}{\par\medskip\noindent\rule{\linewidth}{0.4pt}\par\nobreak\noindent}
\newcommand{\booksolved}{\par\nobreak\noindent\rule{\linewidth}{0.4pt}\par\medskip}
\newcommand{\bookstill}[1]{\par\noindent\begin{center}%
  \begin{minipage}{0.9\linewidth}\small\itshape #1\end{minipage}\end{center}\par}
"""

METADATA = r"""
\hypersetup{pdftitle={%(title)s}, pdfauthor={%(author)s}, pdflang={en-GB},
  pdfsubject={A textbook on variational inference, with code},
  pdfkeywords={variational inference, ELBO, variational autoencoder, EM, MCMC}}
"""

TITLE = r"""
\begin{titlepage}
\raggedright
\vspace*{0.18\textheight}
{\Huge\bfseries %(title)s\par}
\vspace{1.2cm}
{\Large %(author)s\par}
\vfill
{%(site)s\par}
\vspace{0.6cm}
{\small Text and figures: CC BY 4.0. Code: MIT licence. Copyright %(copyright)s.\par
Built from its notebooks on %(date)s.\par}
\end{titlepage}
"""


def macros(config: Config) -> str:
    r"""The macros of ``mathjax3_config`` as LaTeX: a text, or a pair of text and number of arguments."""
    lines = []
    for name, value in config.mathjax3_config["tex"]["macros"].items():
        text, count = (value, "") if isinstance(value, str) else (value[0], f"[{value[1]}]")
        lines.append(rf"\providecommand{{\{name}}}{{}}\renewcommand{{\{name}}}{count}{{{text}}}")
    return "\n".join(lines)


def words(entry: nodes.entry) -> str:
    """The text of a table's cell, a formula counted as about as long as it will look."""
    return " ".join(
        re.sub(r"\\[A-Za-z]+|[{}^_\s]", "x", text) if isinstance(text.parent, nodes.math) else str(text)
        for text in entry.findall(nodes.Text)
    )


def configure(app: Sphinx, config: Config) -> None:
    """Settings of the LaTeX builder; other builders do not look at them."""
    config.latex_engine = "xelatex"
    config.latex_use_xindy = False
    config.latex_domain_indices = False
    config.latex_documents = [(config.root_doc, "variational_inference.tex", config.project, config.author, "manual")]
    grey = "{RGB}{246,246,246}"
    config.latex_elements = {
        "papersize": "a4paper",
        "pointsize": "10pt",
        "extraclassoptions": "openany,oneside",
        "fontpkg": r"\setmonofont{DejaVuSansMono}[Path=./, Extension=.ttf, Scale=0.78, UprightFont=*, "
        r"BoldFont=*-Bold, ItalicFont=*-Oblique, BoldItalicFont=*-BoldOblique]",
        "fncychap": "",
        "geometry": r"\usepackage[left=25mm,right=25mm,top=27mm,bottom=27mm]{geometry}",
        "fvset": r"\fvset{fontsize=\normalsize}",
        "sphinxsetup": f"iconpackage=none,VerbatimColor={grey},VerbatimBorderColor={grey},verbatimhintsturnover=false",
        "figure_align": "!htbp",
        "preamble": macros(config) + PREAMBLE + METADATA % {"title": config.project, "author": config.author},
        "printindex": "",
        "makeindex": "",
        "maketitle": TITLE
        % {
            "title": config.project,
            "author": config.author,
            "copyright": config.copyright,
            "site": rf"\url{{{config.html_baseurl}}}" if config.html_baseurl else "",
            "date": r"\today",
        },
    }


class PrintExplorers(SphinxPostTransform):
    """An explorer's two outputs become its still and what the still shows; pages have no other HTML outputs."""

    default_priority = 3  # before MyST-NB chooses between the forms of an output
    builders = ("latex",)

    def run(self, **kwargs: object) -> None:
        """Go through the bundles of outputs."""
        for bundle in [n for n in self.document.findall(nodes.container) if n.get("nb_element") == "mime_bundle"]:
            forms = {form["mime_type"]: form for form in bundle.children}
            if "text/html" not in forms or "vi-room" not in forms["text/html"].astext():
                continue
            alt = re.search(r'alt="([^"]*)"', forms["text/html"].astext())
            words = f"A still of an explorer that moves on the site. {html.unescape(alt[1])}"
            place = bundle.parent.index(bundle)
            bundle.parent.insert(place + 2, nodes.raw("", "}", format="latex"))  # the picture is the next output
            bundle.parent.insert(place + 2, nodes.inline("", words))
            bundle.parent.insert(place + 2, nodes.raw("", r"\bookstill{", format="latex"))
            bundle.parent.remove(bundle)


class PrintBook(SphinxPostTransform):
    """Order the assembled document into parts; leave out what only a screen can show; number as the site does."""

    default_priority = 8  # before references are resolved, so that none is resolved into a page left out
    builders = ("latex",)

    def run(self, **kwargs: object) -> None:
        """Change the whole document."""
        if self.env.docname != self.config.root_doc:
            return
        self.leave_out()
        self.number()
        self.name_exercises()
        self.set_tables()
        self.arrange()

    def leave_out(self) -> None:
        for node in list(self.document.findall(nodes.container)):
            if "tag_hide-input" in node["classes"] or "tag_hide-cell" in node["classes"]:
                for child in [n for n in node.findall(nodes.container) if "cell_input" in n["classes"]]:
                    child.parent.remove(child)

    def number(self) -> None:
        r"""Put the site's number in front of each figure and each display that has one."""
        for page in list(self.document.findall(addnodes.start_of_file)):
            numbers = self.env.toc_fignumbers.get(page["docname"], {})
            for kind, numbered, command in (
                ("figure", nodes.figure, r"\bookfigurenumber"),
                ("displaymath", nodes.math_block, r"\bookequationnumber"),
            ):
                for node in list(page.findall(numbered)):
                    found = next((numbers[kind][i] for i in node["ids"] if i in numbers.get(kind, {})), None)
                    if found:
                        text = f"{command}{{{'.'.join(map(str, found))}}}"
                        node.parent.insert(node.parent.index(node), nodes.raw("", text, format="latex"))

    def name_exercises(self) -> None:
        """A second label for each exercise: one where references to titles look for it."""
        for page in list(self.document.findall(addnodes.start_of_file)):
            for node in list(page.findall(is_exercise_node)):
                text = rf"\phantomsection\label{{\detokenize{{{page['docname']}:{node['label']}}}}}"
                node.parent.insert(node.parent.index(node), nodes.raw("", text, format="latex"))

    def set_tables(self) -> None:
        """Long tables may break over pages; their columns are as wide as their words ask for."""
        for table in self.document.findall(nodes.table):
            rows = list(table.findall(nodes.row))
            if len(rows) <= LONGEST_TABLE:
                continue
            columns = list(zip(*[[words(entry) for entry in row] for row in rows], strict=True))
            natural = [max(len(text) for text in column) for column in columns]
            narrowest = [max(len(word) for text in column for word in text.split() or [""]) for column in columns]
            shares = [max(least, width**0.6 * 2) for least, width in zip(narrowest, natural, strict=True)]
            for spec, share in zip(table.findall(nodes.colspec), shares, strict=True):
                spec["colwidth"] = round(share)
            table["classes"] += ["longtable", "colwidths-given"]

    def arrange(self) -> None:
        """The title; the landing page as a chapter; every other page in its part."""
        files = {node["docname"]: node for node in self.document.findall(addnodes.start_of_file)}
        top = next(self.document.findall(nodes.section))
        for wrapper in [n for n in top.findall(nodes.compound) if "toctree-wrapper" in n["classes"]]:
            wrapper.parent.remove(wrapper)
        landing = addnodes.start_of_file(docname=self.config.root_doc)
        section = nodes.section("", nodes.title("", "Welcome"), *top.children[1:])
        landing += section
        top.children = top.children[:1]

        def raw(text: str) -> nodes.raw:
            return nodes.raw("", f"\n{text}\n", format="latex")

        top += [raw(r"\bookunnumbered"), landing]
        part = ""
        for page in book_contents.pages()[1:]:
            if page.part in LEFT_OUT:
                continue
            if page.part != part:
                part, numbered = page.part, page.number is not None
                top += raw(r"\booknumbered" if numbered else r"\bookunnumbered")
                if part != "Front":
                    top += raw(rf"\part{{{part.rpartition(' · ')[2]}}}")
            top += files[page.name]


class LastTouches(SphinxPostTransform):
    """What waits for resolved references: links to pages that are not printed, and letters inside titles."""

    default_priority = 900
    builders = ("latex",)

    def run(self, **kwargs: object) -> None:
        """Change the whole document."""
        self.drop_lost_links()
        self.open_solutions()
        self.set_greek()

    def drop_lost_links(self) -> None:
        """A link that leads out of the document is its words."""
        printed = {node["docname"] for node in self.document.findall(addnodes.start_of_file)}
        for node in list(self.document.findall(nodes.reference)):
            target = re.match(r"%([^#]*)", node.get("refuri", ""))
            if target and target[1] not in printed:
                node.replace_self(node.children)

    def open_solutions(self) -> None:
        """A solution stands between two rules: its code may then break over pages, which it cannot in a box."""
        for node in list(self.document.findall(is_solution_node)):
            docname = self.env.sphinx_exercise_registry[node["label"]]["docname"]
            label = rf"\phantomsection\label{{\detokenize{{{docname}:{node['label']}}}}}\booksolution{{}}"
            title = nodes.paragraph("", "", nodes.strong("", "", *node.children[0].children))
            node.replace_self(
                [
                    nodes.raw("", label, format="latex"),
                    title,
                    *node.children[1:],
                    nodes.raw("", "\n\\booksolved{}\n", format="latex"),
                ]
            )

    def set_greek(self) -> None:
        """A Greek letter in the text is set as mathematics: the text's font has none."""
        for text in list(self.document.findall(nodes.Text)):
            inside = text.parent
            if not GREEK.search(text) or isinstance(
                inside, (nodes.literal, nodes.FixedTextElement, nodes.raw, nodes.math)
            ):
                continue
            pieces = []
            for piece in GREEK.split(text.astext()):
                if GREEK.fullmatch(piece):
                    name = unicodedata.name(piece).split()[-1].lower()
                    command = name if piece.islower() else name.capitalize()
                    command = rf"\texorpdfstring{{\ensuremath{{\{SPELLED.get(command, command)}}}}}{{{piece}}}"
                    pieces.append(nodes.raw("", command, format="latex"))
                elif piece:
                    pieces.append(nodes.Text(piece))
            inside.replace(text, pieces)


def copy_fonts(app: Sphinx) -> None:
    """Put the fonts beside the LaTeX file."""
    if isinstance(app.builder, LaTeXBuilder):
        source = Path(matplotlib.get_data_path(), "fonts", "ttf")
        for name in FONTS:
            Path(app.outdir, name).write_bytes((source / name).read_bytes())


def offer(site: Path, pdf: Path) -> None:
    """Put the PDF, where there is one, into the built site, with a link at the end of the landing page."""
    landing = site / "book" / "index.html"
    text = landing.read_text(encoding="utf8")
    if not pdf.exists() or "</article>" not in text:
        return
    shutil.copy2(pdf, site / pdf.name)
    if pdf.name not in text:
        size = f"{pdf.stat().st_size / 1e6:.0f} MB"
        link = f'<p class="book-pdf"><a href="../{pdf.name}">The whole book as a PDF</a> ({size})</p>\n'
        landing.write_text(text.replace("</article>", f"{link}</article>", 1), encoding="utf8")


def offer_after_build(app: Sphinx, exception: Exception | None) -> None:
    """The site that was built again offers the PDF again."""
    if exception is None and app.builder.name == "html":
        offer(Path(app.outdir), PDF)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", configure, priority=900)  # after the table of contents names the root
    app.connect("builder-inited", copy_fonts)
    app.connect("build-finished", offer_after_build)
    for transform in (PrintExplorers, PrintBook, LastTouches):
        app.add_post_transform(transform)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
