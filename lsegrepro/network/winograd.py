"""Winograd convolution: few multiplications, for many small images of one size (Winograd, 1980).

The m x m outputs of a k x k convolution are the coefficients of a product of polynomials,
transposed (Toom and Cook; Lavin and Gray, 2016, brought it to networks)::

    Y = A' [ (G g G') * (B' d B) ] A

with g the filter, d the n x n tile of the input, n = m + k - 1, and * the product of elements: n^2 multiplications
where the definition has m^2 k^2. All three transforms are matrix products, made here for all tiles of a row, all images
and all channels at once, so that nearly all time goes into the library's matrix product.

With eight points a 5x5 layer needs 6.3 times and a 7x7 layer 3.1 times fewer multiplications. More points would save
more and cost digits: ten of them five times the rounding error of eight, which then shows in the fifth decimal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""Where the polynomials are evaluated, besides infinity: tiles of 8 x 8."""


def matrices(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The transforms of m outputs of a filter of k values: A' (m, n), B' (n, n), G (n, k), float64.

    In one dimension ``A' @ ((G @ g) * (B' @ d))`` is the valid correlation of d (n,) with g (k,).

    >>> a, b, g = matrices(3)
    >>> d, f = np.arange(8.0), np.array([1.0, 2.0, 4.0])
    >>> bool(np.allclose(a @ ((g @ f) * (b @ d)), np.correlate(d, f)))
    True
    """
    n = len(POINTS) + 1

    def powers(count: int) -> np.ndarray:
        rows = np.array(POINTS)[:, None] ** np.arange(count)
        return np.vstack([rows, np.eye(count)[-1]])  # at infinity the leading coefficient is left

    a, b, g = powers(n - k + 1).T, np.linalg.inv(powers(n)).T, powers(k)
    # A power of two moves between filter and tile without rounding, and keeps both of one size.
    scale = 2.0 ** np.round(np.log2(np.abs(g).max(axis=1, keepdims=True)))
    return a, b * scale, g / scale


class Winograd:
    """A convolution of stride 1 without padding, its square filters of at most 7 values a side transformed once.

    >>> conv = nn.Conv2d(3, 4, 5)
    >>> x = torch.rand(2, 3, 12, 9)
    >>> with torch.inference_mode():
    ...     y = Winograd(conv)(x, lambda rows: rows)
    ...     torch.allclose(y, conv(x), atol=1e-5)
    True
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        self.k = conv.kernel_size[0]
        a, b, g = (torch.from_numpy(m).to(conv.weight.device) for m in matrices(self.k))
        self.m, self.n = a.shape
        filters = torch.einsum("ir,js,ocrs->ijco", g, g, conv.weight.detach().double())
        self.filters = filters.float().flatten(0, 1).contiguous()  # (n*n, C, K)
        self.tile, self.output = b.float(), torch.kron(a, a).float()  # (n, n), (m*m, n*n)
        self.bias = conv.bias

    def __call__(self, x: Tensor, finish: Callable[[Tensor], Tensor]) -> Tensor:
        """Convolve, and apply `finish` while the output is still in the processor's cache.

        Takes x (F, C, H, W) float32, fastest where its memory runs over rows, columns, images, channels, and what
        follows at each position by itself, (R, K) to (R, K'). Gives (F, K', H - k + 1, W - k + 1).
        """
        (images, channels, height, width), (m, n) = x.shape, (self.m, self.n)
        high, wide = height - self.k + 1, width - self.k + 1
        down, across = -(-high // m), -(-wide // m)  # tiles
        x = x.permute(2, 3, 0, 1)
        columns = across * m + self.k - 1
        if not (x.is_contiguous() and width == columns and high == down * m):
            padded = x.new_zeros(down * m + self.k - 1, columns, images, channels)
            padded[:height, :width] = x
            x = padded
        # One matrix takes the tiles out of a row and transforms them.
        transform = x.new_zeros(n, across, columns)
        for tile in range(across):
            transform[:, tile, tile * m : tile * m + n] = self.tile
        outputs = []
        for tile in range(down):
            slab = x[tile * m : tile * m + n].flatten(1)  # (n, columns*F*C)
            slab = (self.tile @ slab).view(n, columns, -1)
            tiles = transform.flatten(0, 1) @ slab  # (n, n*across, F*C)
            products = torch.bmm(tiles.view(n * n, across * images, channels), self.filters)  # (n*n, across*F, K)
            rows = (self.output @ products.flatten(1)).view(m * m * across * images, -1)  # (m*m*across*F, K)
            outputs.append(finish(rows.add_(self.bias)).view(m, m, across, images, -1))
        y = torch.stack(outputs).permute(4, 5, 0, 1, 3, 2)  # (F, K', down, m, across, m)
        return y.reshape(images, -1, down * m, across * m)[:, :, :high, :wide]
