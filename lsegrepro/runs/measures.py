"""Measures of masks, labels and networks that `statistics` is made of: arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .. import paper

if TYPE_CHECKING:
    from torch import Tensor

    from ..network.model import PatchNet


def prepare_mask(mask: np.ndarray, side: int = paper.IMAGE_SIDE) -> np.ndarray:
    """Scale and crop a mask (H, W) uint8 as `data.images.prepare` does its image, with nearest neighbours."""
    height, width = mask.shape
    factor = side / min(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    top, left = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
    return scaled[top : top + side, left : left + side]


def class_shares(mask: np.ndarray, index: int, corners: np.ndarray, size: int) -> np.ndarray:
    """Share of each patch that the class `index` fills, void left out: (N,) float64.

    The mask is prepared, `corners` are top and left of each patch, (N, 2).

    >>> class_shares(np.array([[8, 8], [0, 255]], np.uint8), 8, np.array([[0, 0]]), 2).round(2).tolist()
    [0.67]
    """
    patches = [mask[top : top + size, left : left + size] for top, left in np.asarray(corners)]
    return np.array([np.count_nonzero(patch == index) / max(1, np.count_nonzero(patch != 255)) for patch in patches])


def source_shortcut(labels: Sequence[str], sources: Sequence[str], cls: str) -> float:
    """Balanced accuracy of the best classifier that knows an image's source and nothing else.

    1/2 if images with and without the class share the sources alike, 1 if the source tells them apart.

    >>> source_shortcut(["cat", "cat", "dog", "dog"], ["a", "a", "a", "b"], "cat")
    0.75
    """
    present, where = np.array(labels) == cls, np.array(sources)
    shares = [(np.mean(where[present] == s), np.mean(where[~present] == s)) for s in np.unique(where)]
    return float(sum(max(pair) for pair in shares) / 2)


def within_sources(
    correct: np.ndarray, present: np.ndarray, sources: Sequence[str], least: int = 20
) -> dict[str, tuple[int, float]]:
    """Balanced accuracy inside each source that has `least` images of each kind: source to (images, accuracy).

    A network that lives on telling sources apart falls to 1/2 here.
    """
    accuracies = {}
    for name in sorted(set(sources)):
        here = np.array(sources) == name
        kinds = [correct[here & present], correct[here & ~present]]
        if min(map(len, kinds)) >= least:
            accuracies[name] = (int(here.sum()), float(np.mean([kind.mean() for kind in kinds])))
    return accuracies


def saturation(net: PatchNet, patches: Tensor, level: float = 0.99) -> dict[str, float]:
    """Share of each layer's outputs beyond `level` in magnitude, where tanh hardly has a gradient.

    `patches` are (M, 3, sz, sz) float in [-1, 1]; the result is ``"layer 1"`` .. ``"layer 5"`` to a fraction.
    """
    import torch

    outputs: list[Tensor] = []
    following = (net.conv2, net.conv3, net.full4, net.full5)
    hooks = [layer.register_forward_pre_hook(lambda _, x: outputs.append(x[0])) for layer in following]
    with torch.no_grad():
        outputs.append(net(patches))
    for hook in hooks:
        hook.remove()
    return {f"layer {i}": float((x.abs() > level).float().mean()) for i, x in enumerate(outputs, start=1)}
