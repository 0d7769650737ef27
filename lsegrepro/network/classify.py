"""Image scores from N patches: held-out weak labels, and the classification of Section 4."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import model, patches
from .devices import autocast
from .model import PatchNet


def central_corners(side: int, number: int, size: int) -> np.ndarray:
    """Corners of the test patches, the central patch of each cell of the grid: (1, N, 2) top and left.

    The paper writes "forwarding N patches" and no more; the central ones make the score a function of the image.

    >>> central_corners(300, 4, 133)[0].tolist()
    [[8, 8], [8, 158], [158, 8], [158, 158]]
    """
    cells = np.array(patches.grid(side, number))
    return (cells[:, :2] + (cells[:, 2:] - size) // 2)[None]


@torch.inference_mode()
def patch_scores(net: PatchNet, images: Tensor, precision: str = "float32") -> Tensor:
    """Scores of the N test patches of prepared images: (B, 300, 300, 3) uint8 to (B, N, 2) float32."""
    x = patches.to_float(images)
    arch = net.architecture
    corners = np.repeat(central_corners(x.shape[-1], arch.patches, arch.patch), len(x), axis=0)
    x = patches.cut(x, corners, arch.patch).contiguous(memory_format=torch.channels_last)  # (B*N, 3, sz, sz)
    with autocast(images.device, precision):
        scores = net(x)
    return scores.float().view(len(images), arch.patches, 2)


def weak_scores(
    net: PatchNet, images: Tensor, aggregation: str, *, batch: int = 32, precision: str = "float32"
) -> Tensor:
    """Aggregated scores (n, 2) of prepared images (n, 300, 300, 3), in batches."""
    aggregate = model.aggregation(aggregation)
    return torch.cat(
        [aggregate(patch_scores(net, images[i : i + batch], precision)) for i in range(0, len(images), batch)]
    )
