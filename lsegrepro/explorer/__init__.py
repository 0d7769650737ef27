"""The theta explorer: move the threshold, watch the mask and its AP.

In a live session it is an ipywidgets control. In a page without a kernel it is a piece of HTML
that needs nothing but a browser: no network, no server, no file beside it. Both show the same
masks, ``code > theta * 65535``, and the same numbers.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from .. import paper, views
from ..errors import LsegreproError
from ..evaluation import Counts, Curve, threshold
from ..evidence import VOID
from .page import STEPS, static_html

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
            inside = self.truth == paper.VOC_INDEX[self.cls]
            shown[views.outline(inside) | views.outline(~inside)] = YELLOW
        return shown


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
        bundle = {"text/plain": self.text, "text/html": self.show(static=True)._repr_html_()}
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
            min=0, max=(STEPS - 1) / 1000, step=0.001, readout_format=".3f",
            description="θ", layout=widgets.Layout(width="100%"), style={"description_width": "1.5em"},
        )  # fmt: skip
        self._readout = widgets.HTML()
        self._panels = {name: widgets.Image(layout=widgets.Layout(width="100%"), tooltip=name)
                        for name in ("image", "probability", "per pixel", "after the vote")}
        self._panels["image"].value = _encode(self.scene.original())
        self._panels["probability"].value = _encode(views.heat(self.scene.codes))
        self._tinted = views.tint(self.scene.image)
        buttons = []
        for name, theta in self.scene.marks.items():
            buttons.append(widgets.Button(description=f"{name} {theta:g}"))
            buttons[-1].on_click(lambda _, theta=theta: setattr(self, "theta", theta))
        titled = [widgets.VBox([image, widgets.Label(name)]) for name, image in self._panels.items()]
        grid = widgets.GridBox(titled, layout=widgets.Layout(
            grid_template_columns="repeat(2, minmax(0, 1fr))", grid_gap="6px", max_width="900px"))
        self._draw()
        self._slider.observe(self._moved, names="value")
        return widgets.VBox([self._slider, widgets.HBox(buttons), self._readout, grid])

    def _moved(self, change: Mapping[str, Any]) -> None:
        if change["new"] != min(self._theta, self._slider.max):
            self.theta = change["new"]

    def _draw(self) -> None:
        shown = np.where(self.mask[..., None], self._tinted, self.scene.image)
        shown[views.outline(self.mask)] = views.GREEN
        self._panels["per pixel"].value = _encode(self.raw)
        self._panels["after the vote"].value = _encode(shown)
        self._readout.value = html.escape(self.text)
        self._slider.value = min(self._theta, self._slider.max)


def _encode(picture: np.ndarray) -> bytes:
    """A mask as PNG of one bit, colours as JPEG: either takes about a millisecond."""
    with io.BytesIO() as file:
        if picture.dtype == bool:
            Image.fromarray(picture).save(file, "PNG", compress_level=1)
        else:
            Image.fromarray(picture).save(file, "JPEG", quality=90, subsampling=0)
        return file.getvalue()
