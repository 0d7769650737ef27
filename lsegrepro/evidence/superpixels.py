"""Superpixels of an image, and the majority vote at every threshold as one number each.

Section 3.3 smooths the label map with the superpixels of [23] (Felzenszwalb and Huttenlocher, 2004): each superpixel
takes the label of most of its pixels. A superpixel of n pixels is foreground at theta exactly when the k-th largest of
its pixel probabilities exceeds theta, k = floor(n/2) + 1, so one order statistic holds the vote at every theta.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
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

    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise LsegreproError(f"an image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    params = params or Superpixels()
    labels = felzenszwalb(image, scale=params.scale, sigma=params.sigma, min_size=params.min_size)
    return labels.astype(np.int32)


def order_statistic(prob_u16: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The k-th largest probability of each superpixel, k = floor(n/2) + 1: the majority vote at every theta.

    It exceeds theta exactly when more than half of the n pixels do; on a tie it does not, and the superpixel is
    background. Void pixels vote: they are pixels of the image. Takes prob_u16 (H, W) uint16, floor(p * 65535), and
    labels (H, W), every one of 0 .. S-1 used; gives (S,) uint16. Raises `LsegreproError` if the maps do not fit.

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
    integers = labels.ndim == 2 and labels.size > 0 and np.issubdtype(labels.dtype, np.integer)
    if integers and 0 <= labels.min() and labels.max() < labels.size:
        sizes = np.bincount(labels.ravel())
        if sizes.all():
            return sizes
    raise LsegreproError(f"labels must be a (H, W) map that uses every integer of 0 .. S-1, got {labels.shape} "
                         f"{labels.dtype}; renumber them")


def oversegment_cached(image: np.ndarray, params: Superpixels, folder: str | Path) -> np.ndarray:
    """`oversegment`, cached in `folder` under a digest of image, parameters and scikit-image version.

    A damaged file is computed again and replaced.
    """
    head = [_CACHE_VERSION, version("scikit-image"), asdict(params), image.shape]
    key = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    key.update(np.ascontiguousarray(image))
    path = Path(folder) / f"{key.hexdigest()[:32]}.npz"
    with suppress(LsegreproError):  # absent or damaged: it is only a cache
        return read_npz(path, ["labels"])["labels"].astype(np.int32)
    labels = oversegment(image, params)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, labels=labels.astype(np.uint16) if labels.max() < 1 << 16 else labels)
    return labels


def oversegment_all(
    images: Iterable[np.ndarray], params: Superpixels, folder: str | Path | None = None, workers: int | None = None
) -> Iterator[np.ndarray]:
    """Superpixels of many images (H, W, 3) uint8, in parallel processes, in the order given: each (H, W) int32.

    `folder` is the cache; without it nothing is stored. `workers` is the number of processes, by default one a core; 1
    computes in this process. Images are taken as they are needed, about two a worker. Raises `LsegreproError` if a
    worker dies.
    """
    workers = workers or cores()
    compute = partial(oversegment, params=params) if folder is None else partial(
        oversegment_cached, params=params, folder=folder)
    if workers == 1:
        yield from map(compute, images)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"))  # a forked caller may have threads or a GPU in use
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

