"""Other ways to compute a score for every pixel, as plain as possible: to compare with and to check against.

Each takes a network and an image (H, W, 3) uint8 and gives the scores that `lsegrepro.network.dense.score_map` gives.
Activations are channels-last, the faster layout for all of them.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lsegrepro.network.dense import pad
from lsegrepro.network.model import PatchNet
from lsegrepro.network.patches import cut, to_float


def padded(net: PatchNet, image: np.ndarray) -> Tensor:
    """The image as the network reads it: (1, 3, H + sz - 1, W + sz - 1) on its device."""
    pixels = torch.from_numpy(pad(image, net.architecture.patch)).to(next(net.parameters()).device)
    return to_float(pixels[None])


@torch.inference_mode()
def patch_by_patch(net: PatchNet, image: np.ndarray, places: np.ndarray) -> Tensor:
    """Cut a patch around some pixels and score it, the definition of Section 3.3.

    Parameters
    ----------
    places : ndarray
        (n, 2) int, row and column of each pixel.

    Returns
    -------
    Tensor
        (2, n) float32 on the CPU.
    """
    return net(cut(padded(net, image), places[None], net.architecture.patch)).T.cpu()


@torch.inference_mode()
def dilation(net: PatchNet, image: np.ndarray) -> Tensor:
    """Run the network at stride 1, its later filters dilated by the strides that the poolings lost.

    After a pooling window of p1 the neighbours of a training-time activation lie p1 pixels
    apart, after the second p1 * p2: the filters reach over the gaps.

    Returns
    -------
    Tensor
        (2, H, W) float32 on the CPU.
    """
    p1, p2 = net.architecture.pools
    x = net.conv1(padded(net, image))
    x = functional.max_pool2d(x, p1, stride=1).tanh()
    x = functional.conv2d(x, net.conv2.weight, net.conv2.bias, dilation=p1)
    x = functional.max_pool2d(x, p2, stride=1, dilation=p1).tanh()
    x = functional.conv2d(x, net.conv3.weight, net.conv3.bias, dilation=p1 * p2).tanh()
    return _full(net, x)[0].cpu()


@torch.inference_mode()
def shift_and_stitch(net: PatchNet, image: np.ndarray, limit: int | None = None) -> Tensor:
    """Run the network with its strides on the image shifted by every offset of the total stride.

    A pass scores every S-th pixel of every S-th row, S = p1 * p2; S * S passes score all.

    Parameters
    ----------
    limit : int, optional
        Do only so many passes, evenly spaced; the other pixels are nan.

    Returns
    -------
    Tensor
        (2, H, W) float32 on the CPU.
    """
    arch, (height, width) = net.architecture, image.shape[:2]
    stride, x = math.prod(arch.pools), padded(net, image)
    scores = torch.full((2, height, width), math.nan)
    shifts = list(itertools.product(range(min(stride, height)), range(min(stride, width))))
    step = 1 if limit is None else max(1, len(shifts) // limit)
    for top, left in shifts[::step][:limit]:
        rows, columns = (arch.patch + stride * (-(-(length - shift) // stride) - 1)
                         for length, shift in ((height, top), (width, left)))
        part = x[:, :, top : top + rows, left : left + columns]
        scores[:, top::stride, left::stride] = strided(net, part)[0].cpu()
    return scores


def passes(net: PatchNet, image: np.ndarray) -> int:
    """Passes that `shift_and_stitch` takes without a limit: 256 for both architectures, if the image is large."""
    return math.prod(min(math.prod(net.architecture.pools), side) for side in image.shape[:2])


def strided(net: PatchNet, x: Tensor) -> Tensor:
    """Run the network as in training on images not smaller than a patch: (B, 3, a, b) to (B, 2, a', b')."""
    p1, p2 = net.architecture.pools
    x = functional.max_pool2d(net.conv1(x), p1).tanh()
    x = functional.max_pool2d(net.conv2(x), p2).tanh()
    return _full(net, net.conv3(x).tanh())


def _full(net: PatchNet, x: Tensor) -> Tensor:
    """The two full layers at every position, as matrix products: (B, h3, a, b) to (B, 2, a, b)."""
    return net.full5(net.full4(x.permute(0, 2, 3, 1)).tanh_()).tanh_().permute(0, 3, 1, 2)
