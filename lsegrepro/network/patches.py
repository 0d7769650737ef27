"""Patches and jitter (Sections 3.1 and 3.2, Figure 2), in batches, on any device.

Random numbers come from NumPy generators on the CPU, so that a seed draws the
same patches whatever the device.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..config import Jitter
from ..files import LsegreproError


def to_float(images: Tensor) -> Tensor:
    """Scale bytes (..., H, W, 3) to float32 in [-1, 1], (..., 3, H, W) and channels last in memory (Section 3.1).

    >>> to_float(torch.tensor([[[0, 255, 51]]], dtype=torch.uint8)).flatten()
    tensor([-1.0000,  1.0000, -0.6000])
    """
    return images.movedim(-1, -3).to(torch.float32).mul_(2 / 255).sub_(1)


def grid(side: int, patches: int) -> list[tuple[int, int, int, int]]:
    """Cells of the sqrt(N) x sqrt(N) grid as (top, left, height, width), row by row.

    Cells cover the image without overlap; sides that do not divide evenly differ by one pixel. Raises `LsegreproError`
    if `patches` is not a square number.

    >>> grid(300, 4)
    [(0, 0, 150, 150), (0, 150, 150, 150), (150, 0, 150, 150), (150, 150, 150, 150)]
    """
    n = math.isqrt(max(patches, 0))
    if n < 1 or n * n != patches:
        raise LsegreproError(f"the number of patches N must be a square (1, 4, 9, ...), got {patches}")
    edges = [round(i * side / n) for i in range(n + 1)]
    return [
        (top, left, bottom - top, right - left)
        for top, bottom in zip(edges, edges[1:], strict=False)
        for left, right in zip(edges, edges[1:], strict=False)
    ]


def random_corners(rng: np.random.Generator, batch: int, side: int, patches: int, size: int) -> np.ndarray:
    """Draw one patch uniformly inside each cell of the grid: top and left, (batch, patches, 2) int64.

    Raises `LsegreproError` if a patch does not fit in a cell.

    >>> random_corners(np.random.default_rng(0), 2, 300, 9, 95).shape
    (2, 9, 2)
    """
    cells = np.array(grid(side, patches))  # (N, 4)
    room = cells[:, 2:] - size + 1  # (N, 2): positions a patch can take in each cell
    if room.min() < 1:
        raise LsegreproError(f"a patch of {size} pixels does not fit in a cell of {cells[:, 2:].min()} pixels: the "
                             f"image of {side} pixels is cut in {patches} cells")
    return cells[:, :2] + rng.integers(0, room, size=(batch, patches, 2))


def cut(images: Tensor, corners: np.ndarray, size: int) -> Tensor:
    """Cut patches out of images (B, C, H, W) at corners (B, N, 2), top and left: (B*N, C, size, size).

    The patches of the first image come first; channels are last in memory.

    >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> cut(x, np.array([[[1, 2]]]), 2)[0, 0]
    tensor([[ 6.,  7.],
            [10., 11.]])
    """
    corners = to_device(corners, images.device)
    image = torch.arange(len(corners), device=images.device)[:, None, None]
    rows = corners[..., 0, None] + torch.arange(size, device=images.device)  # (B, N, size)
    # A row of a patch is copied in one piece.
    windows = images.movedim(1, -1).unfold(2, size, 1).transpose(-1, -2)  # (B, H, W - size + 1, size, C), a view
    pixels = windows[image, rows, corners[..., 1, None]]  # (B, N, size, size, C)
    return pixels.contiguous().flatten(0, 1).movedim(-1, 1)  # (B*N, C, size, size)


def to_device(values: np.ndarray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Copy an array to the device without waiting for the work that is queued there.

    >>> to_device(np.arange(3), torch.device("cpu"))
    tensor([0, 1, 2])
    """
    tensor = torch.as_tensor(values, dtype=dtype)
    # A copy from pageable memory makes the host wait until the device has nothing left to do.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def jitter(images: Tensor, rng: np.random.Generator, ranges: Jitter) -> Tensor:
    """Flip, rotate, scale, brighten and change the contrast of each image of a batch.

    Flip, rotation and scaling are one bilinear resampling about the centre; what falls outside is filled by reflection,
    so no artificial edge appears. Takes and gives (B, 3, H, W) float32 in [-1, 1].

    >>> x = torch.rand(2, 3, 8, 8)
    >>> from lsegrepro.config import NO_JITTER
    >>> torch.equal(jitter(x, np.random.default_rng(0), NO_JITTER), x)
    True
    """
    batch, _, height, width = images.shape
    flip = np.where(rng.random(batch) < ranges.flip, -1.0, 1.0)
    angle = np.radians(rng.uniform(-1, 1, batch) * ranges.rotation)
    zoom = ranges.scaling ** rng.uniform(-1, 1, batch)
    shift = rng.uniform(-1, 1, batch) * ranges.brightness
    gain = ranges.contrast ** rng.uniform(-1, 1, batch)

    cos, sin, aspect = np.cos(angle) / zoom, np.sin(angle) / zoom, height / width
    values = np.stack([flip, flip * cos, -flip * sin * aspect, sin / aspect, cos, gain, shift])  # (7, B)
    columns = to_device(values, images.device, images.dtype)[..., None, None, None]
    flip, xx, xy, yx, yy, gain, shift = columns  # each (B, 1, 1, 1)
    if ranges.rotation == 0 and ranges.scaling == 1:
        images = torch.where(flip < 0, images.flip(-1), images)
    else:
        x = _centres(width, images)
        y = _centres(height, images)[:, None]
        # As functional.affine_grid, which spends most of its time in a product of (H*W, 3) and (3, 2) matrices.
        positions = torch.stack([(x * xx + y * xy)[:, 0], (x * yx + y * yy)[:, 0]], -1)  # (B, H, W, 2)
        images = functional.grid_sample(images, positions, padding_mode="reflection", align_corners=False)
    if ranges.brightness == 0 and ranges.contrast == 1:
        return images
    centre = images.mean((1, 2, 3), keepdim=True)
    return images.sub_(centre).mul_(gain).add_(centre + shift).clamp_(-1, 1)  # in place: no longer the caller's tensor


def _centres(side: int, like: Tensor) -> Tensor:
    """Centres of the pixels along a side, (side,), where the side reaches from -1 to 1."""
    return torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device) * (side - 1) / side
