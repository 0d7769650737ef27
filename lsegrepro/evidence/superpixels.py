"""Superpixels of an image, and the majority vote at every threshold as one number each.

Section 3.3 smooths the label map with the superpixels of [23] (Felzenszwalb and
Huttenlocher, 2004): each superpixel takes the label of most of its pixels. A
superpixel of n pixels is foreground at theta exactly when the k-th largest of
its pixel probabilities exceeds theta, k = floor(n/2) + 1, so one order statistic
a superpixel holds the vote at every theta. Neither depends on torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..config import Superpixels
from ..files import LsegreproError, atomic, cores, read_npz
from ..pools import pool, possible

_CACHE_VERSION = 1  # part of every cache key: raise it when `oversegment` changes its answer


def oversegment(image: np.ndarray, params: Superpixels | None = None) -> np.ndarray:
    """Superpixels of an image by Felzenszwalb's method.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8, any size.
    params : Superpixels, optional

    Returns
    -------
    ndarray
        (H, W) int32, every label of 0 .. S-1 used.

    Raises
    ------
    LsegreproError
        If the image has another shape or type.

    Examples
    --------
    >>> halves = np.zeros((40, 60, 3), np.uint8)
    >>> halves[:, 30:] = 255
    >>> labels = oversegment(halves)
    >>> int(labels.max()) + 1, bool((labels[:, :30] == 0).all())
    (2, True)
    """
    from skimage.segmentation import felzenszwalb  # here: reading evidence needs numpy alone

    _check_image(image)
    params = params or Superpixels()
    labels = felzenszwalb(image, scale=params.scale, sigma=params.sigma, min_size=params.min_size)
    return labels.astype(np.int32)


def order_statistic(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The k-th largest code of each superpixel, k = floor(n/2) + 1.

    It exceeds theta exactly when more than half of the n pixels do; on a tie it does
    not, and the superpixel is background. Void pixels vote: they are pixels of the image.

    Parameters
    ----------
    codes : ndarray
        (H, W) uint16, probabilities as codes floor(p * 65535).
    labels : ndarray
        (H, W) integers, every label of 0 .. S-1 used.

    Returns
    -------
    ndarray
        (S,) uint16.

    Raises
    ------
    LsegreproError
        If the two maps do not fit each other or a label is not used.

    Examples
    --------
    >>> order_statistic(np.array([[9, 7, 1, 5, 2]], np.uint16), np.array([[0, 0, 0, 1, 1]])).tolist()
    [7, 2]
    """
    sizes = superpixel_sizes(labels)
    if codes.shape != labels.shape or codes.dtype != np.uint16:
        raise LsegreproError(
            f"codes must be a {labels.shape} uint16 map like the labels, got {codes.shape} {codes.dtype}"
        )
    # One sort of (label, code) as one number; 32 bits sort twice as fast and nearly always do.
    kind = np.uint32 if len(sizes) <= 1 << 16 else np.uint64
    keys = np.sort((labels.ravel().astype(kind) << kind(16)) | codes.ravel())
    ends = np.cumsum(sizes)
    kth_largest = ends - (sizes // 2 + 1)
    return (keys[kth_largest] & kind(0xFFFF)).astype(np.uint16)


def smooth(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Paint each superpixel with its order statistic: the majority vote of Section 3.3.

    ``smooth(codes, labels) > theta * 65535`` is the voted mask at any theta.

    >>> smooth(np.array([[9, 7, 1, 5, 2]], np.uint16), np.array([[0, 0, 0, 1, 1]])).tolist()
    [[7, 7, 7, 2, 2]]
    """
    return order_statistic(codes, labels)[labels]


def superpixel_sizes(labels: np.ndarray) -> np.ndarray:
    """Pixels of each superpixel, (S,) int64; refuses a label map with gaps."""
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise LsegreproError(f"labels must be a (H, W) map of integers, got {labels.shape} {labels.dtype}")
    if labels.min() < 0 or labels.max() >= labels.size:
        raise LsegreproError(f"labels must be 0 .. S-1, got {labels.min()} .. {labels.max()}")
    sizes = np.bincount(labels.ravel())
    if not sizes.all():
        raise LsegreproError(f"labels must use every number of 0 .. {len(sizes) - 1}; renumber them")
    return sizes


def oversegment_cached(image: np.ndarray, params: Superpixels, folder: str | Path) -> np.ndarray:
    """`oversegment`, remembered in `folder` under a digest of image, parameters and scikit-image version.

    A damaged file is computed again and replaced.

    >>> import tempfile
    >>> folder, image = tempfile.mkdtemp(), np.zeros((4, 5, 3), np.uint8)
    >>> [oversegment_cached(image, Superpixels(), folder).shape for _ in range(2)]
    [(4, 5), (4, 5)]
    """
    _check_image(image)
    path = _cache_path(image, params, folder)
    labels = _read_cache(path, image.shape[:2])
    if labels is None:
        labels = oversegment(image, params)
        small = labels.astype(np.uint16) if labels.max() < 1 << 16 else labels
        with atomic(path) as temporary:
            np.savez_compressed(temporary, labels=small)
    return labels


def oversegment_all(
    images: Iterable[np.ndarray],
    params: Superpixels,
    folder: str | Path | None = None,
    workers: int | None = None,
) -> Iterator[np.ndarray]:
    """Superpixels of many images, in parallel processes, in the order given.

    Images are drawn from the iterable as they are needed, about two a worker; those in
    the cache cost no process. Workers are started afresh (not forked), so that a caller
    with threads or a GPU in use is safe.

    Parameters
    ----------
    images : iterable of ndarray
        Each (H, W, 3) uint8; a generator that loads them is fine.
    folder : path, optional
        The cache; without it nothing is kept.
    workers : int, optional
        Processes; default the cores at hand, 1 computes in this process.

    Yields
    ------
    ndarray
        (H, W) int32, as `oversegment`.

    Raises
    ------
    LsegreproError
        If `workers` is below 1 or a worker process dies.

    Examples
    --------
    >>> pictures = (np.full((3, side, 3), 7, np.uint8) for side in (2, 5))
    >>> [labels.shape for labels in oversegment_all(pictures, Superpixels(), workers=1)]
    [(3, 2), (3, 5)]
    """
    if workers is None:
        workers = cores()
    if workers < 1:
        raise LsegreproError(f"workers must be at least 1, got {workers}")
    return _in_order(images, params, folder, possible(workers))


DIED = ("a superpixel worker ended early (out of memory, or a script without 'if __name__ == \"__main__\"'); "
        "use workers=1")
"""What is said of a worker that died."""


def _in_order(images, params, folder, workers) -> Iterator[np.ndarray]:
    compute = (oversegment, params) if folder is None else (oversegment_cached, params, folder)
    waiting: deque[Future | np.ndarray] = deque()
    processes = None

    def ready() -> bool:
        head = waiting[0]
        return len(waiting) > 2 * workers or not isinstance(head, Future) or head.done()

    with contextlib.ExitStack() as stack:
        for image in images:
            _check_image(image)
            labels = None
            if folder is not None:
                labels = _read_cache(_cache_path(image, params, folder), image.shape[:2])
            if labels is None and workers == 1:
                labels = compute[0](image, *compute[1:])
            if labels is None:
                processes = processes or stack.enter_context(pool(workers, DIED))
                labels = processes.submit(compute[0], image, *compute[1:])
            waiting.append(labels)
            while waiting and ready():
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _result(item: Future | np.ndarray) -> np.ndarray:
    return item.result() if isinstance(item, Future) else item


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise LsegreproError(f"an image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")


def _cache_path(image: np.ndarray, params: Superpixels, folder: str | Path) -> Path:
    head = [_CACHE_VERSION, version("scikit-image"), asdict(params), image.shape]
    key = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    key.update(np.ascontiguousarray(image))
    return Path(folder) / f"{key.hexdigest()[:32]}.npz"


def _read_cache(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    try:
        labels = read_npz(path, ["labels"])["labels"]
        if labels.shape != shape:
            return None
        superpixel_sizes(labels)
    except Exception:
        # Absent, or damaged in any of the ways that zipfile, zlib, tokenize and numpy each
        # have an exception for: the cure is the same, compute it again.
        return None
    return labels.astype(np.int32)
