"""The configuration the site is built with: ``_config.yml``, plus the links of the place it is published at.

A local build has no repository links and no canonical address, rather than wrong ones.  A workflow names them in
the environment: BOOK_URL (address of the site), BOOK_REPOSITORY (address of the repository), BOOK_BRANCH.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def configuration(environment: Mapping[str, str]) -> dict:
    """``_config.yml`` as a dictionary, with the published addresses where the environment names them."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    extensions = config["sphinx"]["local_extensions"]
    config["sphinx"]["local_extensions"] = {name: str(ROOT / place) for name, place in extensions.items()}
    if url := environment.get("BOOK_URL"):
        config["html"]["baseurl"] = url.rstrip("/") + "/"
        config["sphinx"]["config"]["ogp_site_url"] = url.rstrip("/") + "/"
        config["sphinx"]["config"]["extensions"].append("sphinx_sitemap")
        config["sphinx"]["config"]["sitemap_url_scheme"] = "{link}"
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
