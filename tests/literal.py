"""Small random pictures, their evidence, and what the evidence must give, written down slowly pixel by pixel."""

from typing import NamedTuple

import numpy as np
import torch

from lsegrepro import paper
from lsegrepro.evidence import Regions, RegionsBuilder, Scores, ScoresBuilder
from lsegrepro.evidence.superpixels import Superpixels

META = {
    "model": "LSE1", "class": "cat", "round": 1, "seed": 0, "split": "val", "weights_sha256": "0" * 64,
    "arguments": {"short_side": 300, "sizes": (1, 2)}, "device": "cpu", "code_digest": "0" * 16,
}


class Picture(NamedTuple):
    """Label map, mask with void, one map of probabilities for each class, and the image scores."""

    labels: np.ndarray
    mask: np.ndarray
    prob_u16: dict[str, np.ndarray]
    image_scores: np.ndarray


def pictures(seed: int = 0, count: int = 3) -> list[Picture]:
    """Pictures of a few pixels; half of the probabilities come from a handful of values, so that votes tie."""
    rng = np.random.default_rng(seed)
    items = []
    for _ in range(count):
        shape = tuple(rng.integers(3, 12, 2))
        labels = np.unique(rng.integers(0, 7, shape), return_inverse=True)[1].reshape(shape).astype(np.int32)
        mask = rng.choice(np.array([0, 3, 8, 12, 20, 255], np.uint8), shape)
        few = np.array([0, 9, 13107, 39321, 39322, 60000, 65535], np.uint16)
        prob_u16 = {cls: np.where(rng.random(shape) < 0.5, rng.choice(few, shape), rng.integers(0, 65536, shape))
                 .astype(np.uint16) for cls in paper.CLASSES}
        items.append(Picture(labels, mask, prob_u16, rng.uniform(-1, 1, 2)))
    return items


def regions_of(items: list[Picture], split: str = "val") -> Regions:
    """Their regions; two more images are listed and absent."""
    builder = RegionsBuilder(split, "data-1", Superpixels(), absent=["z1", "z2"], listed=len(items) + 2)
    for i, picture in enumerate(items):
        builder.add(f"i{i}", picture.labels, picture.mask)
    return builder.build()


def scores_of(regions: Regions, items: list[Picture], cls: str = "cat", **meta) -> Scores:
    """Their scores for one class."""
    builder = ScoresBuilder(regions, {**META, "class": cls, "split": regions.split, **meta})
    for picture in items:
        builder.add(picture.prob_u16[cls], picture.labels, picture.mask, picture.image_scores)
    return builder.build()


def evidence_of(items: list[Picture], cls: str = "cat") -> tuple[Regions, Scores]:
    regions = regions_of(items)
    return regions, scores_of(regions, items, cls)


def voted(prob_u16: np.ndarray, labels: np.ndarray, theta: float) -> np.ndarray:
    """Majority vote, superpixel by superpixel, pixel by pixel; a tie is background."""
    mask = np.zeros(prob_u16.shape, bool)
    for label in range(labels.max() + 1):
        votes = [value > theta * 65535 for value in prob_u16[labels == label].tolist()]
        mask[labels == label] = sum(votes) > len(votes) - sum(votes)
    return mask


def counted(answers: list[np.ndarray], truths: list[np.ndarray], index: int) -> list[int]:
    """TP, FP, FN, TN of boolean answers, void left out."""
    total = np.zeros(4, int)
    for answer, truth in zip(answers, truths, strict=True):
        yes, known = truth == index, truth != 255
        total += [(answer & yes & known).sum(), (answer & ~yes & known).sum(),
                  (~answer & yes & known).sum(), (~answer & ~yes & known).sum()]
    return total.tolist()


def patch_scores(net, image, rows, columns):
    """Scores (2, n) of the patches centred on some pixels, each cut by numpy out of the image padded by numpy."""
    size = net.architecture.patch
    margin = (size - 1) // 2
    for axis, length in enumerate(image.shape[:2]):
        width = [(0, 0)] * 3
        width[axis] = (margin, margin)
        image = np.pad(image, width, mode="reflect" if length > margin else "edge")
    cuts = np.stack([image[r : r + size, c : c + size] for r, c in zip(rows, columns, strict=True)])
    x = torch.from_numpy(cuts / 127.5 - 1).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        return torch.cat([net(part) for part in x.split(64)]).T


def box_rows(masks: list[np.ndarray], index: int) -> list[list[list[int]]]:
    """A centred box painted on each mask, for each twentieth of its sides: counts (20, n, 4)."""
    rows = []
    for k in range(1, 21):
        rows.append([])
        for mask in masks:
            box = np.zeros(mask.shape, bool)
            h, w = (round(side * (k / 20)) for side in mask.shape)
            top, left = (mask.shape[0] - h) // 2, (mask.shape[1] - w) // 2
            box[top : top + h, left : left + w] = True
            rows[-1].append(counted([box], [mask], index))
    return rows
