"""Image scores from N patches: held-out weak labels, and the classification of Section 4."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import cache

import numpy as np
import torch
from torch import Tensor

from . import model, patches
from .model import PatchNet


def central_corners(side: int, number: int, size: int) -> np.ndarray:
    """At test the patch of each cell is the central one: (1, N, 2) top and left.

    The paper only says "forwarding N patches"; the central ones make the score a
    function of the image.

    >>> central_corners(300, 4, 133)[0].tolist()
    [[8, 8], [8, 158], [158, 8], [158, 158]]
    """
    cells = np.array(patches.grid(side, number))
    return (cells[:, :2] + (cells[:, 2:] - size) // 2)[None]


@torch.inference_mode()
def patch_scores(net: PatchNet, images: Tensor, precision: str = "float32") -> Tensor:
    """Scores of the N test patches of prepared images.

    Parameters
    ----------
    images : Tensor
        (B, 300, 300, 3) uint8, on the device of the network.

    Returns
    -------
    Tensor
        (B, N, 2) float32.
    """
    x = patches.to_float(images)
    arch = net.architecture
    corners = np.repeat(central_corners(x.shape[-1], arch.patches, arch.patch), len(x), axis=0)
    cuts = patches.cut(x, corners, arch.patch).contiguous(memory_format=torch.channels_last)
    with autocast(images.device, precision):
        scores = net(cuts)
    return scores.float().view(len(x), arch.patches, 2)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32.

    A processor without it emulates it, nine times slower: it is asked by a short product, once a process.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return _cpu_has_bfloat16()


@cache
def _cpu_has_bfloat16() -> bool:
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype)
        a @ a  # the first product of a kind also builds its kernel
        begun = time.perf_counter()
        for _ in range(3):
            a @ a
        seconds[dtype] = time.perf_counter() - begun
    return seconds[torch.bfloat16] < seconds[torch.float32]


def autocast(device: torch.device, precision: str):
    """Mixed precision if it is asked for and the device has it, else nothing: float32 is the exacter."""
    if precision == "float32" or not has_bfloat16(device):
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def weak_scores(
    net: PatchNet, images: Tensor, aggregation: str, *, batch: int = 32, precision: str = "float32"
) -> Tensor:
    """Aggregated scores (n, 2) of prepared images (n, 300, 300, 3), in batches."""
    aggregate = model.aggregation(aggregation)
    return torch.cat(
        [aggregate(patch_scores(net, images[i : i + batch], precision)) for i in range(0, len(images), batch)]
    )
