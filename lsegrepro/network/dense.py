"""Dense inference: a score for every pixel, as if a patch had been cut around each (Section 3.3).

The network's pooling has stride 1 here. Each pooling then leaves p x p interleaved images ("fragments"); taking them
apart keeps every convolution dense. This is the "efficient inference" the paper takes from its reference [13]: the
scores are those of the patches, to float32 rounding, at less than a hundredth of the work.

Four things bring it to the machine's speed. Activations are channels-last throughout. The last convolution, four fifths
of all operations, is done by `winograd`. The layers after the first pooling run on one group of fragments at a time, so
that what one layer writes is still in the processor's cache when the next one reads it; memory stays bounded. And a
tanh is made of a sigmoid, which torch computes six times faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import paper
from ..data.images import short_side
from . import model, patches
from .devices import autocast
from .model import PatchNet
from .winograd import Winograd

GROUP = 12_288
"""Pixels whose fragments go through the later layers together, on a CPU: 640 float32 values a pixel fill a cache of
32 MiB."""

TILE = 262_144
"""Pixels of the largest square scored at once; larger images are split into overlapping tiles."""


def pad(image: np.ndarray, size: int) -> np.ndarray:
    """Pad (..., H, W, 3) by (size - 1) / 2 on each side, so that every pixel has a patch centred on it.

    By reflection; along an axis too short to reflect, by repetition of the border.

    >>> pad(np.zeros((100, 40, 3), np.uint8), 95).shape
    (194, 134, 3)
    """
    margin = (size - 1) // 2
    for axis in (-3, -2):
        width = [(0, 0)] * image.ndim
        width[axis] = (margin, margin)
        image = np.pad(image, width, mode="reflect" if image.shape[axis] > margin else "edge")
    return image


def score_map(net: PatchNet, image: np.ndarray, *, precision: str = "float32", tile: int = TILE) -> Tensor:
    """Scores of the patches centred on each pixel, on the device of the network.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8, any size.
    precision : {"float32", "bfloat16"}
        float32 equals the patch scores to 1e-5; bfloat16 is off by about 1e-2, and float32 on a device without it.
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
    return score_maps(net, image[None], precision=precision, tile=tile)[0]


@torch.inference_mode()
def score_maps(net: PatchNet, images: np.ndarray, *, precision: str = "float32", tile: int = TILE) -> Tensor:
    """`score_map` of images (B, H, W, 3) of one size in one pass, which fills a GPU better: (B, 2, H, W) float32."""
    size = net.architecture.patch
    device = next(net.parameters()).device
    count, height, width = images.shape[:3]
    padded = pad(images, size)
    out = torch.empty(count, 2, height, width)
    rows, columns = _tile_shape(height, width, size - 1, tile)
    with autocast(device, precision):
        conv3 = last_convolution(net)  # its filters are transformed once for all tiles
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                bottom, right = min(top + rows, height), min(left + columns, width)
                piece = torch.from_numpy(padded[:, top : bottom + size - 1, left : right + size - 1].copy())
                x = patches.to_float(piece.to(device))  # (B, 3, h + sz - 1, w + sz - 1)
                out[:, :, top:bottom, left:right] = dense(net, x, conv3).float().cpu()
    return out


