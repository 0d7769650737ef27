"""Content of a theta explorer: networks, pictures, and the probability map of each network on each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import paper
from ..evaluation import Curve, threshold
from ..files import LsegreproError


@dataclass(frozen=True, eq=False)
class ScoredNetwork:
    """A network that can be selected, and its curves of Figure 5.

    >>> ScoredNetwork("LSE1", "cat", "round 2").name
    'LSE1, cat, round 2'
    """

    model: str  # gives the line its colour
    cls: str
    variant: str = ""  # what tells it from others of its model and class; those of a class and variant share a chart
    curve: Curve | None = None  # of the whole set after the vote (`evaluation.smoothed_curve`)
    raw_curve: Curve | None = None  # of its single pixels
    marks: Mapping[str, float] = field(default_factory=dict)  # name to theta, a button each; the paper's comes first

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

    The maps of a network are two (H, W) uint16: floor(p * 65535), and `superpixels.smooth` of it. With the truth
    come an outline and the AP of this picture.
    """

    name: str
    image: np.ndarray  # (H, W, 3) uint8; in a page that is published, one that may be redistributed
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]]  # by the name of the network
    truth: np.ndarray | None = None  # (H, W) uint8, VOC's indices

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
    """All that an explorer can show: networks and pictures of distinct names, and maps of each on each."""

    networks: Sequence[ScoredNetwork]
    pictures: Sequence[Picture]
    on: str = "on the whole set"  # what the curves were measured on

    def __post_init__(self) -> None:
        for kind in ("networks", "pictures"):
            names = [item.name for item in getattr(self, kind)]
            if not names or len(set(names)) < len(names):
                raise LsegreproError(f"{kind} must be one or more, each of another name; got {names}")
        for picture in self.pictures:
            if missing := [n.name for n in self.networks if n.name not in picture.maps]:
                raise LsegreproError(f"picture {picture.name!r} has no map of {missing[0]}")

    def network(self, name: str) -> ScoredNetwork:
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
