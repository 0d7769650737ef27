"""Superpixels of an image, and the majority vote at every threshold as one number each.

Section 3.3 smooths the label map with the superpixels of [23] (Felzenszwalb and
Huttenlocher, 2004): each superpixel takes the label of most of its pixels. A
superpixel of n pixels is foreground at theta exactly when the k-th largest of
its pixel probabilities exceeds theta, k = floor(n/2) + 1, so one order statistic
a superpixel holds the vote at every theta. Neither depends on torch.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ..config import Superpixels
from ..files import LsegreproError, atomic, cores, read_npz

_CACHE_VERSION = 1  # part of every cache key: raise it when `oversegment` changes its answer


def oversegment(image: np.ndarray, params: Superpixels | None = None) -> np.ndarray:
    """Superpixels of an image (H, W, 3) uint8 by Felzenszwalb's method: (H, W) int32, every label of 0 .. S-1 used.

    Raises `LsegreproError` if the image has another shape or type.

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


def order_statistic(prob_u16: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The k-th largest probability of each superpixel, k = floor(n/2) + 1: the majority vote at every theta.

    It exceeds theta exactly when more than half of the n pixels do; on a tie it does
    not, and the superpixel is background. Void pixels vote: they are pixels of the image.

    Parameters
    ----------
    prob_u16 : ndarray
        (H, W) uint16, probabilities as floor(p * 65535).
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

    >>> order_statistic(np.array([[9, 7, 1, 5, 2]], np.uint16), np.array([[0, 0, 0, 1, 1]])).tolist()
    [7, 2]
    """
    sizes = superpixel_sizes(labels)
    if prob_u16.shape != labels.shape or prob_u16.dtype != np.uint16:
        raise LsegreproError(f"probabilities must be a {labels.shape} uint16 map like the labels, "
                             f"got {prob_u16.shape} {prob_u16.dtype}")
    # One sort of (label, probability) as one number; 32 bits sort twice as fast and nearly always do.
    dtype = np.uint32 if len(sizes) <= 1 << 16 else np.uint64
    keys = np.sort((labels.ravel().astype(dtype) << dtype(16)) | prob_u16.ravel())
    kth_largest = np.cumsum(sizes) - (sizes // 2 + 1)
    return (keys[kth_largest] & dtype(0xFFFF)).astype(np.uint16)


def smooth(prob_u16: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Paint each superpixel with its order statistic: the majority vote of Section 3.3.

    ``smooth(prob_u16, labels) > theta * 65535`` is the voted mask at any theta.

    >>> smooth(np.array([[9, 7, 1, 5, 2]], np.uint16), np.array([[0, 0, 0, 1, 1]])).tolist()
    [[7, 7, 7, 2, 2]]
    """
    return order_statistic(prob_u16, labels)[labels]


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
    """`oversegment`, cached in `folder` under a digest of image, parameters and scikit-image version.

    A damaged file is computed again and replaced.

    >>> import tempfile
    >>> folder, image = tempfile.mkdtemp(), np.zeros((4, 5, 3), np.uint8)
    >>> [oversegment_cached(image, Superpixels(), folder).shape for _ in range(2)]
    [(4, 5), (4, 5)]
    """
    _check_image(image)
    path = _cache_path(image, params, folder)
    try:
        labels = read_npz(path, ["labels"])["labels"]
        superpixel_sizes(labels)
        if labels.shape == image.shape[:2]:
            return labels.astype(np.int32)
    except LsegreproError:  # absent or damaged: it is only a cache
        pass
    labels = oversegment(image, params)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, labels=labels.astype(np.uint16) if labels.max() < 1 << 16 else labels)
    return labels


def oversegment_all(
    images: Iterable[np.ndarray], params: Superpixels, folder: str | Path | None = None, workers: int | None = None
) -> Iterator[np.ndarray]:
    """Superpixels of many images (H, W, 3) uint8, in parallel processes, in the order given: each (H, W) int32.

    Images are taken from the iterable as they are needed, about two a worker. Workers are spawned, not forked, so that
    a caller with threads or a GPU in use is safe.

    Parameters
    ----------
    folder : path, optional
        The cache; without it nothing is stored.
    workers : int, optional
        Processes; default one a core, 1 computes in this process.

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
    workers = cores() if workers is None else workers
    if workers < 1:
        raise LsegreproError(f"workers must be at least 1, got {workers}")
    compute = partial(oversegment, params=params) if folder is None else partial(
        oversegment_cached, params=params, folder=folder)
    if workers == 1:
        yield from map(compute, images)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    pending: deque[Future] = deque()
    try:
        for image in images:
            pending.append(pool.submit(compute, image))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise LsegreproError("a superpixel worker ended early (out of memory, or a script without "
                             "'if __name__ == \"__main__\"'); use workers=1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise LsegreproError(f"an image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")


def _cache_path(image: np.ndarray, params: Superpixels, folder: str | Path) -> Path:
    head = [_CACHE_VERSION, version("scikit-image"), asdict(params), image.shape]
    key = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    key.update(np.ascontiguousarray(image))
    return Path(folder) / f"{key.hexdigest()[:32]}.npz"
