"""What a score for every pixel costs, counted from the architecture. No torch.

A multiply-add counts as two operations; biases, maxima and tanh, about 1 % of the whole, are left out.
"""

from __future__ import annotations

import math

from ..paper import Architecture

LAYERS = ("conv1", "conv2", "conv3", "full4", "full5")


def layer_flops(architecture: Architecture) -> dict[str, int]:
    """Operations of each layer for one position of its output (Table 1).

    >>> from lsegrepro.paper import ARCHITECTURES
    >>> layer_flops(ARCHITECTURES["LSE1"])["conv1"] == 2 * 40 * 3 * 8 * 8
    True
    """
    inputs = (3, *architecture.hidden)
    outputs = (*architecture.hidden, 2)
    areas = (*(side**2 for side in architecture.filters), 1, 1)
    return {name: 2 * i * o * a for name, i, o, a in zip(LAYERS, inputs, outputs, areas, strict=True)}


def dense_flops(architecture: Architecture, height: int, width: int) -> int:
    """Operations of every layer at stride 1 over the pixels of an image: what the floor counts.

    Each layer is counted once a pixel, by its definition. The margin around the image is left
    out, so no way of doing it has exactly these operations; an algorithm that replaces
    multiplications, as Winograd's does, can have fewer.

    >>> from lsegrepro.paper import ARCHITECTURES
    >>> round(dense_flops(ARCHITECTURES["LSE1"], 375, 500) / 1e9)
    153
    """
    return height * width * sum(layer_flops(architecture).values())


def reference_flops(architecture: Architecture, height: int, width: int) -> dict[str, int]:
    """Operations of each way in `references`, for an image (height, width).

    Patch by patch, the first layers are computed again in every patch that a pixel lies in.
    Shift-and-stitch computes them once a shift. Dilation computes everything once, with the
    margin that the patches at the border need.

    >>> from lsegrepro.paper import ARCHITECTURES
    >>> {way: round(n / dense_flops(ARCHITECTURES["LSE1"], 375, 500), 1)
    ...  for way, n in reference_flops(ARCHITECTURES["LSE1"], 375, 500).items()}
    {'patches': 174.8, 'dilation': 1.0, 'shifts': 9.0}
    """
    once = _strided(architecture, architecture.patch)
    stride = math.prod(architecture.pools)
    shifted = [
        [sum(column) for column in zip(*(_strided(architecture, shifted_length(architecture, length, shift))
                                         for shift in range(min(stride, length))), strict=True)]
        for length in (height, width)
    ]
    dilated = [_dilated(architecture, length) for length in (height, width)]
    return {
        "patches": height * width * _total(architecture, once, once),
        "dilation": _total(architecture, *dilated),
        "shifts": _total(architecture, *shifted),
    }


def shifted_length(architecture: Architecture, length: int, shift: int) -> int:
    """Side of the padded image that the strided network needs for pixels shift, shift + S, ... of `length`.

    S is the total stride, the product of the pooling windows.
    """
    stride = math.prod(architecture.pools)
    return architecture.patch + stride * (-(-(length - shift) // stride) - 1)


def _strided(architecture: Architecture, length: int) -> list[int]:
    """Positions of each layer's output along a side of `length` input pixels, as in training."""
    (k1, k2, k3), (p1, p2) = architecture.filters, architecture.pools
    conv1 = length - k1 + 1
    conv2 = conv1 // p1 - k2 + 1
    conv3 = conv2 // p2 - k3 + 1
    return [conv1, conv2, conv3, conv3, conv3]


def _dilated(architecture: Architecture, length: int) -> list[int]:
    """The same along a side of `length` pixels that each get a score, at stride 1."""
    (k1, k2, _), (p1, _) = architecture.filters, architecture.pools
    conv1 = length + architecture.patch - k1
    conv2 = conv1 - (p1 - 1) - (k2 - 1) * p1
    return [conv1, conv2, length, length, length]


def _total(architecture: Architecture, rows: list[int], columns: list[int]) -> int:
    flops = layer_flops(architecture).values()
    return sum(n * a * b for n, a, b in zip(flops, rows, columns, strict=True))
