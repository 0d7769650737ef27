"""The theta explorer: a widget in a live session, plain HTML in a page, drawn by one script."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ..evaluation import threshold
from ..figures.style import Html
from ..files import LsegreproError
from . import packing
from .fragment import THETA_SCRIPTS, css, fragment, script, script_json
from .scene import Picture, Scene, ScoredNetwork
from .slider import theta_slider


class ThetaExplorer:
    """Interactive threshold: masks, their AP and the point on Figure 5 at any theta, for a network and a picture.

    Displayed in a live session it is a widget, whose `theta`, `network` and `picture` can be read back and
    set. In an executed page it is `static`, HTML that needs nothing but a browser. Both are drawn
    by one script, and exact at each of the slider's positions, 0 to 0.881 by 0.001.

    Parameters
    ----------
    scene : Scene
    theta : float, optional
        Initial theta, by default the paper's. It and the names may be set later; theta takes the nearest position
        of the slider.
    network, picture : str, optional
        Names of the initial ones; by default the first of each.

    Raises
    ------
    LsegreproError
        If theta is outside [0, 1), or the scene has no network or picture of that name.

    Examples
    --------
    >>> prob_u16 = np.full((4, 6), 40000, np.uint16)
    >>> net = ScoredNetwork("LSE1", "cat", "round 2")
    >>> picture = Picture("grey", np.zeros((4, 6, 3), np.uint8), {net.name: (prob_u16, prob_u16)})
    >>> explorer = ThetaExplorer(Scene([net], [picture]))
    >>> explorer.theta = 0.7
    >>> explorer.text
    'LSE1, cat, round 2 | grey | theta 0.700 | 0.0 % called cat'
    """

    def __init__(
        self, scene: Scene, theta: float | None = None, network: str | None = None, picture: str | None = None
    ) -> None:
        self.scene = scene
        self._values: dict[str, Any] = {}
        self.network = scene.networks[0].name if network is None else network
        self.picture = scene.pictures[0].name if picture is None else picture
        self.theta = scene.network(self.network).marks["paper"] if theta is None else theta

    @property
    def theta(self) -> float:
        return self._values["theta"]

    @theta.setter
    def theta(self, value: float) -> None:
        self._set("theta", packing.position(value) / 1000)

    @property
    def network(self) -> str:
        return self._values["network"]

    @network.setter
    def network(self, name: str) -> None:
        self._set("network", self.scene.network(name).name)

    @property
    def picture(self) -> str:
        return self._values["picture"]

    @picture.setter
    def picture(self, name: str) -> None:
        self._set("picture", self.scene.picture(name).name)

    def _set(self, key: str, value: Any) -> None:
        self._values[key] = value
        if "widget" in self.__dict__:
            setattr(self.widget, key, value)

    @property
    def _shown(self) -> tuple[ScoredNetwork, Picture]:
        return self.scene.network(self.network), self.scene.picture(self.picture)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: foreground after the vote."""
        network, picture = self._shown
        return picture.maps[network.name][1] > threshold(self.theta)

    @property
    def ap(self) -> float | None:
        """AP of the whole set after the vote, a fraction; None without a curve, or if it is 0/0."""
        curve = self._shown[0].curve
        value = np.nan if curve is None else curve.at(self.theta).ap
        return None if np.isnan(value) else float(value)

    @property
    def text(self) -> str:
        """What it shows, in words."""
        share = f"{100 * self.mask.mean():.1f} % called {self._shown[0].cls}"
        whole = "" if self.ap is None else f" | AP {self.scene.on} {100 * self.ap:.1f} %"
        return f"{self.network} | {self.picture} | theta {self.theta:.3f} | {share}{whole}"

    @property
    def static(self) -> Html:
        """The HTML that needs no kernel."""
        data = script_json({"start": self._values})[:-1] + "," + self._payload[1:]
        return fragment("theta", "Theta explorer", data, THETA_SCRIPTS, f"theta explorer: {self.text}")

    @property
    def slider(self) -> Html:
        """The smaller `theta_slider` of the network, picture and theta that it shows."""
        network, picture = self._shown
        return theta_slider(picture.image, *picture.maps[network.name], self.theta, network.cls)

    @cached_property
    def _payload(self) -> str:
        return packing.payload(self.scene)

    @cached_property
    def widget(self) -> Any:
        """The ipywidgets control (an ``anywidget.AnyWidget``), made on first use.

        Raises
        ------
        LsegreproError
            If anywidget is not installed.
        """
        try:
            import anywidget
            import traitlets
        except ImportError as error:
            raise LsegreproError(
                "a live explorer needs anywidget: pip install 'lsegrepro[book]'; `static` needs nothing"
            ) from error

        class Control(anywidget.AnyWidget):
            _esm = script(*THETA_SCRIPTS, "theta-widget")
            _css = css("theta")
            data = traitlets.Unicode().tag(sync=True)
            theta = traitlets.Float().tag(sync=True)
            network = traitlets.Unicode().tag(sync=True)
            picture = traitlets.Unicode().tag(sync=True)

        widget = Control(data=self._payload, **self._values)
        widget.observe(lambda change: self._values.update({change["name"]: change["new"]}), list(self._values))
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
