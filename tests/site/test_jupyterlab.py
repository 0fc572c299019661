"""The same explorers live in JupyterLab: keys and mouse move them, and the kernel sees the new values."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

import vi_helpers.explorers
from vi_helpers.explorers.base import Live


def explorers() -> list[tuple[str, str]]:
    """(module, callable) of every explorer of the package; each works without arguments."""
    found = []
    for info in pkgutil.iter_modules(vi_helpers.explorers.__path__):
        module = importlib.import_module(f"vi_helpers.explorers.{info.name}")
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            live = inspect.isclass(thing) and issubclass(thing, Live) and thing is not Live
            sweep = inspect.isfunction(thing) and inspect.signature(thing).return_annotation == "Sweep"
            if live or sweep:
                found.append((module.__name__, name))
    return found


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    cells = []
    for module, name in explorers():
        cells.append(
            nbformat.v4.new_code_cell(f"from {module} import {name}\n{name.lower()} = {name}()\n{name.lower()}")
        )
    names = ", ".join(f"{name.lower()!r}: {name.lower()}" for _, name in explorers())
    report = (
        "import json\n"
        "def numbers(w):\n"
        "    return {k: v for k, v in w.get_state().items() if type(v) in (int, float)}\n"
        f"print('TRAITS ' + json.dumps({{k: numbers(w) for k, w in {{{names}}}.items()}}))"
    )
    cells.append(nbformat.v4.new_code_cell(report))
    path = tmp_path_factory.mktemp("lab") / "explorers.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture(scope="module")
def lab(notebook: Path) -> Iterator[str]:
    """A JupyterLab of our own on this machine; yields its address."""
    log = notebook.parent / "lab.log"
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={notebook.parent}", "--expose-app-in-browser",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None",
    ]  # fmt: skip
    config = notebook.parent / "config"
    settings = config / "lab" / "user-settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')  # else cells that are out of sight leave the document
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(config), "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    try:
        yield wait_for_address(server, log)
    finally:
        server.terminate()
        server.wait(20)


def wait_for_address(server: subprocess.Popen, log: Path, seconds: float = 60) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        if match := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()):
            try:
                with urllib.request.urlopen(match[0] + "api", timeout=10) as answer:
                    assert json.load(answer)["version"]
                return match[0]
            except urllib.error.URLError:  # the address is written before the door is open
                pass
        time.sleep(0.3)
    raise AssertionError(log.read_text())


def test_explorers_are_live(browser, lab, notebook):
    assert len(explorers()) >= 6
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.goto(f"{lab}lab/tree/{notebook.name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    run = "void jupyterapp.commands.execute('notebook:run-all-cells')"  # not awaited: it ends with the last cell
    page.wait_for_function("window.jupyterapp?.commands.hasCommand('notebook:run-all-cells')")
    page.wait_for_timeout(1500)
    page.evaluate(run)
    done = "document.querySelector('.jp-Notebook').innerText.includes('TRAITS {')"
    page.wait_for_function(done, timeout=300_000, polling=1000)  # asked every frame, it would slow the kernel down

    def traits() -> dict:
        text = page.evaluate("document.querySelector('.jp-Notebook').innerText")
        return json.loads(re.findall(r"TRAITS (\{.*\})", text)[-1])

    before = traits()
    for number, (_, name) in enumerate(explorers()):
        cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        cell.scroll_into_view_if_needed()
        explorer = cell.locator(".vi-explorer")
        explorer.wait_for(timeout=30_000)
        loaded = "root => root.ariaBusy !== 'true'"  # what an explorer of a network asks its kernel for
        page.wait_for_function(loaded, arg=explorer.element_handle(), timeout=30_000)
        if explorer.locator(".vi-digit").count():
            assert len(explorer.evaluate("root => root.viPixels")) == 784, "the kernel sent no weights"
        slider = explorer.locator("input[type=range]").first
        slider.focus()
        start = float(slider.input_value())
        page.keyboard.press("ArrowLeft" if start == float(slider.get_attribute("max")) else "ArrowRight")
        assert float(slider.input_value()) != start, f"{name}: the arrow key did nothing"
        page.keyboard.press("ArrowDown" if start == float(slider.get_attribute("max")) else "ArrowUp")
        assert abs(float(slider.input_value()) - start) > 0
    last = page.locator(".jp-Notebook .jp-CodeCell").last
    last.scroll_into_view_if_needed()
    last.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_timeout(2500)
    after = traits()
    for _, name in explorers():
        assert after[name.lower()] != before[name.lower()], f"the kernel did not see {name} move"
    context.close()
