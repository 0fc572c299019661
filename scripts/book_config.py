"""The configuration the site is built with: ``_config.yml``, plus the links of the place it is published at.

A local build has no repository links and no canonical address, rather than wrong ones.  A workflow names them in
the environment:

- BOOK_URL, the address of the site: canonical links, site map, cards for messengers, the 404 page's addresses;
- BOOK_REPOSITORY, the address of the repository: its button, and buttons for Colab and Binder where it is on GitHub;
- BOOK_BRANCH, the branch that those two read from: the one that ``scripts/publish_notebooks.py`` fills;
- BOOK_LITE, set when ``scripts/build_lite.py`` puts JupyterLite beside the site: a button "In this browser".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parent.parent

#: Pictures that messengers show beside a link to a page, in the colours of the book.
CARDS = {"enable": True, "image_mini": "book/assets/card.png", "line_color": "#c44f00", "font": "DejaVu Sans"}

NOT_FOUND = """<h1>There is no such page</h1>
<p>The address may be mistyped, or the page may have moved. Nothing is lost:</p>
<ul>
<li><a href="{prefix}book/index.html">the first page of the book</a>, with its chapters in the column at the side;</li>
<li><a href="{prefix}search.html">search</a>, by word or by the name of a theorem;</li>
<li><a href="{prefix}book/back/glossary.html">the glossary</a> and
<a href="{prefix}book/notation.html">the notation</a>.</li>
</ul>
"""


def configuration(environment: Mapping[str, str]) -> dict:
    """``_config.yml`` as a dictionary, with the published addresses where the environment names them."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    extensions = config["sphinx"]["local_extensions"]
    config["sphinx"]["local_extensions"] = {name: str(ROOT / place) for name, place in extensions.items()}
    sphinx = config["sphinx"]["config"]
    sphinx["book_lite"] = bool(environment.get("BOOK_LITE"))
    prefix = "/"
    if url := environment.get("BOOK_URL"):
        url = url.rstrip("/") + "/"
        prefix = urlsplit(url).path
        config["html"]["baseurl"] = sphinx["ogp_site_url"] = url
        sphinx["ogp_social_cards"] = CARDS
        sphinx["extensions"].append("sphinx_sitemap")
        sphinx |= {"sitemap_url_scheme": "{link}", "sitemap_excludes": ["404.html", "search.html", "genindex.html"]}
    # A server shows the 404 page at whatever address was asked for, so its links start at the root of the host.
    sphinx["notfound_urls_prefix"] = prefix
    sphinx["notfound_context"] = {"title": "Page not found", "body": NOT_FOUND.format(prefix=prefix)}
    if repository := environment.get("BOOK_REPOSITORY"):
        config["repository"] = {
            "url": repository,
            "branch": environment.get("BOOK_BRANCH", "main"),
            "path_to_book": ".",
        }
        # The theme's options are given whole in _config.yml, so these have to be put there too.
        theme = config["sphinx"]["config"]["html_theme_options"]
        theme |= {"repository_url": repository, "repository_branch": config["repository"]["branch"]}
        theme |= {"use_repository_button": True, "use_issues_button": True, "path_to_docs": ""}
        if repository.startswith("https://github.com/"):  # the one host that both know how to read from
            theme["launch_buttons"] = {
                "notebook_interface": "jupyterlab",
                "colab_url": "https://colab.research.google.com",
                "binderhub_url": "https://mybinder.org",
            }
    return config
