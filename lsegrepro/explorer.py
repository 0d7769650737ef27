"""The theta explorer: move the threshold, watch the mask and its AP.

In a live session it is an ipywidgets control. In a page without a kernel it is a piece of HTML
that needs nothing but a browser: no network, no server, no file beside it. Both show the same
masks, ``code > theta * 65535``, and the same numbers.
"""

from __future__ import annotations

import base64
import html
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from . import files, paper, views
from .display import Html, data_uri
from .errors import LsegreproError
from .evaluation import Counts, Curve, ap, threshold
from .evidence import VOID

STEPS = 882
"""Positions of the slider, 0 to 0.881 by 0.001. The last is above the ceiling, 0.8808: no pixel is left."""

YELLOW = (240, 228, 66)
"""The annotated outline."""


def masks_at(codes: np.ndarray, smoothed: np.ndarray, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """The mask of the pixels themselves and the one after the superpixels' vote, at one theta.

    Parameters
    ----------
    codes, smoothed : ndarray
        (H, W) uint16: floor(p * 65535), and `superpixels.smooth` of it.
    theta : float
        In [0, 1).

    Returns
    -------
    tuple of ndarray
        Two (H, W) bool.

    >>> [m.tolist() for m in masks_at(np.array([[9, 40000]]), np.array([[40000, 40000]]), 0.6)]
    [[[False, True]], [[True, True]]]
    """
    limit = threshold(theta)
    return codes > limit, smoothed > limit


def image_counts(mask: np.ndarray, truth: np.ndarray, cls: str) -> Counts:
    """Pixels of one image by truth and answer; void is left out.

    Parameters
    ----------
    mask : ndarray
        (H, W) bool.
    truth : ndarray
        (H, W) uint8 of VOC indices.
    cls : str
        cat or dog.

    >>> image_counts(np.array([[True, True, False, True]]), np.array([[8, 0, 8, 255]]), "cat")
    Counts(tp=1, fp=1, fn=1, tn=0)
    """
    inside, valid = truth == paper.VOC_INDEX[cls], truth != VOID
    cases = (mask & inside, mask & valid & ~inside, ~mask & inside, ~mask & valid & ~inside)
    return Counts(*(int(np.count_nonzero(case)) for case in cases))


@dataclass(frozen=True, eq=False)
class Scene:
    """What an explorer shows.

    Attributes
    ----------
    image : ndarray
        (H, W, 3) uint8. In a page that is published, one that may be redistributed.
    codes, smoothed : ndarray
        (H, W) uint16: floor(p * 65535), and `superpixels.smooth` of it.
    truth : ndarray, optional
        (H, W) uint8 of VOC indices: gives the AP of this image.
    curve : Curve, optional
        Exact at every theta (`evaluation.smoothed_curve`): gives the AP of the whole set.
    cls : str
    on : str
        What the curve was measured on, such as "on 886 of 1,449 val images".
    marks : mapping
        Name to theta, a button each; by default the paper's theta.
    """

    image: np.ndarray
    codes: np.ndarray
    smoothed: np.ndarray
    truth: np.ndarray | None = None
    curve: Curve | None = None
    cls: str = "cat"
    on: str = "on the whole set"
    marks: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cls not in paper.CLASSES:
            raise LsegreproError(f"unknown class {self.cls!r}; choose one of {', '.join(paper.CLASSES)}")
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise LsegreproError(f"image must be (H, W, 3) uint8, got {self.image.shape} {self.image.dtype}")
        for name in ("codes", "smoothed", "truth"):
            array, kind = getattr(self, name), np.uint8 if name == "truth" else np.uint16
            if array is not None and (array.shape != self.image.shape[:2] or array.dtype != kind):
                raise LsegreproError(
                    f"{name} must be {self.image.shape[:2]} {np.dtype(kind)}, got {array.shape} {array.dtype}"
                )
        if self.curve is not None and self.curve.grid is not None:
            raise LsegreproError("the curve is known on a grid only; give the explorer a smoothed curve")
        object.__setattr__(self, "marks", {"paper": paper.THETA[self.cls], **self.marks})
        threshold(np.array(list(self.marks.values())))  # refuses a theta outside [0, 1)

    def ap(self, mask: np.ndarray) -> float | None:
        """AP of a mask on this image, a fraction; None without a truth, or if it is 0/0."""
        value = np.nan if self.truth is None else image_counts(mask, self.truth, self.cls).ap
        return None if np.isnan(value) else value

    def whole_ap(self, theta: float) -> float | None:
        """AP of the whole set, a fraction; None without a curve, or if it is 0/0."""
        value = np.nan if self.curve is None else self.curve.at(theta).ap
        return None if np.isnan(value) else value

    def original(self) -> np.ndarray:
        """The image, with the annotated outline if there is one: (H, W, 3) uint8."""
        shown = self.image.copy()
        if self.truth is not None:
            shown[views.outline(self.truth == paper.VOC_INDEX[self.cls])] = YELLOW
        return shown


# Without a kernel


def pack(levels: np.ndarray) -> str:
    """A map of integers 0 .. 32767 as text: differences along both axes, two byte planes, deflate, base64.

    A browser inflates it by itself and gets back every number exactly; through a picture and
    a canvas it might not, since browsers may blur what a page reads back.
    """
    steps = np.diff(np.diff(levels.astype(np.int32), axis=0, prepend=0), axis=1, prepend=0)
    zigzag = (steps << 1) ^ (steps >> 31)
    planes = np.stack([zigzag & 255, zigzag >> 8]).astype(np.uint8)
    return _deflate(planes.tobytes())


def _deflate(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def levels(codes: np.ndarray) -> np.ndarray:
    """How many positions of the slider each code exceeds: foreground at position k if ``levels > k``.

    >>> levels(np.array([0, 65, 66, 65535], np.uint16)).tolist()
    [0, 1, 2, 882]
    """
    return np.searchsorted(threshold(np.arange(STEPS) / 1000), codes)


def static_html(scene: Scene, theta: float | None = None) -> Html:
    """The explorer as one piece of HTML, exact at each of the slider's positions.

    Works from a file, with no network; by keyboard (arrows, page keys, home, end); in light and
    dark; and says its numbers to a screen reader. Plain ASCII, about 150 kB for 300 x 450 pixels.

    Parameters
    ----------
    scene : Scene
    theta : float, optional
        Where the slider starts; by default at the paper's.
    """
    height, width = scene.codes.shape
    with io.BytesIO() as file:
        Image.fromarray(scene.image).save(file, "WEBP", quality=82, method=4)
        picture = data_uri("image/webp", file.getvalue())
    truth = None
    if scene.truth is not None:
        inside = scene.truth == paper.VOC_INDEX[scene.cls]
        truth = pack(np.where(scene.truth == VOID, 2, inside))
    curve = None
    if scene.curve is not None:
        values = ap(scene.curve.at_many(np.arange(STEPS) / 1000))
        curve = [None if np.isnan(value) else round(float(value), 6) for value in values]
    data = {
        "width": width, "height": height, "steps": STEPS, "cls": scene.cls, "on": scene.on,
        "theta": paper.THETA[scene.cls] if theta is None else theta, "marks": list(scene.marks.items()),
        "floor": views.FLOOR, "ceiling": views.CEILING, "green": views.GREEN,
        "colours": _deflate(views.heat_table().tobytes()), "image": picture,
        "raw": pack(levels(scene.codes)), "smoothed": pack(levels(scene.smoothed)), "truth": truth, "ap": curve,
    }  # fmt: skip
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    page = resources.files(__package__).joinpath("explorer.html").read_text(encoding="ascii")
    page = page.replace("@ID@", files.digest(data)).replace("@DATA@", text)
    return Html(page, f"theta explorer of a {width} x {height} image of a {scene.cls}")


# With a kernel


class ThetaExplorer:
    """A slider over theta, and what it does to one image.

    Displayed in a live session it is a widget; where only HTML is understood, `static_html`.

    Parameters
    ----------
    image, codes, smoothed, truth, curve, cls, on, marks
        As in `Scene`.
    theta : float, optional
        Where to start; by default at the paper's.

    Attributes
    ----------
    scene : Scene
    theta : float
        May be set; the widget follows.
    raw, mask : ndarray
        (H, W) bool at `theta`, of the pixels themselves and after the vote.

    Examples
    --------
    >>> codes = np.full((4, 6), 40000, np.uint16)
    >>> explorer = ThetaExplorer(np.zeros((4, 6, 3), np.uint8), codes, codes)
    >>> explorer.theta = 0.7
    >>> explorer.mask.any(), explorer.text
    (np.False_, 'theta 0.700 | 0.0 % of the pixels above theta | 0.0 % after the vote')
    """

    def __init__(
        self,
        image: np.ndarray,
        codes: np.ndarray,
        smoothed: np.ndarray,
        truth: np.ndarray | None = None,
        curve: Curve | None = None,
        *,
        cls: str = "cat",
        theta: float | None = None,
        on: str = "on the whole set",
        marks: Mapping[str, float] | None = None,
    ) -> None:
        self.scene = Scene(image, codes, smoothed, truth, curve, cls, on, marks or {})
        self.theta = paper.THETA[cls] if theta is None else theta

    @property
    def theta(self) -> float:
        return self._theta

    @theta.setter
    def theta(self, value: float) -> None:
        self.raw, self.mask = masks_at(self.scene.codes, self.scene.smoothed, value)
        self._theta = float(value)
        if "widget" in self.__dict__:
            self._draw()

    @property
    def ap(self) -> float | None:
        """AP of `mask` on this image, a fraction; None without a truth."""
        return self.scene.ap(self.mask)

    @property
    def text(self) -> str:
        """The readout."""
        mine, whole = self.ap, self.scene.whole_ap(self.theta)
        said = [
            f"theta {self.theta:.3f}",
            f"{100 * self.raw.mean():.1f} % of the pixels above theta",
            f"{100 * self.mask.mean():.1f} % after the vote",
        ]
        said += [] if mine is None else [f"AP of this image {100 * mine:.1f} %"]
        said += [] if whole is None else [f"AP {self.scene.on} {100 * whole:.1f} %"]
        return " | ".join(said)

    def show(self, static: bool = False) -> Any:
        """The widget, or with ``static`` the HTML that needs no kernel."""
        return static_html(self.scene, self.theta) if static else self.widget

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Both forms: a live notebook draws the widget, a page of HTML the other."""
        bundle = {"text/plain": self.text, "text/html": self.show(static=True).html}
        try:
            live = self.widget._repr_mimebundle_(**options)
        except ImportError:  # no ipywidgets: the page will do
            return bundle
        live = live[0] if isinstance(live, tuple) else live
        return {**live, **bundle}

    @cached_property
    def widget(self) -> Any:
        """The ipywidgets control, made on first use."""
        import ipywidgets as widgets

        self._slider = widgets.FloatSlider(
            value=self._theta, min=0, max=(STEPS - 1) / 1000, step=0.001, readout_format=".3f", description="θ",
            layout=widgets.Layout(width="100%"), style={"description_width": "1.5em"},
        )
        self._readout = widgets.HTML()
        self._panels = {name: widgets.Image(layout=widgets.Layout(width="100%"), tooltip=name)
                        for name in ("image", "probability", "per pixel", "after the vote")}
        self._panels["image"].value = _encode(self.scene.original())
        self._panels["probability"].value = _encode(views.heat(self.scene.codes))
        self._tinted = views.tint(self.scene.image)
        buttons = [widgets.Button(description=f"{name} {theta:g}") for name, theta in self.scene.marks.items()]
        for button, theta in zip(buttons, self.scene.marks.values(), strict=True):
            button.on_click(lambda _, theta=theta: setattr(self, "theta", theta))
        titled = [widgets.VBox([image, widgets.Label(name)]) for name, image in self._panels.items()]
        grid = widgets.GridBox(titled, layout=widgets.Layout(
            grid_template_columns="repeat(2, minmax(0, 1fr))", grid_gap="6px", max_width="900px"))
        self._draw()
        self._slider.observe(self._moved, names="value")
        return widgets.VBox([self._slider, widgets.HBox(buttons), self._readout, grid])

    def _moved(self, change: Mapping[str, Any]) -> None:
        if change["new"] != self._theta:
            self.theta = change["new"]

    def _draw(self) -> None:
        shown = np.where(self.mask[..., None], self._tinted, self.scene.image)
        shown[views.outline(self.mask)] = views.GREEN
        self._panels["per pixel"].value = _encode(self.raw)
        self._panels["after the vote"].value = _encode(shown)
        self._readout.value = html.escape(self.text)
        self._slider.value = self._theta


def _encode(picture: np.ndarray) -> bytes:
    """A mask as PNG of one bit, colours as JPEG: either takes about a millisecond."""
    with io.BytesIO() as file:
        if picture.dtype == bool:
            Image.fromarray(picture).save(file, "PNG", compress_level=1)
        else:
            Image.fromarray(picture).save(file, "JPEG", quality=92)
        return file.getvalue()
