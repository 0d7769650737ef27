"""A million strings in little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..files import LsegreproError

PIECE = 50_000
"""Names that are worked on at a time."""


class Names(Sequence[str]):
    """Strings packed end to end: 8 bytes each beside their own, where a list takes 60 and more.

    Parameters
    ----------
    blob : ndarray
        (b,) uint8: all names in UTF-8; a file name's bytes that are no UTF-8 are kept as they are.
    ends : ndarray
        (n + 1,) int64: name i is ``blob[ends[i]:ends[i + 1]]``; the first is 0, the last b.

    >>> names = Names.pack(["cat/one.jpg", "dog/été.jpg"])
    >>> len(names), names[-1], list(names.take(np.array([1, 0])))
    (2, 'dog/été.jpg', ['dog/été.jpg', 'cat/one.jpg'])
    """

    def __init__(self, blob: np.ndarray, ends: np.ndarray) -> None:
        if (blob.dtype != np.uint8 or ends.dtype != np.int64 or blob.ndim != 1 or ends.ndim != 1 or not len(ends)
                or ends[0] != 0 or ends[-1] != len(blob) or (ends[1:] < ends[:-1]).any()):
            raise LsegreproError("packed names need (b,) uint8 and rising (n + 1,) int64 from 0 to b")
        self.blob, self.ends = blob, ends

    @classmethod
    def pack(cls, names: Iterable[str]) -> Names:
        """Pack any strings, taken one at a time."""
        blob, ends = bytearray(), [0]
        for name in names:
            blob += name.encode("utf-8", "surrogateescape")
            ends.append(len(blob))
        return cls(np.frombuffer(bytes(blob), np.uint8), np.array(ends, np.int64))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self.blob[self.ends[index] : self.ends[index + 1]].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), PIECE):  # ten times as fast as one by one
            ends = self.ends[first : first + PIECE + 1]
            data, ends = self.blob[ends[0] : ends[-1]].tobytes(), (ends - ends[0]).tolist()
            for start, end in pairwise(ends):
                yield data[start:end].decode("utf-8", "surrogateescape")

    def take(self, rows: np.ndarray) -> Names:
        """The names of those rows, in their order."""
        lengths = np.diff(self.ends)[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        blob = np.empty(ends[-1], np.uint8)
        for first in range(0, len(rows), PIECE):  # positions take eight times the room of the bytes
            piece = slice(first, first + PIECE)
            start, last = ends[first], ends[min(first + PIECE, len(rows))]
            shift = np.repeat(self.ends[:-1][rows[piece]] - ends[:-1][piece], lengths[piece])
            blob[start:last] = self.blob[shift + np.arange(start, last)]
        return Names(blob, ends)
