"""A score for every pixel, as if a patch had been cut around each (Section 3.3).

The network's pooling has stride 1 here. Each pooling then leaves p x p interleaved
images ("fragments"); taking them apart keeps every convolution dense. This is the
"efficient inference" the paper takes from its reference [13]: the scores are those
of the patches, to float32 rounding, at less than a hundredth of the work.

Activations are channels-last throughout. The layers after the first pooling run on
one group of fragments at a time, so that what one layer writes is still in the
processor's cache when the next one reads it, and memory stays bounded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from . import model, paper, patches
from .classification import autocast
from .data.images import short_side
from .model import PatchNet

GROUP = 16_384
"""Pixels scored between two visits to memory, on a CPU: 320 float32 values for each fit in a 32 MiB cache."""

TILE = 262_144
"""Largest number of pixels scored at once; larger images are cut in tiles with overlap."""


def pad(image: np.ndarray, size: int) -> np.ndarray:
    """Pad by (size - 1) / 2 on each side, so that every pixel has a patch centred on it.

    By reflection; along an axis too short to reflect, by repetition of the border.

    >>> pad(np.zeros((100, 40, 3), np.uint8), 95).shape
    (194, 134, 3)
    """
    margin = (size - 1) // 2
    for axis in (0, 1):
        width = [(0, 0)] * image.ndim
        width[axis] = (margin, margin)
        image = np.pad(image, width, mode="reflect" if image.shape[axis] > margin else "edge")
    return image


@torch.inference_mode()
def score_map(net: PatchNet, image: np.ndarray, *, precision: str = "float32", tile: int = TILE) -> Tensor:
    """Scores of the patches centred on each pixel.

    Parameters
    ----------
    net : PatchNet
        On the device that is to do the work.
    image : ndarray
        (H, W, 3) uint8, any size.
    precision : {"float32", "bfloat16"}
        float32 equals the patch scores to 1e-5; bfloat16 is faster and off by about 1e-2.
    tile : int
        Pixels scored at once; bounds the memory.

    Returns
    -------
    Tensor
        (2, H, W) float32 on the CPU: F of equation (2), foreground and background.

    Examples
    --------
    >>> net = PatchNet(paper.ARCHITECTURES["LSE1"])
    >>> score_map(net, np.zeros((30, 40, 3), np.uint8)).shape
    torch.Size([2, 30, 40])
    """
    size = net.architecture.patch
    device = next(net.parameters()).device
    height, width = image.shape[:2]
    padded = pad(image, size)
    out = torch.empty(2, height, width)
    columns = min(width, max(size, tile // min(height, max(size, int(tile**0.5)))))
    rows = max(1, tile // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            bottom, right = min(top + rows, height), min(left + columns, width)
            piece = torch.from_numpy(padded[top : bottom + size - 1, left : right + size - 1].copy())
            x = patches.to_float(piece.to(device)[None])  # (1, 3, h + sz - 1, w + sz - 1)
            with autocast(device, precision):
                out[:, top:bottom, left:right] = dense(net, x)[0].float().cpu()
    return out


def dense(net: PatchNet, x: Tensor) -> Tensor:
    """Scores of every patch of padded images, by max-pooling fragments.

    Parameters
    ----------
    x : Tensor
        (B, 3, h + sz - 1, w + sz - 1) float, channels last in memory.

    Returns
    -------
    Tensor
        (B, 2, h, w).
    """
    arch = net.architecture
    (p1, p2), size = arch.pools, arch.patch
    batch, height, width = x.shape[0], x.shape[2] - size + 1, x.shape[3] - size + 1
    # All fragments have one size if the image is extended to a multiple of the total stride.
    x = functional.pad(x, (0, -width % (p1 * p2), 0, -height % (p1 * p2)))
    # conv1's weights are tiny beside its input: one pass over the whole tile.
    x = split(pool(net.conv1(channels_last(x)), p1), p1)  # (B*p1*p1, h1, ., .)
    pixels = batch * (height + -height % (p1 * p2)) * (width + -width % (p1 * p2))
    groups = 1 if x.is_cuda else max(1, pixels // GROUP)
    scores = torch.cat([_tail(net, part) for part in x.chunk(min(groups, len(x)))])  # (B*p1*p1, 2, ., .)
    return join(scores, p1)[:, :, :height, :width]


def _tail(net: PatchNet, x: Tensor) -> Tensor:
    """All layers after the first pooling, on some of its fragments: (K, h1, a, b) to (K, 2, a', b')."""
    p2 = net.architecture.pools[1]
    x = split(pool(net.conv2(x.tanh()), p2), p2).tanh_()  # (K*p2*p2, h2, ., .)
    x = net.conv3(x).tanh_()  # (K*p2*p2, h3, ., .)
    x = net.full4(channels_last(x).permute(0, 2, 3, 1)).tanh_()  # (K*p2*p2, ., ., h4): one matrix product
    return join(net.full5(x).tanh_().permute(0, 3, 1, 2), p2)


def channels_last(x: Tensor) -> Tensor:
    """The same tensor with its channels adjacent in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def pool(x: Tensor, size: int) -> Tensor:
    """Max-pooling with stride 1: (B, C, H, W) to (B, C, H - size + 1, W - size + 1).

    A maximum over a square is one over rows, then one over columns; each is made of
    maxima over 2, 4, 8, ... neighbours.

    >>> x = torch.rand(1, 2, 9, 9)
    >>> torch.equal(pool(x, 3), functional.max_pool2d(x, 3, 1))
    True
    """
    for axis in (2, 3):
        length, reach = x.shape[axis] - size + 1, 1
        while reach < size:
            shift = min(reach, size - reach)
            keep = x.shape[axis] - shift
            x = torch.maximum(x.narrow(axis, 0, keep), x.narrow(axis, shift, keep))
            reach += shift
        x = x.narrow(axis, 0, length)
    return x


