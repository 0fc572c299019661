"""How the site tests find their browser."""

from __future__ import annotations

from tests.site import conftest


def test_a_browser_on_the_path_comes_first(monkeypatch):
    monkeypatch.setattr(conftest.shutil, "which", lambda name: f"/bin/{name}" if name == "google-chrome" else None)
    assert conftest.find_browser("/own") == "/bin/google-chrome"


def test_then_playwrights_own_and_else_none(monkeypatch, tmp_path):
    monkeypatch.setattr(conftest.shutil, "which", lambda name: None)
    monkeypatch.setattr(conftest, "PLACES", ())
    own = tmp_path / "chrome"
    assert conftest.find_browser(str(own)) is None
    own.touch()
    assert conftest.find_browser(str(own)) == str(own)
