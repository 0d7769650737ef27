"""Hard negatives: patches that round 1 wrongly takes for the class (Section 3.2).

The paper mines "the validation set". Here they come from held-out *background*
images alone: their image label says that every positive pixel in them is false,
so no pixel annotation is ever used.

Which false positives are kept, where there are more than wanted (`RULE`): of each image at
most `per_image`, drawn uniformly; of what the images give at most `keep`, drawn uniformly.
Both draws give each pixel a random priority and keep the smallest. The priorities are a
function of the seed, the number of the image in the held-out set and the pixel, and of
nothing else: neither the size of a batch nor a mining that was killed and went on changes them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import paper
from ..config import Mining
from ..files import LsegreproError, atomic, locked, read_json, read_npz, write_json
from ..network import dense, model
from ..network.weights import Weights, to_json
from . import batches
from .batches import Decoded, HardNegatives, step_rng

SPREAD = "evenly spaced over the list"
"""How images are selected where a run looks at a part of the held-out background."""

RULE = "at most per_image of each image and keep of all (0: no limit), each drawn uniformly by priorities of the pixels"
"""Which false positives are kept."""

BLOCK = 128
"""Images whose finds go to disk together: what is lost where a mining is killed."""

GPU_BATCH = 16
"""Images scored at once on a GPU. On a CPU one image fills the cache (`dense.GROUP`)."""

STREAM = 3
"""The place of mining among the streams of `sampling.step_rng`, where those of training have their round."""

FINDS = ("index", "centres", "codes", "priority")


def mine(
    weights: Weights, heldout: Decoded, names: Sequence[str], out: str | Path, args: Mining, *,
    batch: int | None = None, progress: bool = True,
) -> Path:
    """Find the false positives of a network on held-out background images.

    Writes one ``.npz``: which images, the central pixel and the probability of each patch
    kept, and how many there were. It holds no pixel of any photograph. Until it is whole, the
    finds of each `BLOCK` of images wait in a folder ``{out}.parts``; a mining that was killed
    goes on after the last of them. Memory does not grow with the images but by their counts
    and names, and by what is kept (by 2 `keep` finds on the way).

    Parameters
    ----------
    weights : Weights
        Round 1, on the device that is to do the work.
    heldout : Decoded
        Held-out weak images; those not labelled background are left alone.
    names : sequence of str
        Their names.
    out : path
        An existing file made with the same arguments is kept.
    batch : int, optional
        Images scored at once; default 1 on a CPU, `GPU_BATCH` on a GPU. It may move a
        probability by a rounding, and nothing else.

    Raises
    ------
    LsegreproError
        If there is no background image, or `out` or its parts were made with other arguments,
        or another process is making it.
    """
    out, seed = Path(out), weights.card["arguments"]["seed"]
    parts = out.with_name(f"{out.name}.parts")
    identity = {"mining": dataclasses.asdict(args), "weights_sha256": weights.sha256, "data_digest": heldout.digest}
    if out.is_file():
        found = read_meta(out)
        if {key: found.get(key) for key in identity} != identity:
            raise LsegreproError(f"{out} was mined with other arguments or weights: delete it or choose another folder")
        return out
    background = np.flatnonzero(heldout.labels == "background")
    if not len(background):
        raise LsegreproError("mining needs held-out background images, and there is none")
    background = spread(background, args.images)
    if batch is None:
        batch = GPU_BATCH if heldout.device.type == "cuda" else 1
    with locked(out):
        _claim(parts, {**identity, "seed": seed, "block": BLOCK})
        blocks = {parts / f"{first:08d}.npz": np.arange(first, min(first + BLOCK, len(background)))
                  for first in range(0, len(background), BLOCK)}
        with tqdm(total=len(background), desc="mining", unit="image", disable=not progress, mininterval=1) as bar:
            for path, places in blocks.items():
                if path.is_file():
                    bar.update(len(places))
                else:
                    part = find(weights, heldout, background[places], args, seed, batch, bar.update)
                    part["index"] += places[0].astype(np.uint32)
                    with atomic(path) as temporary:
                        np.savez(temporary, **part)
        counts = np.concatenate([_load(path, ("counts",))["counts"] for path in blocks])
        finds = smallest((_load(path, FINDS) for path in blocks), args.keep)
        meta = {**identity, "selection": SPREAD, "rule": RULE, "images": len(background),
                "pixels": len(background) * paper.IMAGE_SIDE**2, "false_positives": int(counts.sum(dtype=np.int64)),
                "images_with": int(np.count_nonzero(counts))}
        meta |= {"unreadable": heldout.unreadable} if heldout.unreadable else {}
        with atomic(out) as temporary:
            np.savez_compressed(
                temporary, meta=np.array(to_json(meta)), names=np.array([names[i] for i in background]),
                counts=counts, index=finds["index"], centres=finds["centres"], codes=finds["codes"],
            )
        shutil.rmtree(parts, ignore_errors=True)
    return out


def find(
    weights: Weights, heldout: Decoded, numbers: np.ndarray, args: Mining, seed: int, batch: int = 1,
    done: Callable[[int], object] = lambda images: None,
) -> dict[str, np.ndarray]:
    """The false positives of some images, at most `per_image` of each; by image, row and column.

    Parameters
    ----------
    numbers : ndarray
        (n,) int: numbers of the images in the held-out set.
    batch : int
        Images scored at once.
    done : callable
        Told how many more images are done.

    Returns
    -------
    dict
        counts (n,) uint32, false positives of each image; and for each of the P that are kept
        index (P,) uint32, which of the n images; centres (P, 2) uint16, row and column;
        codes (P,) uint16, the probability; priority (P,) float64 in [0, 1).
    """
    counts, finds = np.zeros(len(numbers), np.uint32), []
    for first in range(0, len(numbers), batch):
        some = numbers[first : first + batch]
        scores = dense.score_maps(weights.net, heldout.batch(some).cpu().numpy())  # (B, 2, 300, 300)
        for place, (number, each) in enumerate(zip(some.tolist(), scores, strict=True), first):
            code = dense.to_codes(model.foreground_probability(each.permute(1, 2, 0)).numpy())
            in_image, in_all = step_rng(seed, STREAM, number).random((2, *code.shape))
            false = np.argwhere(code > args.theta * 65535)  # (n, 2)
            counts[place] = len(false)
            at = tuple(false[lowest(in_image[tuple(false.T)], args.per_image)].T)
            finds.append({"index": np.full(len(at[0]), place, np.uint32),
                          "centres": np.stack(at, axis=1).astype(np.uint16),
                          "codes": code[at], "priority": in_all[at]})
        done(len(some))
    return {"counts": counts, **_join(finds)}


def smallest(parts: Iterable[dict[str, np.ndarray]], keep: int) -> dict[str, np.ndarray]:
    """Finds with the `keep` smallest priorities, in their order; of equal ones the first.

    Holds no more than 2 `keep` finds and one part.

    >>> parts = [{"priority": np.array([0.5, 0.2])}, {"priority": np.array([0.9, 0.1])}]
    >>> smallest(parts, 2), smallest(parts, 0)
    ({'priority': array([0.2, 0.1])}, {'priority': array([0.5, 0.2, 0.9, 0.1])})
    """
    def cut(finds: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        joined = _join(finds)
        chosen = lowest(joined["priority"], keep or len(joined["priority"]))
        return {key: value[chosen] for key, value in joined.items()}

    held: list[dict[str, np.ndarray]] = []
    for part in parts:
        held.append(part)
        if keep and sum(len(each["priority"]) for each in held) > 2 * keep:
            held = [cut(held)]
    return cut(held)


def lowest(priority: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` smallest, rising; of equal ones the first.

    >>> lowest(np.array([0.3, 0.1, 0.3, 0.2]), 3).tolist()
    [0, 1, 3]
    """
    if len(priority) <= count:
        return np.arange(len(priority))
    return np.sort(np.argsort(priority, kind="stable")[:count])


