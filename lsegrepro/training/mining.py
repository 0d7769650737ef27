"""Mining of hard negatives: patches that the network of round 1 wrongly takes for the class (Section 3.2).

The paper mines "the validation set". Here they come from held-out *background* images alone: their image label says
that every positive pixel in them is false, so no pixel annotation is ever used.

Where there are more false positives than wanted, two draws choose among them (`RULE`). Both give each pixel a random
priority and take the smallest. The priorities depend on the seed, the number of the image in the held-out set and the
pixel alone: neither the size of a batch nor an interruption changes them.
"""

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
from ..network.weights import Weights
from .batches import HardNegatives, WeakDataset, step_rng

SELECTION = "evenly spaced over the list"
"""How images are selected where a run looks at a part of the held-out background."""

RULE = "at most per_image of each image and keep of all (0: no limit), each drawn uniformly by priorities of the pixels"
"""Which false positives become hard negatives."""

BLOCK = 128  # images whose false positives are written together: what is lost if mining is killed
GPU_BATCH = 16  # images scored at once on a GPU; on a CPU one image fills the cache (`dense.GROUP`)
RNG_STREAM = 3  # in place of a round in `step_rng`: mining shares no random numbers with a training


def mine(weights: Weights, heldout: WeakDataset, out: str | Path, config: Mining, *, progress: bool = True) -> Path:
    """Find the false positives of a network on held-out background images, and write them to an ``.npz``.

    The file holds the names of the images, the central pixel and the probability of each patch that is chosen, and how
    many false positives there were; no pixel of any photograph. On the way each `BLOCK` of images is written to a
    folder ``{out}.parts``, from which an interrupted mining resumes. Raises `LsegreproError` if there is no background
    image, or another process is making `out`.
    """
    out, seed = Path(out), weights.card["arguments"]["seed"]
    identity = {"mining": dataclasses.asdict(config), "weights_sha256": weights.sha256, "data_digest": heldout.digest}
    background = evenly_spaced(np.flatnonzero(heldout.labels == LABELS.index("background")), config.images)
    if not len(background):
        raise LsegreproError("mining needs held-out background images, and there is none")
    folder, parts = out.with_name(f"{out.name}.parts"), []
    prefix = digest({**identity, "seed": seed, "images a part": BLOCK})  # no other mining takes these parts for its own
    with locked(out), tqdm(total=len(background), desc="mining", unit="image", disable=not progress) as bar:
        for first in range(0, len(background), BLOCK):
            path = folder / f"{prefix}-{first:08d}.npz"
            if not path.is_file():
                part = find_false_positives(weights, heldout, background[first : first + BLOCK], config, seed, bar)
                with atomic(path) as temporary:
                    np.savez(temporary, **part)
            part = read_npz(path, ("counts", "index", "centres", "prob_u16", "priority"))
            part["index"] += np.uint32(first)
            parts.append(part)
            bar.update(first + len(part["counts"]) - bar.n)
        mined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        counts, priority = mined["counts"], mined["priority"]
        chosen = lowest(priority, config.keep or len(priority))
        meta = {**identity, "selection": SELECTION, "rule": RULE, "images": len(background),
                "pixels": len(background) * paper.IMAGE_SIDE**2, "false_positives": int(counts.sum(dtype=np.int64)),
                "images_with": int(np.count_nonzero(counts))}
        with atomic(out) as temporary:
            np.savez_compressed(
                temporary, meta=np.array(json.dumps(meta, sort_keys=True)),
                names=np.array([heldout.names[i] for i in background]), counts=counts,
                index=mined["index"][chosen], centres=mined["centres"][chosen],
                codes=mined["prob_u16"][chosen],  # the name of the published files
            )
        shutil.rmtree(folder, ignore_errors=True)
    return out


def find_false_positives(
    weights: Weights, heldout: WeakDataset, numbers: np.ndarray, config: Mining, seed: int, bar: tqdm
) -> dict[str, np.ndarray]:
    """The false positives of some images of the held-out set, at most `per_image` of each; by image, row and column.

    Gives counts (n,) uint32, false positives of each image; and for each of the P that are drawn index (P,) uint32,
    which of the n images; centres (P, 2) uint16, row and column; prob_u16 (P,) uint16, floor(p * 65535); and priority
    (P,) float64 in [0, 1).
    """
    batch = GPU_BATCH if heldout.device.type == "cuda" else 1
    counts, rows = np.zeros(len(numbers), np.uint32), []
    for first in range(0, len(numbers), batch):
        images = heldout.images(numbers[first : first + batch]).cpu().numpy()
        for i, scores in enumerate(dense.score_maps(weights.net, images), first):  # (2, 300, 300)
            prob_u16 = dense.to_prob_u16(model.foreground_probability(scores.permute(1, 2, 0)).numpy())
            in_image, in_all = step_rng(seed, RNG_STREAM, int(numbers[i])).random((2, *prob_u16.shape))
            false = np.argwhere(prob_u16 > config.theta * 65535)  # (F, 2)
            counts[i] = len(false)
            centres = false[lowest(in_image[tuple(false.T)], config.per_image)]  # (K, 2)
            at = tuple(centres.T)
            rows.append((np.full(len(centres), i, np.uint32), centres.astype(np.uint16), prob_u16[at], in_all[at]))
            bar.update()
    columns = map(np.concatenate, zip(*rows, strict=True))
    return {"counts": counts, **dict(zip(("index", "centres", "prob_u16", "priority"), columns, strict=True))}


def lowest(priority: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` smallest, increasing; of equal ones the first.

    >>> lowest(np.array([0.3, 0.1, 0.3, 0.2]), 3).tolist()
    [0, 1, 3]
    """
    return np.sort(np.argsort(priority, kind="stable")[:count])


def evenly_spaced(items: np.ndarray, count: int) -> np.ndarray:
    """At most `count` items, evenly spaced over all of them, in their order: sorted names often begin with one source.

    >>> evenly_spaced(np.arange(10), 4).tolist()
    [0, 2, 5, 7]
    """
    count = min(count, len(items))
    return items[np.arange(count) * len(items) // max(count, 1)]


def read_meta(path: str | Path) -> dict:
    """How a file of hard negatives was made: arguments, digests and counts. Raises `LsegreproError` if it is none."""
    return _read(path)[0]


def read_negatives(path: str | Path, heldout: WeakDataset) -> HardNegatives:
    """Read hard negatives; their images are those of the held-out set with the same names.

    Raises `LsegreproError` if the file is damaged or names an image that is not in the set.
    """
    _, mined = _read(path)
    number = {name: i for i, name in enumerate(heldout.names)}
    names = mined["names"][mined["index"]].tolist()  # of each patch
    if absent := {name for name in names if name not in number}:
        raise LsegreproError(f"{path} names {min(absent)}, which is not among the held-out images "
                             f"({len(absent)} absent)")
    numbers = np.array([number[name] for name in names], np.int64)
    content = hashlib.sha256(mined["index"].tobytes() + mined["centres"].tobytes()).hexdigest()
    return HardNegatives(heldout, numbers, mined["centres"].astype(np.int64), content)


def _read(path: str | Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and arrays of a file of hard negatives, checked."""
    try:
        mined = read_npz(path, ("meta", "names", "counts", "index", "centres", "codes"))
        meta = json.loads(str(mined["meta"]))
    except ValueError as error:  # a LsegreproError is one too
        raise LsegreproError(f"{path} is absent, damaged or no file of hard negatives: mine again") from error
    return meta, mined
