"""A weak set that goes on where a photograph cannot be read: the next of its label stands in, and it is said."""

from __future__ import annotations

import sys
import threading

import numpy as np
from tqdm import tqdm

from ..files import LsegreproError
from ..oldfiles import is_lost
from . import WeakSet
from .index import label_codes

TRIES = 100
"""So many photographs in a row that cannot be read are no accident: the first of them is refused."""


class Tolerant:
    """The images of a weak set, where one bad file in ten thousand does not end hours of training.

    Which photograph stands in for which depends on the files alone, so that a training is repeated, and goes on,
    with the same ones. Names, labels and digest are those of the set: they are of its list, not of its pixels.

    Parameters
    ----------
    weak : WeakSet
        Its `image` raises `LsegreproError` for a photograph that cannot be read.

    Attributes
    ----------
    unreadable : dict of str to str
        Name to reason of each photograph that was met so far and cannot be read. Each is said once, on stderr.
    """

    def __init__(self, weak: WeakSet) -> None:
        self.names, self.labels = weak.names, weak.labels
        self.digest, self.description = weak.digest, weak.description
        if hasattr(weak, "sources"):
            self.sources = weak.sources
        self.unreadable: dict[str, str] = {}
        self._weak, self._codes, self._lock = weak, label_codes(weak), threading.Lock()

    def __len__(self) -> int:
        return len(self._weak)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, or the next of its label that can be read: (300, 300, 3) uint8.

        Raises
        ------
        LsegreproError
            If the disk is at fault and not the photograph, or none of the next `TRIES` can be read.
        """
        first = None
        for number in self._order(index):
            name = self.names[number]
            try:
                if name not in self.unreadable:
                    return self._weak.image(number)
            except LsegreproError as error:
                if is_lost(error):
                    raise
                first = first or error
                self._say(name, str(error))
        raise first or LsegreproError(f"{self.names[index]} and those after it cannot be read: "
                                      f"{self.unreadable[self.names[index]]}")

    def _order(self, index: int):
        """Number `index`, and those that stand in for it, the first that can be read before the others."""
        yield index
        same = np.flatnonzero(self._codes == self._codes[index])
        place = int(np.searchsorted(same, index))
        yield from np.roll(same, -place)[1:TRIES].tolist()

    def _say(self, name: str, reason: str) -> None:
        with self._lock:
            if name not in self.unreadable:
                self.unreadable[name] = reason
                tqdm.write(f"lsegrepro: another photograph of its label stands in for {name}: {reason}",
                           file=sys.stderr)