def spread(items: np.ndarray, count: int) -> np.ndarray:
    """At most `count` items, evenly spaced over all of them, in their order.

    A list sorted by name is often sorted by source: its first part would be of one kind.

    >>> spread(np.arange(10), 4).tolist()
    [0, 2, 5, 7]
    """
    count = min(count, len(items))
    return items[np.arange(count) * len(items) // max(count, 1)]


def read_meta(path: str | Path) -> dict:
    """What a file of hard negatives says of itself. Raises `LsegreproError` if it is none.

    ``selection`` says which background images were looked at when there were more than asked for.
    """
    try:
        found = json.loads(str(_read(path)["meta"]))
        found["mining"] = dict(found["mining"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path) from error
    return found


def read_negatives(path: str | Path, heldout: Decoded, names: Sequence[str]) -> HardNegatives:
    """Hard negatives with the pixels of their images, taken from the held-out set again.

    More images than fit in memory (`sampling.RESIDENT_BYTES`) are decoded as they are drawn.

    Raises
    ------
    LsegreproError
        If the file is damaged or an image it names is not in the set.
    """
    found = _read(path)
    if not _fits_together(found):
        raise _damaged(path)
    used, index = np.unique(found["index"], return_inverse=True)
    wanted = found["names"][used].tolist()
    some = set(wanted)
    place = {name: i for i, name in enumerate(names) if name in some}
    absent = [name for name in wanted if name not in place]
    if absent:
        raise LsegreproError(f"{path} names {absent[0]}, which is not among the held-out images ({len(absent)} absent)")
    numbers = np.array([place[name] for name in wanted], np.int64)
    images = (heldout.batch(numbers).cpu().numpy() if batches.fits(len(numbers))
              else batches.Undecoded(heldout.weak, numbers))
    content = hashlib.sha256(b"".join(found[key].tobytes() for key in ("index", "centres"))).hexdigest()
    return HardNegatives(images, index, found["centres"].astype(np.int64), content)


def _claim(parts: Path, identity: dict) -> None:
    """Begin a folder of parts, or go on in one that was begun for the same mining."""
    mark = parts / "mining.json"
    if not mark.is_file():
        write_json(mark, identity)
    elif read_json(mark) != identity:
        raise LsegreproError(f"{parts} holds a mining that was begun with other arguments, weights or images: "
                             "delete it or choose another folder")


def _join(finds: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([each[key] for each in finds]) for key in finds[0]}


def _read(path: str | Path) -> dict[str, np.ndarray]:
    return _load(path, ("meta", "names", "counts", "index", "centres", "codes"))


def _load(path: str | Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        return read_npz(path, keys)
    except FileNotFoundError as error:
        raise LsegreproError(f"no hard negatives {path}: mine them first") from error
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged archive
        raise _damaged(path) from error


def _damaged(path: str | Path) -> LsegreproError:
    return LsegreproError(f"{path} is no file of hard negatives, or is damaged; delete it and mine again")


def _fits_together(found: dict[str, np.ndarray]) -> bool:
    """Whether the arrays of a file are of the kinds and sizes that they have, and point inside images that it names."""
    names, counts, index, centres, codes = (found[key] for key in ("names", "counts", "index", "centres", "codes"))
    kinds = names.dtype.kind == "U" and all(array.dtype.kind == "u" for array in (counts, index, centres, codes))
    return (kinds and names.ndim == index.ndim == 1 and counts.shape == names.shape and codes.shape == index.shape
            and centres.shape == (len(index), 2) and (index < len(names)).all()
            and bool((centres < paper.IMAGE_SIDE).all()))
