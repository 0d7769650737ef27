"""Content of a theta explorer: networks, pictures, and the probability map of each network on each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import paper
from ..evaluation import Curve, threshold
from ..files import LsegreproError


@dataclass(frozen=True, eq=False)
class Network:
    """A network that can be selected, and its curves of Figure 5.

    Attributes
    ----------
    model : str
        Such as LSE1; gives the line its colour.
    cls : str
        cat or dog.
    variant : str
        What tells it from others of the same model and class, such as ``"round 2"``. Networks of one
        class and one variant share a chart.
    curve, raw_curve : Curve, optional
        Exact at every theta (`evaluation.smoothed_curve`, `evaluation.raw_curve`): AP of the whole set.
    marks : mapping
        Name to theta, a button each; the paper's theta comes first by itself.

    >>> Network("LSE1", "cat", "round 2").name
    'LSE1, cat, round 2'
    """

    model: str
    cls: str
    variant: str = ""
    curve: Curve | None = None
    raw_curve: Curve | None = None
    marks: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cls not in paper.CLASSES:
            raise LsegreproError(f"unknown class {self.cls!r}; choose one of {', '.join(paper.CLASSES)}")
        object.__setattr__(self, "marks", {"paper": paper.THETA[self.cls], **self.marks})
        threshold(np.array(list(self.marks.values())))  # refuses a theta outside [0, 1)

    @property
    def group(self) -> str:
        """Class and variant."""
        return ", ".join(filter(None, (self.cls, self.variant)))

    @property
    def name(self) -> str:
        """Model, class and variant."""
        return f"{self.model}, {self.group}"


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, and the probability map of each network on it.

    Attributes
    ----------
    name : str
    image : ndarray
        (H, W, 3) uint8. In a page that is published, one that may be redistributed.
    maps : mapping
        Name of a network to (prob_u16, smoothed), two (H, W) uint16: floor(p * 65535), and
        `superpixels.smooth` of it.
    truth : ndarray, optional
        (H, W) uint8 of VOC indices: gives the outline and the AP of this picture.
    """

    name: str
    image: np.ndarray
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]]
    truth: np.ndarray | None = None

    def __post_init__(self) -> None:
        size = self.image.shape[:2]
        arrays = [("image", self.image, (*size, 3), np.uint8)]
        arrays += [] if self.truth is None else [("truth", self.truth, size, np.uint8)]
        for network, (prob_u16, smoothed) in self.maps.items():
            arrays += [(f"prob_u16 of {network}", prob_u16, size, np.uint16),
                       (f"smoothed of {network}", smoothed, size, np.uint16)]
        for name, array, shape, dtype in arrays:
            if array.shape != shape or array.dtype != dtype:
                raise LsegreproError(f"{name} must be {shape} {np.dtype(dtype)}, got {array.shape} {array.dtype}")


@dataclass(frozen=True, eq=False)
class Scene:
    """All that an explorer can show.

    Attributes
    ----------
    networks : sequence of Network
        Each with a distinct name.
    pictures : sequence of Picture
        Each with a distinct name and a map of every network.
    on : str
        What the curves were measured on, such as "on 886 of 1,449 val images".
    """

    networks: Sequence[Network]
    pictures: Sequence[Picture]
    on: str = "on the whole set"

    def __post_init__(self) -> None:
        for kind in ("networks", "pictures"):
            names = [item.name for item in getattr(self, kind)]
            if not names or len(set(names)) < len(names):
                raise LsegreproError(f"{kind} must be one or more, each of another name; got {names}")
        for picture in self.pictures:
            if missing := [n.name for n in self.networks if n.name not in picture.maps]:
                raise LsegreproError(f"picture {picture.name!r} has no map of {missing[0]}")

    def network(self, name: str) -> Network:
        """A network by its name."""
        return _by_name(self.networks, name, "network")

    def picture(self, name: str) -> Picture:
        """A picture by its name."""
        return _by_name(self.pictures, name, "picture")


def _by_name(items, name: str, kind: str):
    for item in items:
        if item.name == name:
            return item
    raise LsegreproError(f"unknown {kind} {name!r}; choose one of {'; '.join(item.name for item in items)}")
