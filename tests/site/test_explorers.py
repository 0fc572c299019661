"""Every explorer on the built page, with no kernel: mouse, touch, arrow keys, and the same numbers as Python."""

from __future__ import annotations

import importlib
import pkgutil
import statistics

import pytest
from playwright.sync_api import Locator

import vi_helpers.explorers
from tests.site.conftest import SITE, WHOLE, toc_pages
from vi_helpers.explorers.base import Live

STEP = 16  # milliseconds: a frame of a screen that shows sixty a second
PAGES = [page for page in toc_pages() if (SITE / page).exists() and "vi-room" in (SITE / page).read_text("utf8")]

for module in pkgutil.iter_modules(vi_helpers.explorers.__path__):
    importlib.import_module(f"vi_helpers.explorers.{module.name}")
LIVE = {kind.__name__: kind for kind in Live.__subclasses__()}


def sliders_of(explorer: Locator) -> list[Locator]:
    return explorer.locator("input[type=range]").all()


def come_to(explorer: Locator) -> None:
    """Scroll to an explorer, and wait for what it loads only now."""
    explorer.scroll_into_view_if_needed()
    explorer.page.wait_for_function("root => root.ariaBusy !== 'true'", arg=explorer.element_handle())


def set_slider(slider: Locator, fraction: float) -> float:
    """Put a range input at a fraction of its way, as a drag would; returns the time to the repaint, in ms."""
    return slider.evaluate(
        """async (input, fraction) => {
          const [low, high, step] = [input.min, input.max, input.step].map(Number);
          const start = performance.now();
          input.value = low + Math.round((fraction * (high - low)) / step) * step;
          input.dispatchEvent(new Event("input", {bubbles: true}));
          const worked = performance.now() - start;
          await new Promise(requestAnimationFrame);
          return worked;
        }""",
        fraction,
    )


def picture(explorer: Locator) -> str:
    """What a screen reader is told of the picture."""
    chart = explorer.locator("svg[role=img], canvas[role=img], img").first
    return chart.get_attribute("aria-label") or chart.get_attribute("alt") or ""


def shown(explorer: Locator) -> dict[str, float]:
    cells = explorer.locator("[data-key]").all()
    return {cell.get_attribute("data-key"): float(cell.get_attribute("data-value")) for cell in cells}


def expected(explorer: Locator) -> dict[str, float]:
    """The Python twin's numbers at the sliders' present values."""
    kind = LIVE[explorer.get_attribute("data-kind")]
    traits = [slider.get_attribute("data-trait") for slider in sliders_of(explorer)]
    values = explorer.evaluate("(root, traits) => traits.map((t) => root.viModel.get(t))", traits)
    return kind.readouts(**dict(zip(traits, values, strict=True)))


def test_there_are_explorers_to_test():
    assert len(PAGES) >= 6
    assert LIVE


def check_room(explorer: Locator) -> None:
    """What was kept free for an explorer before it was drawn is what it takes."""
    reserved = explorer.evaluate("root => root.closest('.vi-room > div').getBoundingClientRect().height")
    content = explorer.evaluate("root => root.getBoundingClientRect().height")
    assert content <= reserved + 12
    assert reserved <= content + 40


def check_sliders(explorer: Locator) -> None:
    """A drag changes the picture, what is said of it, and the numbers, which are those of Python."""
    live = explorer.get_attribute("data-kind") in LIVE
    for slider in sliders_of(explorer):
        start, told, times = slider.input_value(), set(), []
        for fraction in (0.0, 0.23, 0.5, 0.77, 1.0):
            times.append(set_slider(slider, fraction))
            told.add(picture(explorer))
            if live:
                want, got = expected(explorer), shown(explorer)
                assert got == pytest.approx(want, rel=1e-6, abs=1e-8), explorer.get_attribute("data-kind")
        assert len(told) >= 4, f"the alternative text does not follow the slider: {told}"
        medians = [statistics.median(times)]
        while medians[-1] >= STEP and len(medians) < 8:  # a busy machine gets more chances
            explorer.page.wait_for_timeout(500)
            medians.append(statistics.median(set_slider(slider, f) for f in (0.1, 0.3, 0.5, 0.7, 0.9)))
        assert medians[-1] < STEP, f"{medians} ms a step"
        slider.evaluate("(i, v) => { i.value = v; i.dispatchEvent(new Event('input', {bubbles: true})); }", start)


