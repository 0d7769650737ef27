"""Mining of hard negatives: patches that the network of round 1 wrongly takes for the class (Section 3.2).

The paper mines "the validation set". Here they come from held-out *background*
images alone: their image label says that every positive pixel in them is false,
so no pixel annotation is ever used.

Where there are more false positives than wanted, two draws choose among them (`RULE`): of each
image at most `per_image`, uniformly; of what the images give at most `keep`, uniformly. Both draws
give each pixel a random priority and keep the smallest. The priorities are a function of the
seed, the number of the image in the held-out set and the pixel, and of nothing else: neither the
size of a batch nor a mining that was killed and resumed changes them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import paper
from ..config import Mining
from ..data import LABELS
from ..files import LsegreproError, atomic, digest, locked, read_npz
from ..network import dense, model
from ..network.weights import Weights, to_json
from .batches import HardNegatives, WeakDataset, step_rng

SELECTION = "evenly spaced over the list"
"""How images are selected where a run looks at a part of the held-out background."""

RULE = "at most per_image of each image and keep of all (0: no limit), each drawn uniformly by priorities of the pixels"
"""Which false positives are kept."""

BLOCK = 128
"""Images whose false positives are written together: what is lost if a mining is killed."""

GPU_BATCH = 16
"""Images scored at once on a GPU. On a CPU one image fills the cache (`dense.GROUP`)."""

RNG_STREAM = 3
"""What mining passes to `step_rng` in place of a round, so that it shares no random numbers with a training."""

ARRAYS = ("meta", "names", "counts", "index", "centres", "codes")


def mine(weights: Weights, heldout: WeakDataset, out: str | Path, config: Mining, *, progress: bool = True) -> Path:
    """Find the false positives of a network on held-out background images.

    Writes one ``.npz``: which images, the central pixel and the probability of each patch
    kept, and how many false positives there were. It holds no pixel of any photograph. On the way
    each `BLOCK` of images is written to a folder ``{out}.parts``, from which an interrupted mining resumes.

    Parameters
    ----------
    weights : Weights
        Round 1, on the device that is to do the work.
    heldout : WeakDataset
        Held-out images; those not labelled background are not looked at.
    out : path
        An existing file made with the same arguments is kept.

    Raises
    ------
    LsegreproError
        If there is no background image, `out` was made with other arguments, or another process is making it.
    """
    out, seed = Path(out), weights.card["arguments"]["seed"]
    identity = {"mining": dataclasses.asdict(config), "weights_sha256": weights.sha256, "data_digest": heldout.digest}
    if out.is_file():
        meta = read_meta(out)
        if {key: meta.get(key) for key in identity} != identity:
            raise LsegreproError(f"{out} was mined with other arguments or weights: delete it or choose another folder")
        return out
    background = evenly_spaced(np.flatnonzero(heldout.codes == LABELS.index("background")), config.images)
    if not len(background):
        raise LsegreproError("mining needs held-out background images, and there is none")
    parts_folder = out.with_name(f"{out.name}.parts")
    name = digest({**identity, "seed": seed, "block": BLOCK})  # parts of another mining are passed over
    parts = []
    with locked(out), tqdm(total=len(background), desc="mining", unit="image", disable=not progress) as bar:
        for first in range(0, len(background), BLOCK):
            path = parts_folder / f"{name}-{first:08d}.npz"
            if not path.is_file():
                part = find_false_positives(weights, heldout, background[first : first + BLOCK], config, seed, bar=bar)
                with atomic(path) as temporary:
                    np.savez(temporary, **part)
            part = read_npz(path, ("counts", "index", "centres", "codes", "priority"))
            part["index"] += np.uint32(first)
            parts.append(part)
            bar.update(first + len(part["counts"]) - bar.n)
        mined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        counts, priority = mined["counts"], mined["priority"]
        kept = lowest(priority, config.keep or len(priority))
        meta = {**identity, "selection": SELECTION, "rule": RULE, "images": len(background),
                "pixels": len(background) * paper.IMAGE_SIDE**2, "false_positives": int(counts.sum(dtype=np.int64)),
                "images_with": int(np.count_nonzero(counts))}
        if heldout.unreadable:
            meta["unreadable"] = heldout.unreadable
        with atomic(out) as temporary:
            np.savez_compressed(
                temporary, meta=np.array(to_json(meta)), names=np.array([heldout.names[i] for i in background]),
                counts=counts, index=mined["index"][kept], centres=mined["centres"][kept], codes=mined["codes"][kept],
            )
        shutil.rmtree(parts_folder, ignore_errors=True)
    return out


def find_false_positives(
    weights: Weights, heldout: WeakDataset, numbers: np.ndarray, config: Mining, seed: int, *,
    batch: int | None = None, bar: tqdm | None = None,
) -> dict[str, np.ndarray]:
    """The false positives of some images, at most `per_image` of each; by image, row and column.

    Parameters
    ----------
    numbers : ndarray
        (n,) int: which images of the held-out set.
    batch : int, optional
        Images scored at once; default 1 on a CPU, `GPU_BATCH` on a GPU. It may change a
        probability by rounding, and nothing else.
    bar : tqdm, optional
        A progress bar to update.

    Returns
    -------
    dict
        counts (n,) uint32, false positives of each image; and for each of the P that are kept
        index (P,) uint32, which of the n images; centres (P, 2) uint16, row and column;
        codes (P,) uint16, floor(p * 65535) of its probability p; priority (P,) float64 in [0, 1).
    """
    batch = batch or (GPU_BATCH if heldout.device.type == "cuda" else 1)
    counts, patches = np.zeros(len(numbers), np.uint32), []
    for first in range(0, len(numbers), batch):
        images = heldout.images(numbers[first : first + batch]).cpu().numpy()
        for i, scores in enumerate(dense.score_maps(weights.net, images), first):  # (2, 300, 300)
            codes = dense.to_codes(model.foreground_probability(scores.permute(1, 2, 0)).numpy())
            in_image, in_all = step_rng(seed, RNG_STREAM, int(numbers[i])).random((2, *codes.shape))
            false = np.argwhere(codes > config.theta * 65535)  # (F, 2)
            counts[i] = len(false)
            kept = false[lowest(in_image[tuple(false.T)], config.per_image)]  # (K, 2)
            at = tuple(kept.T)
            patches.append((np.full(len(kept), i, np.uint32), kept.astype(np.uint16), codes[at], in_all[at]))
            if bar is not None:
                bar.update()
    columns = map(np.concatenate, zip(*patches, strict=True))
    return {"counts": counts, **dict(zip(("index", "centres", "codes", "priority"), columns, strict=True))}


def lowest(priority: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` smallest, increasing; of equal ones the first.

    >>> lowest(np.array([0.3, 0.1, 0.3, 0.2]), 3).tolist()
    [0, 1, 3]
    """
    return np.sort(np.argsort(priority, kind="stable")[:count])


