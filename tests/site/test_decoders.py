"""The networks that pages compute: the digits of PyTorch, weights that come late and may not come, a pad to drag on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import serve
import torch
from playwright.sync_api import Locator, Page

from tests.site.conftest import SITE, WHOLE, toc_pages
from tests.site.test_explorers import come_to, picture, shown, sliders_of
from vi_helpers.explorers.mnist import DecoderExplorer, WalkExplorer, walk
from vi_helpers.vae.decoders import decoder_file
from vi_helpers.vae.reference import reference

KINDS = {kind.__name__: kind for kind in (DecoderExplorer, WalkExplorer)}
PAGES = [
    (page, kind)
    for page in toc_pages()
    if (SITE / page).exists()
    for kind in KINDS
    if f'"kind": "{kind}"' in (SITE / page).read_text("utf8")
]
every = pytest.mark.parametrize(("name", "kind"), PAGES)


def explorer_of(page: Page, kind: str) -> Locator:
    return page.locator(f".vi-explorer[data-kind={kind}]").first


def codes_of(kind: str) -> list[tuple[dict[str, float], list[float]]]:
    """Settings on a grid, ends included, each with the z that it stands for."""
    if kind == "DecoderExplorer":
        pairs = [(float(a), float(b)) for a in np.linspace(-3, 3, 6) for b in np.linspace(-3, 3, 6)]
        return [({"z1": a, "z2": b}, [a, b]) for a, b in pairs]
    pairs = [(float(t), float(s)) for t in (0, 0.35, 1, 1.8, 2.55, 3.1, 4) for s in (0, 0.5, 1, 1.5)]
    return [({"t": t, "scale": s}, walk(t, s).tolist()) for t, s in pairs]


@every
def test_the_page_paints_the_digits_of_pytorch(visit, name, kind):
    opened = visit(name)
    explorer = explorer_of(opened.page, kind)
    come_to(explorer)
    grid = codes_of(kind)
    assert len(grid) >= 25
    painted = explorer.evaluate(
        """(root, grid) => grid.map((settings) => {
          for (const [trait, value] of Object.entries(settings)) root.viModel.set(trait, value);
          return root.viPixels;
        })""",
        [settings for settings, _ in grid],
    )
    vae, _ = reference(KINDS[kind].model)
    with torch.no_grad():
        mean = vae.mean(torch.tensor([z for _, z in grid])).reshape(len(grid), 784)
    wanted = np.round(255 * mean.numpy())
    assert np.abs(np.array(painted) - wanted).max() <= 1
    assert len({tuple(row) for row in painted}) > len(grid) / 2
    canvas = explorer.locator(".vi-digit")
    bytes_of = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"
    seen = np.array(canvas.evaluate(bytes_of)).reshape(784, 4)
    assert (seen == [[255 - ink] * 3 + [255] for ink in painted[-1]]).all()  # black on white
    assert opened.complaints == []
    opened.close()


@every
def test_weights_come_when_the_reader_comes_near_and_are_as_small_as_announced(visit, name, kind):
    opened = visit(name)
    opened.page.add_style_tag(content=WHOLE)
    explorer, asked = explorer_of(opened.page, kind), []
    opened.page.on("request", lambda request: asked.append(request.url))
    opened.page.wait_for_timeout(500)
    assert not any("safetensors" in url for url in [*opened.transferred, *asked]), "asked for before anyone came near"
    assert explorer.get_attribute("aria-busy") == "true"
    size, file = explorer.evaluate("root => [root.viModel.get('size'), root.viModel.get('file')]")
    announced = f"{size / 1e6:.2f} MB"
    assert announced in explorer.locator(".vi-note").inner_text()
    place = "root => [root.getBoundingClientRect().height, document.documentElement.scrollHeight]"
    before = explorer.evaluate(place)
    come_to(explorer)
    assert announced in explorer.locator(".vi-note").inner_text()
    assert explorer.evaluate(place) == before, "the page moved when the weights arrived"
    opened.page.wait_for_function("root => root.dataset.sheet === 'drawn'", arg=explorer.element_handle())
    sizes = {url: length for url, length in opened.transferred.items() if url.endswith(f"/_static/{file}")}
    assert list(sizes.values()) == [size] == [len(decoder_file(KINDS[kind].model))]
    opened.close()


@every
@pytest.mark.parametrize("answer", ["none", "404", "half"])
def test_without_weights_it_says_so_and_shows_the_still(visit, name, kind, answer):
    opened = visit(name)
    model = KINDS[kind].model

    def refuse(route) -> None:
        if answer == "none":
            route.abort()
        elif answer == "404":
            route.fulfill(status=404)
        else:
            route.fulfill(body=decoder_file(model)[:100_000])

    opened.page.route(f"**/{model}*", refuse)
    explorer = explorer_of(opened.page, kind)
    come_to(explorer)
    assert "could not be loaded" in explorer.locator(".vi-note").inner_text()
    still = explorer.locator("img")
    still.scroll_into_view_if_needed()
    assert still.bounding_box()["height"] > 100
    assert "Decoded digit" in still.get_attribute("alt")
    assert all(slider.is_disabled() for slider in sliders_of(explorer))
    assert all(text.startswith("Failed to load resource") for text in opened.complaints), opened.complaints
    opened.close()


def at(pad: Locator, across: float, up: float) -> tuple[float, float]:
    box = pad.bounding_box()
    return box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"]


def shares(explorer: Locator) -> list[float]:
    """Where both sliders are, 0 to 1."""
    read = "i => (Number(i.value) - Number(i.min)) / (Number(i.max) - Number(i.min))"
    return [slider.evaluate(read) for slider in sliders_of(explorer)]


@every
def test_the_pad_follows_the_mouse(visit, name, kind):
    opened = visit(name)
    explorer, mouse = explorer_of(opened.page, kind), opened.page.mouse
    come_to(explorer)
    pad = explorer.locator(".vi-pad")
    pad.scroll_into_view_if_needed()
    told = {picture(explorer)}
    mouse.move(*at(pad, 0.5, 0.5))
    assert picture(explorer) in told, "it moved before a button was pressed"
    mouse.move(*at(pad, 0.2, 0.3))
    mouse.down()
    assert shares(explorer) == pytest.approx([0.2, 0.3], abs=0.02)
    told.add(picture(explorer))
    mouse.move(*at(pad, 0.7, 0.9), steps=5)
    assert shares(explorer) == pytest.approx([0.7, 0.9], abs=0.02)
    told.add(picture(explorer))
    mouse.move(*at(pad, 1.4, -0.2), steps=5)  # beyond the edge
    assert shares(explorer) == [1, 0]
    mouse.up()
    mouse.move(*at(pad, 0.1, 0.1))
    assert shares(explorer) == [1, 0]
    assert len(told) == 3
    assert all(math.isfinite(number) for number in shown(explorer).values())
    opened.close()


@every
def test_the_pad_follows_a_finger_and_the_page_stays(visit, name, kind):
    opened = visit(name, viewport={"width": 375, "height": 812}, has_touch=True, is_mobile=True)
    explorer = explorer_of(opened.page, kind)
    come_to(explorer)
    pad = explorer.locator(".vi-pad")
    pad.evaluate("node => node.scrollIntoView({block: 'center'})")
    session = opened.context.new_cdp_session(opened.page)

    def touch(kind: str, *place: float) -> None:
        points = [dict(zip("xy", at(pad, *place), strict=True))] if place else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = opened.page.evaluate("scrollY")
    touch("touchStart", 0.5, 0.9)
    for up in (0.8, 0.6, 0.4, 0.2):
        touch("touchMove", 0.6, up)
    assert shares(explorer) == pytest.approx([0.6, 0.2], abs=0.03)
    touch("touchEnd")
    assert opened.page.evaluate("scrollY") == before
    opened.close()


@every
def test_a_site_below_another_address_finds_its_weights(browser, name, kind):
    server = serve.start(SITE.parent)
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_address[1]}/{SITE.name}/{name}")
    page.wait_for_function("document.documentElement.dataset.explorers === 'ready'")
    come_to(explorer_of(page, kind))
    assert explorer_of(page, kind).evaluate("root => root.viPixels.length") == 784
    page.close()
    server.shutdown()
