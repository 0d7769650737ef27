"""Sparse gradient of a convolution followed by max-pooling.

Only the largest value of each pooling window has a gradient: one position in 16 of the first layer of LSE1, one in 64
of LSE2. Plain backpropagation writes zeros for the others and multiplies them all; here the input windows of the maxima
are added up, weighted by their gradients: a sum over rows of a table, for which torch has a fast kernel on CPUs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TABLE_BYTES = 4 * 2**20
"""Largest table of a sum: as long as it fits in the processor's cache, the sum is three times as fast."""


def pooled_convolution(x: Tensor, weight: Tensor, bias: Tensor, pool: int) -> Tensor:
    """Convolve with stride 1, then take the maximum of each window of `pool` x `pool`: pool(W x + b) of equation (2).

    The values, and the gradients up to rounding, are those of the two operations one after the other. Takes x
    (B, C, H, W), weight (K, C, k, k) and bias (K,); gives (B, K, (H - k + 1) // pool, (W - k + 1) // pool).

    >>> x, weight, bias = torch.rand(2, 3, 9, 9), torch.rand(4, 3, 2, 2), torch.rand(4)
    >>> expected = functional.max_pool2d(functional.conv2d(x, weight, bias), 4)
    >>> torch.equal(pooled_convolution(x, weight, bias, 4), expected)
    True
    """
    sparse = (torch.is_grad_enabled() and not x.requires_grad and x.device.type == "cpu"
              and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu"))
    if not sparse:
        return functional.max_pool2d(functional.conv2d(x, weight, bias), pool)
    return _PooledConvolution.apply(x, weight, bias, pool)


class _PooledConvolution(torch.autograd.Function):
    """`pooled_convolution` with the gradient of `weight` and `bias` taken at the maxima alone."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, pool: int) -> Tensor:
        values, maxima = functional.max_pool2d(functional.conv2d(x, weight, bias), pool, return_indices=True)
        ctx.save_for_backward(x, maxima)
        ctx.filter = weight.shape
        return values

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor, Tensor, None]:
        x, maxima = ctx.saved_tensors
        filters, channels, k, _ = ctx.filter
        pixels = x.movedim(1, -1).contiguous()  # (B, H, W, C)
        _, height, width, _ = pixels.shape
        columns = width - k + 1  # positions of a filter in a row
        row_offsets = torch.arange(k, dtype=torch.int32)[:, None] * columns
        chunk = max(1, TABLE_BYTES // (height * columns * k * channels * x.element_size()))  # images at once
        total = torch.zeros(filters * k, k * channels)
        chunks = zip(pixels.split(chunk), maxima.split(chunk), gradient.split(chunk), strict=True)
        for images, positions, gradients in chunks:
            batch = len(images)
            # Row (b, y, x) of the table: the k pixels that begin there, in one piece.
            table = images.as_strided(
                (batch, height, columns, k * channels), (height * width * channels, width * channels, channels, 1),
                images.storage_offset(),
            ).reshape(-1, k * channels)
            # `positions` counts those of the convolution's output: as wide as the table, k - 1 rows lower.
            first_row = torch.arange(batch).mul_(height * columns)[:, None, None, None]
            corners = (positions + first_row).transpose(0, 1).reshape(filters, 1, -1).to(torch.int32)
            rows = corners + row_offsets  # (K, k, maxima of the chunk): the table's rows that make a window
            weights = gradients.transpose(0, 1).reshape(filters, 1, -1).expand(rows.shape)
            offsets = torch.arange(filters * k, dtype=torch.int32) * rows.shape[-1]
            total += functional.embedding_bag(rows.reshape(-1), table, offsets, mode="sum",
                                              per_sample_weights=weights.reshape(-1))
        return None, total.view(filters, k, k, channels).movedim(-1, 1), gradient.sum((0, 2, 3)), None
