"""The theta explorer: a widget in a live session, plain HTML in a page, drawn by one script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import paper
from ..evaluation import Curve, ap, threshold
from ..evidence import VOID
from ..figures import overlays
from ..figures.style import Html, model_style
from ..files import LsegreproError
from . import packing
from .fragment import THETA_SCRIPTS, css, fragment, script, script_json, theta_slider

SHOWN = ("theta", "network", "picture")
"""What a reader moves, and Python may read and set."""


@dataclass(frozen=True, eq=False)
class ScoredNetwork:
    """A network that can be selected, and its curves of Figure 5."""

    model: str  # gives the line its colour
    cls: str
    variant: str  # what tells it from others of its model and class; those of a class and variant share a chart
    curve: Curve | None = None  # of the whole set after the vote (`evaluation.smoothed_curve`)
    raw_curve: Curve | None = None  # of its single pixels
    marks: Mapping[str, float] = field(default_factory=dict)  # name to theta, a button each beside the paper's

    @property
    def name(self) -> str:
        return f"{self.model}, {self.cls}, {self.variant}"

    def packed(self) -> dict:
        """It as the script reads it."""
        return {
            "name": self.name, "model": self.model, "cls": self.cls, "group": f"{self.cls}, {self.variant}",
            "truth": 1 + paper.CLASSES.index(self.cls), "colour": model_style(self.model)[0],
            "marks": [("paper", paper.THETA[self.cls]), *self.marks.items()],
            "ap": packing.line(self.curve), "raw": packing.line(self.raw_curve),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, and the probability map of each network on it.

    The maps of a network are two (H, W) uint16: floor(p * 65535), and `superpixels.smooth` of it. With the truth
    come an outline and the AP of this picture.
    """

    name: str
    image: np.ndarray  # (H, W, 3) uint8; in a page that is published, one that may be redistributed
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]]  # by the name of the network
    truth: np.ndarray | None = None  # (H, W) uint8, VOC's indices

    def packed(self, networks: Sequence[str]) -> dict:
        """It as the script reads it, with the maps of networks by their names."""
        truth = None
        if self.truth is not None:  # 0 neither, 1 the first class, and so on; the last is void
            kinds = [*(paper.VOC_INDEX[cls] for cls in paper.CLASSES), VOID]
            truth = packing.pack(sum(i * (self.truth == kind) for i, kind in enumerate(kinds, start=1)))
        return {
            "name": self.name, "width": self.image.shape[1], "height": self.image.shape[0],
            "image": packing.picture(self.image), "truth": truth, "void": 1 + len(paper.CLASSES),
            "maps": [{"raw": packing.pack(packing.levels(raw)), "voted": packing.pack(packing.levels(voted))}
                     for raw, voted in (self.maps[name] for name in networks)],
        }  # fmt: skip