def evenly_spaced(items: np.ndarray, count: int) -> np.ndarray:
    """At most `count` items, evenly spaced over all of them, in their order.

    A list sorted by name is often sorted by source: its first part would be of one kind.

    >>> evenly_spaced(np.arange(10), 4).tolist()
    [0, 2, 5, 7]
    """
    count = min(count, len(items))
    return items[np.arange(count) * len(items) // max(count, 1)]


def read_meta(path: str | Path) -> dict:
    """How a file of hard negatives was made: arguments, digests and counts. Raises `LsegreproError` if it is none."""
    text = str(_read(path)["meta"])
    try:
        meta = json.loads(text)
        meta["mining"] = dict(meta["mining"])
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path) from error
    return meta


def read_negatives(path: str | Path, heldout: WeakDataset) -> HardNegatives:
    """Read hard negatives; their images are those of the held-out set with the same names.

    Raises
    ------
    LsegreproError
        If the file is damaged or names an image that is not in the set.
    """
    mined = _read(path)
    index, centres = mined["index"], mined["centres"]
    if (centres.shape != (len(index), 2) or (index >= len(mined["names"])).any()
            or (centres >= paper.IMAGE_SIDE).any()):
        raise _damaged(path)
    used, which = np.unique(index, return_inverse=True)
    number = {name: i for i, name in enumerate(heldout.names)}
    names = mined["names"][used].tolist()
    if absent := [name for name in names if name not in number]:
        raise LsegreproError(f"{path} names {absent[0]}, which is not among the held-out images ({len(absent)} absent)")
    numbers = np.array([number[name] for name in names], np.int64)
    content = hashlib.sha256(index.tobytes() + centres.tobytes()).hexdigest()
    return HardNegatives(heldout, numbers[which], centres.astype(np.int64), content)


def _read(path: str | Path) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise LsegreproError(f"no hard negatives {path}: mine them first")
    try:
        return read_npz(path, ARRAYS)
    except LsegreproError as error:
        raise _damaged(path) from error


def _damaged(path: str | Path) -> LsegreproError:
    return LsegreproError(f"{path} is no file of hard negatives, or is damaged; delete it and mine again")