def split(x: Tensor, stride: int) -> Tensor:
    """Take interleaved images apart: (B, C, H, W) to (B*s*s, C, ceil(H/s), ceil(W/s)), channels last.

    Fragments that would be shorter are extended by zeros, which `dense` never reads.
    """
    batch, channels, height, width = x.shape
    a, b = -(-height // stride), -(-width // stride)
    out = x.new_zeros(batch, stride, stride, a, b, channels)
    for i in range(stride):
        for j in range(stride):
            piece = x[:, :, i::stride, j::stride].permute(0, 2, 3, 1)
            out[:, i, j, : piece.shape[1], : piece.shape[2]] = piece
    return out.view(-1, a, b, channels).permute(0, 3, 1, 2)


def join(x: Tensor, stride: int) -> Tensor:
    """Interleave fragments again, the inverse of `split`: (B*s*s, C, a, b) to (B, C, a*s, b*s)."""
    count, channels, a, b = x.shape
    x = x.reshape(count // stride**2, stride, stride, channels, a, b)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(-1, channels, a * stride, b * stride)


def probability_map(
    net: PatchNet, image: np.ndarray, *, scale_to: int | None = paper.IMAGE_SIDE, precision: str = "float32"
) -> np.ndarray:
    """Probability of foreground at every pixel of a photograph, p(c = 1 | x) of equation (5).

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    scale_to : int or None
        Short side at which the network sees the image (training saw 300 pixels); the
        probabilities are brought back to (H, W) bilinearly. None keeps the image's own size.

    Returns
    -------
    ndarray
        (H, W) float32, in [0.1192, 0.8808].
    """
    height, width = image.shape[:2]
    seen = image if scale_to is None else short_side(image, scale_to)
    p = model.foreground_probability(score_map(net, seen, precision=precision).permute(1, 2, 0))
    if p.shape != (height, width):
        p = functional.interpolate(p[None, None], (height, width), mode="bilinear", antialias=True)[0, 0]
    return p.numpy()


def to_codes(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as 16-bit codes, floor(p * 65535): what evidence and evaluation work on.

    >>> to_codes(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 32767, 65535]
    """
    return np.floor(probabilities.astype(np.float64) * 65535).astype(np.uint16)


