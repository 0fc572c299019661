"""The workflows: valid by GitHub's schema, actions pinned to commits, permissions least."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def check(schema: str, path: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflow_fits_githubs_schema(path):
    result = check("vendor.github-workflows", path)
    assert result.returncode == 0, result.stdout


def test_the_schema_check_can_fail(tmp_path):
    bad = tmp_path / "bad.yml"
    bad.write_text("name: x\non: push\njobs: {a: {steps: []}}\n")
    assert check("vendor.github-workflows", bad).returncode == 1


def test_dependabot_fits_its_schema():
    result = check("vendor.dependabot", ROOT / ".github" / "dependabot.yml")
    assert result.returncode == 0, result.stdout


FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_issue_forms_and_the_citation_fit_their_schemas(tmp_path):
    assert len(FORMS) >= 3
    for path in FORMS:
        schema = "vendor.github-issue-config" if path.name == "config.yml" else "vendor.github-issue-forms"
        result = check(schema, path)
        assert result.returncode == 0, f"{path.name}: {result.stdout}"
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf8")
    assert check("vendor.citation-file-format", ROOT / "CITATION.cff").returncode == 0
    bad = tmp_path / "CITATION.cff"
    bad.write_text(citation.replace("date-released: 2026", "date-released: late 2026"), encoding="utf8")
    assert check("vendor.citation-file-format", bad).returncode == 1


def test_the_citation_names_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf8")
    assert citation["version"] == citation["preferred-citation"]["version"] == project["version"]
    assert f"## {project['version']} ({citation['date-released']})" in changelog


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_actions_are_pinned_to_a_commit_and_named_by_version(path):
    uses = [line.strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    for line in uses:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_default_permission_is_to_read_and_no_secret_is_used(path):
    text = path.read_text()
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert "secrets." not in text


def test_a_local_build_names_no_repository_and_a_published_one_names_its_own():
    sys.path.insert(0, str(ROOT / "scripts"))
    from book_config import configuration

    local = configuration({})
    assert "repository" not in local
    assert "baseurl" not in local["html"]
    published = configuration({"BOOK_URL": "https://a.example/b", "BOOK_REPOSITORY": "https://h.example/o/r"})
    assert published["html"]["baseurl"] == "https://a.example/b/"
    assert published["repository"]["url"] == "https://h.example/o/r"


def test_a_page_can_be_launched_where_colab_and_binder_find_it():
    from book_config import configuration

    def theme(**environment):
        return configuration(environment)["sphinx"]["config"]["html_theme_options"]

    assert "launch_buttons" not in theme()
    assert "launch_buttons" not in theme(BOOK_REPOSITORY="https://h.example/o/r")
    published = theme(BOOK_REPOSITORY="https://github.com/o/r", BOOK_BRANCH="main")
    assert {"colab_url", "binderhub_url"} <= set(published["launch_buttons"])
    assert published["repository_url"] == "https://github.com/o/r"
    assert published["use_repository_button"]