def check_keys_and_clicks(explorer: Locator) -> None:
    """Arrow keys, Home and End, a click on the track, the buttons."""
    page = explorer.page
    for slider in sliders_of(explorer):
        slider.scroll_into_view_if_needed()
        assert slider.evaluate("i => Boolean(i.closest('label')?.querySelector('span')?.textContent.trim())")
        slider.focus()
        page.keyboard.press("Home")
        low = float(slider.input_value())
        page.keyboard.press("ArrowRight")
        assert float(slider.input_value()) > low
        page.keyboard.press("End")
        assert float(slider.input_value()) == pytest.approx(float(slider.get_attribute("max")), rel=1e-3)
        assert slider.get_attribute("aria-valuetext")
        box = slider.bounding_box()
        page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
        assert low < float(slider.input_value()) < float(slider.get_attribute("max"))
    for button in explorer.locator("button").all():
        button.click()
        if explorer.get_attribute("data-kind") in LIVE:
            assert shown(explorer) == pytest.approx(expected(explorer), rel=1e-6, abs=1e-8)


#: Where the focus is: which control of the explorer, whether it can be seen there, what it is called.
FOCUS = """(root) => {
  const now = document.activeElement, style = getComputedStyle(now);
  const controls = [...root.querySelectorAll("input, button")];
  return {
    place: controls.indexOf(now),
    ring: parseFloat(style.outlineWidth) * (style.outlineStyle !== "none"),
    name: (now.closest("label")?.querySelector("span") ?? now).textContent.trim(),
  };
}"""


def check_tab_order(explorer: Locator) -> None:
    """Tab goes through the controls in their order, shows where it is, says what is there, and comes out again."""
    page = explorer.page
    controls = explorer.locator("input, button")
    for step in range(controls.count()):
        controls.first.focus() if step == 0 else page.keyboard.press("Tab")
        focus = explorer.evaluate(FOCUS)
        assert focus["place"] == step
        assert focus["ring"] >= 2 or step == 0, "a focus that nobody sees"
        assert focus["name"]
    page.keyboard.press("Tab")
    assert explorer.evaluate(FOCUS)["place"] == -1, "the focus is caught"
    page.keyboard.press("Shift+Tab")
    focus = explorer.evaluate(FOCUS)
    assert focus["place"] == controls.count() - 1
    assert focus["ring"] >= 2
    if explorer.get_attribute("data-kind") in LIVE:
        spoken = explorer.locator("[role=status] [data-key]").count()
        assert spoken == len(shown(explorer)) > 0, "numbers that a screen reader is not told"


@pytest.mark.parametrize("name", PAGES)
def test_explorers_by_hand_and_by_keyboard(visit, name):
    """One visit for all of it: the room, the mouse, the keys, the way through with Tab, the numbers of Python."""
    opened = visit(name, viewport={"width": 1280, "height": 900})
    explorers = opened.page.locator(".vi-explorer").all()
    assert explorers
    for explorer in explorers:
        come_to(explorer)
        check_room(explorer)
        check_tab_order(explorer)
        check_sliders(explorer)
        check_keys_and_clicks(explorer)
    assert opened.complaints == []
    opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_touch_on_a_phone(visit, name):
    opened = visit(name, viewport={"width": 375, "height": 812}, has_touch=True, is_mobile=True)
    opened.page.add_style_tag(content=WHOLE)  # else the page grows while the finger is on its way
    for explorer in opened.page.locator(".vi-explorer").all():
        box = explorer.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 375
        slider = sliders_of(explorer)[0]
        slider.scroll_into_view_if_needed()
        place = slider.bounding_box()
        assert place["height"] >= 24, "too small for a finger"
        for share in (0.75, 0.25):
            opened.page.touchscreen.tap(place["x"] + share * place["width"], place["y"] + place["height"] / 2)
            low, high = float(slider.get_attribute("min")), float(slider.get_attribute("max"))
            assert float(slider.input_value()) == pytest.approx(low + share * (high - low), abs=0.08 * (high - low) + 1)
    opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_without_javascript_a_picture_stands_in(visit, name):
    opened = visit(name, java_script_enabled=False)
    stills = opened.page.locator(".vi-room img")
    assert stills.count() == opened.page.locator(".vi-room").count() > 0
    for still in stills.all():
        assert still.bounding_box()["height"] > 100
        assert len(still.get_attribute("alt")) > 20
    opened.close()
