"""Explorers: what is refused, what is stored in a page, and the numbers every one shows at its defaults."""

import base64
import importlib
import inspect
import json
import math
import pkgutil

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

import vi_helpers.explorers
from vi_helpers.explorers import base
from vi_helpers.explorers.base import Live, Sweep
from vi_helpers.plots.style import use_style

PNG = b"\x89PNG\r\n\x1a\n"
MODULES = [
    importlib.import_module(f"vi_helpers.explorers.{found.name}")
    for found in pkgutil.iter_modules(vi_helpers.explorers.__path__)
]


def own(module, predicate):
    members = inspect.getmembers(module, predicate)
    return [value for _, value in members if value.__module__ == module.__name__ and value.__name__ in module.__all__]


LIVE = [cls for module in MODULES for cls in own(module, inspect.isclass) if issubclass(cls, Live) and cls is not Live]
SWEEPS = [
    function
    for module in MODULES
    for function in own(module, inspect.isfunction)
    if function.__annotations__.get("return") == "Sweep"
]


def figures(count, size=(4, 3)):
    drawn = []
    for k in range(count):
        figure, ax = plt.subplots(figsize=size)
        ax.plot([0, k])
        drawn.append(figure)
    return drawn


def state_of(widget):
    """What a page stores of a widget; ``json.dumps`` refuses anything binary."""
    state = {key: value for key, value in widget.get_state().items() if key not in ("layout", "comm")}
    return json.loads(json.dumps(state))


@pytest.fixture(autouse=True)
def closed():
    """Whatever an explorer draws, it closes."""
    before = set(plt.get_fignums())
    yield
    left = set(plt.get_fignums()) - before
    plt.close("all")
    assert not left


@pytest.fixture
def sweep():
    return Sweep("step", ["0", "1"], ["flat", "rising"], figures(2), index=1)


def test_a_sweep_holds_its_frames_as_text(sweep):
    state = state_of(sweep)
    assert state["labels"] == ["0", "1"]
    assert state["alts"] == ["flat", "rising"]
    assert (state["name"], state["index"], state["width"], state["height"]) == ("step", 1, 400, 300)
    for frame in state["frames"]:
        kind, data = frame.split(",")
        assert kind == "data:image/webp;base64"
        assert base64.b64decode(data)[:4] == b"RIFF"
    assert state["frames"][0] != state["frames"][1]
    assert sweep.ratio == 0.68  # of 0.75, less what the phone's taller control takes


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("figures", {"figures": 0}),
        ("labels", {"labels": ["0"]}),
        ("alts", {"alts": ["flat", "rising", "falling"]}),
        ("index", {"index": 2}),
        ("index", {"index": -1}),
    ],
)
def test_a_sweep_refuses_lists_that_do_not_match(argument, change):
    settings = {"labels": ["0", "1"], "alts": ["flat", "rising"], "figures": 2, "index": 0} | change
    drawn = figures(settings["figures"])
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        Sweep("step", settings["labels"], settings["alts"], drawn, index=settings["index"])
    for figure in drawn:
        plt.close(figure)


def displayed(widget, monkeypatch):
    """What a notebook would store: the room's HTML, then the widget's own bundle."""
    shown = []
    monkeypatch.setattr(base, "display", lambda data, **kwargs: shown.append((data, kwargs)))
    widget._ipython_display_()
    return shown


def test_the_page_gets_a_room_with_a_still_and_the_widget(sweep, monkeypatch):
    (room, _), (bundle, options) = displayed(sweep, monkeypatch)
    assert "--ratio:0.68;--fixed:82px" in room.data
    assert '<noscript><img src="data:image/png;base64,' in room.data
    assert 'alt="rising"' in room.data
    assert base64.b64decode(bundle["image/png"]).startswith(PNG)
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert options["raw"] is True


def test_an_alt_text_cannot_break_out_of_its_attribute(monkeypatch):
    widget = Sweep("step", ["0"], ['"><script>'], figures(1))
    (room, _), _ = displayed(widget, monkeypatch)
    assert "<script>" not in room.data


def test_the_base_of_live_asks_for_its_twins():
    for twin in (Live.readouts, Live.figure):
        with pytest.raises(NotImplementedError):
            twin()


def test_source_joins_shared_code_first():
    text = base.source("live.js", "variational_inference.js")
    assert text.index("function explorer(") < text.index("export default")


def test_every_module_of_explorers_is_found():
    assert base in MODULES
    assert LIVE


def settings_of(widget):
    return {name: getattr(widget, name) for name in inspect.signature(type(widget).readouts).parameters}


@pytest.mark.parametrize("cls", LIVE, ids=lambda cls: cls.__name__)
def test_a_live_explorer_shows_finite_numbers_at_its_defaults(cls, monkeypatch):
    widget = cls()
    settings = settings_of(widget)
    numbers = cls.readouts(**settings)
    assert numbers
    assert all(type(value) in (int, float) and math.isfinite(value) for value in numbers.values()), numbers
    figure, alt = cls.figure(**settings)
    assert isinstance(figure, Figure)
    assert any(character.isdigit() for character in alt)
    plt.close(figure)
    (room, _), (bundle, _) = displayed(widget, monkeypatch)
    assert "<noscript><img" in room.data
    assert base64.b64decode(bundle["image/png"]).startswith(PNG)


@pytest.mark.parametrize("cls", LIVE, ids=lambda cls: cls.__name__)
def test_a_live_explorer_stores_text_and_names_itself(cls):
    state = state_of(cls())
    assert state["kind"] == cls.__name__
    assert "export default" in state["_esm"]
    assert len(json.dumps(state)) < 200_000
    for trait in settings_of(cls()):
        assert f'"{trait}"' in state["_esm"], f"the script never reads {trait}"


@pytest.mark.parametrize("make", SWEEPS, ids=lambda function: function.__name__)
def test_a_sweep_of_a_chapter_stays_small(make):
    state = state_of(make())
    assert 2 <= len(state["frames"]) <= 31
    assert len(set(state["alts"])) == len(state["alts"])
    assert sum(map(len, state["frames"])) < 400_000 * 4 / 3


def test_a_figure_laid_out_by_hand_is_drawn_alike_every_time():
    """The still and the frame of one figure are the same picture: savefig must not bring a layout engine back."""
    with plt.rc_context():
        use_style()
        figure = Figure(layout="none", figsize=(4, 3))
        figure.subplots(gridspec_kw={"left": 0.4, "right": 0.6}).set(ylabel="y", xlabel="x")
        assert len({base.encode(figure, format="png") for _ in range(3)}) == 1