class ThetaExplorer:
    """Interactive threshold: masks, their AP and the point on Figure 5 at any theta, for a network and a picture.

    Displayed in a live session it is a widget, whose `theta`, `network` and `picture` can be read back and set. In an
    executed page it is `static`, HTML that needs nothing but a browser. Both are drawn by one script, and exact at each
    of the slider's positions, 0 to 0.881 by 0.001. At first it shows the first network and picture, at the paper's
    theta.

    `networks` and `pictures` are one or more, of distinct names, and each picture has maps of each network; `on` says
    what the curves were measured on. Setting theta outside [0, 1), or a name that is none, raises `LsegreproError`.

    >>> prob_u16 = np.full((4, 6), 40000, np.uint16)
    >>> net = ScoredNetwork("LSE1", "cat", "round 2")
    >>> picture = Picture("grey", np.zeros((4, 6, 3), np.uint8), {net.name: (prob_u16, prob_u16)})
    >>> explorer = ThetaExplorer([net], [picture])
    >>> explorer.theta = 0.7
    >>> explorer.text
    'LSE1, cat, round 2 | grey | theta 0.700 | 0.0 % called cat'
    """

    def __init__(self, networks: Sequence[ScoredNetwork], pictures: Sequence[Picture], on: str = "on the whole set"
                 ) -> None:
        self.networks = {network.name: network for network in networks}
        self.pictures = {picture.name: picture for picture in pictures}
        self.on = on
        self.network, self.picture = networks[0].name, pictures[0].name
        self.theta = paper.THETA[networks[0].cls]

    def __setattr__(self, key: str, value: Any) -> None:
        """Set an attribute; what is shown is checked, theta goes to the nearest position, and the widget follows."""
        if key == "theta":
            value = packing.position(value) / 1000
        if key in ("network", "picture") and value not in (choices := getattr(self, f"{key}s")):
            raise LsegreproError(f"unknown {key} {value!r}; choose one of {'; '.join(choices)}")
        super().__setattr__(key, value)
        if key in SHOWN and "widget" in self.__dict__:
            setattr(self.widget, key, value)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: foreground after the vote."""
        return self.pictures[self.picture].maps[self.network][1] > threshold(self.theta)

    @property
    def ap(self) -> float | None:
        """AP of the whole set after the vote, a fraction; None without a curve, or if it is 0/0."""
        curve = self.networks[self.network].curve
        value = np.nan if curve is None else ap(curve.at(self.theta))
        return None if np.isnan(value) else float(value)

    @property
    def text(self) -> str:
        """What it shows, in words."""
        share = f"{100 * self.mask.mean():.1f} % called {self.networks[self.network].cls}"
        whole = "" if self.ap is None else f" | AP {self.on} {100 * self.ap:.1f} %"
        return f"{self.network} | {self.picture} | theta {self.theta:.3f} | {share}{whole}"

    @property
    def packed(self) -> dict:
        """All that it can show, as the script reads it."""
        return {
            "steps": packing.STEPS, "on": self.on, "floor": paper.FLOOR, "ceiling": paper.CEILING,
            "green": overlays.GREEN, "colours": packing.deflate(overlays.heat_table()),
            "networks": [network.packed() for network in self.networks.values()],
            "pictures": [picture.packed(list(self.networks)) for picture in self.pictures.values()],
        }  # fmt: skip

    @property
    def static(self) -> Html:
        """The HTML that needs no kernel."""
        data = {"start": {key: getattr(self, key) for key in SHOWN}, **self.packed}
        return fragment("theta", "Theta explorer", data, THETA_SCRIPTS, f"theta explorer: {self.text}")

    @property
    def slider(self) -> Html:
        """The smaller `theta_slider` of the network, picture and theta that it shows."""
        picture = self.pictures[self.picture]
        return theta_slider(picture.image, *picture.maps[self.network], self.theta, self.networks[self.network].cls)

    @cached_property
    def widget(self) -> Any:
        """The ipywidgets control (an ``anywidget.AnyWidget``), made on first use."""
        import anywidget
        import traitlets

        class Control(anywidget.AnyWidget):
            _esm = script(*THETA_SCRIPTS, "theta-widget")
            _css = css("theta")
            data = traitlets.Unicode().tag(sync=True)
            theta = traitlets.Float().tag(sync=True)
            network = traitlets.Unicode().tag(sync=True)
            picture = traitlets.Unicode().tag(sync=True)

        widget = Control(data=script_json(self.packed), theta=self.theta, network=self.network, picture=self.picture)
        widget.observe(lambda change: setattr(self, change["name"], change["new"]), SHOWN)
        return widget

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The HTML of a page; where a person can answer, the widget too, which a notebook prefers."""
        bundle = {"text/plain": self.text, "text/html": self.static._repr_html_()}
        if not _is_live():
            return bundle
        live = self.widget._repr_mimebundle_(**options)
        live = live[0] if isinstance(live, tuple) else live
        return {**(live or {}), **bundle}


def _is_live() -> bool:
    """Whether a person uses this notebook: the kernel of papermill or nbclient cannot be asked for input."""
    try:
        import anywidget  # noqa: F401
        from IPython import get_ipython
    except ImportError:
        return False
    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))
