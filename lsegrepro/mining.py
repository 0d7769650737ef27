"""Hard negatives: patches that round 1 wrongly takes for the class (Section 3.2).

The paper mines "the validation set". Here they come from held-out *background*
images alone: their image label says that every positive pixel in them is false,
so no pixel annotation is ever used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import dense, model
from .arguments import Mining
from .errors import LsegreproError
from .files import atomic
from .sampling import Decoded, HardNegatives
from .weights import Weights, to_json

SPREAD = "evenly spaced over the list"
"""How images are selected where a run looks at a part of the held-out background."""

FIRST = "the first by name"
"""How they were selected by files that do not say."""


def mine(
    weights: Weights, heldout: Decoded, names: list[str], out: str | Path, args: Mining, *, progress: bool = True
) -> Path:
    """Find the false positives of a network on held-out background images.

    Writes one ``.npz``: which images, the central pixel and the probability of each patch
    kept, and how many there were. It holds no pixel of any photograph.

    Parameters
    ----------
    weights : Weights
        Round 1, on the device that is to do the work.
    heldout : Decoded
        Held-out weak images; those not labelled background are left alone.
    names : list of str
        Their names.
    out : path
        An existing file made with the same arguments is kept.

    Raises
    ------
    LsegreproError
        If there is no background image, or `out` was made with other arguments.
    """
    out = Path(out)
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
    rng = np.random.default_rng(weights.card["arguments"]["seed"])
    index, centres, codes, counts = [], [], [], []
    for i in tqdm(background, desc="mining", unit="image", disable=not progress, mininterval=1):
        scores = dense.score_map(weights.net, heldout.batch(np.array([i]))[0].cpu().numpy())  # (2, 300, 300)
        code = dense.to_codes(model.foreground_probability(scores.permute(1, 2, 0)).numpy())
        false = np.argwhere(code > args.theta * 65535)  # (n, 2)
        counts.append(len(false))
        if len(false) > args.per_image:
            false = false[np.sort(rng.choice(len(false), args.per_image, replace=False))]
        index.append(np.full(len(false), len(counts) - 1, np.uint32))
        centres.append(false.astype(np.uint16))
        codes.append(code[false[:, 0], false[:, 1]])
    meta = {**identity, "selection": SPREAD, "images": len(background),
            "pixels": int(len(background) * np.prod(code.shape)),
            "false_positives": int(sum(counts)), "images_with": int(np.count_nonzero(counts))}
    with atomic(out) as temporary:
        np.savez_compressed(
            temporary, meta=np.array(to_json(meta)), names=np.array([names[i] for i in background]),
            counts=np.array(counts, np.uint32), index=np.concatenate(index), centres=np.concatenate(centres),
            codes=np.concatenate(codes),
        )
    return out


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
    return {"selection": FIRST, **json.loads(str(_read(path)["meta"]))}


def read_negatives(path: str | Path, heldout: Decoded, names: list[str]) -> HardNegatives:
    """Hard negatives with the pixels of their images, taken from the held-out set again.

    Raises
    ------
    LsegreproError
        If the file is damaged or an image it names is not in the set.
    """
    found = _read(path)
    place = {name: i for i, name in enumerate(names)}
    used, index = np.unique(found["index"], return_inverse=True)
    wanted = [str(found["names"][i]) for i in used]
    absent = [name for name in wanted if name not in place]
    if absent:
        raise LsegreproError(f"{path} names {absent[0]}, which is not among the held-out images ({len(absent)} absent)")
    images = heldout.batch(np.array([place[name] for name in wanted], np.int64)).cpu().numpy()
    content = hashlib.sha256(b"".join(found[key].tobytes() for key in ("index", "centres"))).hexdigest()
    return HardNegatives(images, index, found["centres"].astype(np.int64), content)


def _read(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in ("meta", "names", "counts", "index", "centres", "codes")}
    except FileNotFoundError as error:
        raise LsegreproError(f"no hard negatives {path}: mine them first") from error
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged archive
        raise LsegreproError(f"{path} is no file of hard negatives, or is damaged; delete it and mine again") from error