def _tile_shape(height: int, width: int, overlap: int, tile: int) -> tuple[int, int]:
    """Rows and columns of nearly equal tiles; with their overlap none is larger than the square of `tile` pixels.

    >>> _tile_shape(375, 500, 94, 2**18), _tile_shape(4000, 6000, 94, 2**18), _tile_shape(1, 10**6, 94, 2**18)
    ((375, 500), (500, 500), (1, 3760))
    """
    side = math.isqrt(tile)
    area = (side + overlap) ** 2
    rows = min(height, side)
    columns = min(width, area // (rows + overlap) - overlap)
    rows = min(height, area // (columns + overlap) - overlap)
    return -(-height // -(-height // rows)), -(-width // -(-width // columns))


def dense(net: PatchNet, x: Tensor, conv3: Winograd | Direct) -> Tensor:
    """Scores of every patch of padded images, by max-pooling fragments: (B, 3, h + sz - 1, w + sz - 1) to (B, 2, h, w).

    `conv3` is what `last_convolution` makes of the network.
    """
    arch = net.architecture
    (p1, p2), size = arch.pools, arch.patch
    batch, height, width = x.shape[0], x.shape[2] - size + 1, x.shape[3] - size + 1
    # All fragments have one size if the image is extended to a multiple of the total stride.
    x = functional.pad(x, (0, -width % (p1 * p2), 0, -height % (p1 * p2)))
    x = net.conv1(channels_last(x))  # its weights are tiny against its input: one pass over the whole tile
    x = split(pool(x, p1), p1)  # (B*p1*p1, h1, ., .)
    pixels = batch * (height + -height % (p1 * p2)) * (width + -width % (p1 * p2))
    groups = 1 if x.is_cuda else max(1, pixels // GROUP)
    scores = torch.cat([_tail(net, conv3, part) for part in x.chunk(min(groups, len(x)))])  # (B*p1*p1, 2, ., .)
    return join(scores, p1)[:, :, :height, :width]


def last_convolution(net: PatchNet) -> Winograd | Direct:
    """The third layer as `dense` computes it: Winograd in float32, a plain convolution under autocast."""
    # Winograd's transforms would not survive the rounding of bfloat16.
    return Direct(net.conv3) if torch.is_autocast_enabled(net.conv3.weight.device.type) else Winograd(net.conv3)


def _tail(net: PatchNet, conv3: Winograd | Direct, x: Tensor) -> Tensor:
    """All layers after the first pooling, on K of its fragments: (K, h1, a, b) to (K, 2, a', b')."""
    p2 = net.architecture.pools[1]
    x = pool(net.conv2(tanh_(x)), p2)
    x = split(x, p2, rows_first=isinstance(conv3, Winograd))  # (K*p2*p2, h2, ., .)

    def full_layers(x: Tensor) -> Tensor:  # (R, h3) to (R, 2)
        return net.bound(net.full5(tanh_(net.full4(tanh_(x)))), tanh_)

    return join(conv3(tanh_(x), full_layers), p2)


class Direct:
    """A convolution by torch itself, with the interface of `Winograd`."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv

    def __call__(self, x: Tensor, finish: Callable[[Tensor], Tensor]) -> Tensor:
        rows = channels_last(self.conv(x)).permute(0, 2, 3, 1)
        return finish(rows).permute(0, 3, 1, 2)


def tanh_(x: Tensor) -> Tensor:
    """tanh in place, as 2 sigmoid(2 x) - 1 where that is the faster: float32 on a CPU, to 2e-7.

    >>> tanh_(torch.tensor([-9.0, 0.0, 0.5]))
    tensor([-1.0000,  0.0000,  0.4621])
    """
    if x.is_cuda or x.dtype != torch.float32:
        return x.tanh_()
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def channels_last(x: Tensor) -> Tensor:
    """The same tensor in channels-last memory format."""
    return x.contiguous(memory_format=torch.channels_last)


def pool(x: Tensor, size: int) -> Tensor:
    """Max-pooling with stride 1: (B, C, H, W) to (B, C, H - size + 1, W - size + 1).

    A maximum over a square is one over rows, then one over columns; each is made of maxima over 2, 4, 8 ... neighbours.

    >>> x = torch.rand(1, 2, 9, 9)
    >>> torch.equal(pool(x, 3), functional.max_pool2d(x, 3, 1))
    True
    """
    for axis in (2, 3):
        length, reach = x.shape[axis] - size + 1, 1
        while reach < size:
            shift = min(reach, size - reach)
            size_left = x.shape[axis] - shift
            x = torch.maximum(x.narrow(axis, 0, size_left), x.narrow(axis, shift, size_left))
            reach += shift
        x = x.narrow(axis, 0, length)
    return x


def split(x: Tensor, stride: int, *, rows_first: bool = False) -> Tensor:
    """Take interleaved images apart: (B, C, H, W) to (B*s*s, C, ceil(H/s), ceil(W/s)).

    In memory the order is fragment, row, column, channel (channels last) or, with `rows_first`, row, column, fragment,
    channel. Fragments that would be shorter are extended by zeros, which `dense` never reads.
    """
    batch, channels, height, width = x.shape
    a, b = -(-height // stride), -(-width // stride)
    if rows_first:
        out = x.new_zeros(a, b, batch, stride, stride, channels).permute(2, 3, 4, 0, 1, 5)
    else:
        out = x.new_zeros(batch, stride, stride, a, b, channels)
    for i in range(stride):
        for j in range(stride):
            piece = x[:, :, i::stride, j::stride].permute(0, 2, 3, 1)
            out[:, i, j, : piece.shape[1], : piece.shape[2]] = piece
    return out.flatten(0, 2).permute(0, 3, 1, 2)


def join(x: Tensor, stride: int) -> Tensor:
    """Interleave fragments again, the inverse of `split`: (B*s*s, C, a, b) to (B, C, a*s, b*s)."""
    count, channels, a, b = x.shape
    x = x.reshape(count // stride**2, stride, stride, channels, a, b)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(-1, channels, a * stride, b * stride)


def probability_map(
    net: PatchNet, image: np.ndarray, *, scale_to: int | None = paper.IMAGE_SIDE, precision: str = "float32"
) -> np.ndarray:
    """Probability of foreground at every pixel of a photograph, p(c = 1 | x) of equation (5).

    `scale_to` is the short side to which the image (H, W, 3) uint8 is scaled for the network, 300 pixels in training;
    None is its own size. The probabilities are resized to (H, W) bilinearly: (H, W) float32, in [0.1192, 0.8808].
    """
    height, width = image.shape[:2]
    scaled = image if scale_to is None else short_side(image, scale_to)
    p = model.foreground_probability(score_map(net, scaled, precision=precision).permute(1, 2, 0))
    if p.shape != (height, width):
        p = functional.interpolate(p[None, None], (height, width), mode="bilinear", antialias=True)[0, 0]
    return p.numpy()


def to_prob_u16(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in 16 bits, floor(p * 65535): what evidence and evaluation work on.

    >>> to_prob_u16(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 32767, 65535]
    """
    exact = probabilities.astype(np.float64)
    exact *= 65535  # in place: a photograph may have a hundred million pixels
    return np.floor(exact, out=exact).astype(np.uint16)
