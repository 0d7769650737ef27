"""The convolution with few multiplications against the definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lsegrepro.network.winograd import Winograd, matrices


def convolution(inputs: int, outputs: int, k: int, seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(inputs, outputs, k)


def test_five_and_seven_need_fewer_multiplications():
    for k, saved in ((5, 6.25), (7, 3.0625)):
        a, b, _ = matrices(k)
        assert a.shape[0] ** 2 * k**2 / len(b) ** 2 == saved


@settings(max_examples=25)
@given(
    k=st.sampled_from([3, 5, 7]), images=st.integers(1, 5), channels=st.integers(1, 4), outputs=st.integers(1, 4),
    high=st.integers(1, 11), wide=st.integers(1, 11), rows_first=st.booleans(), seed=st.integers(0, 99),
)
def test_equals_the_definition_at_any_size(k, images, channels, outputs, high, wide, rows_first, seed):
    conv = convolution(channels, outputs, k, seed)
    x = torch.rand(images, channels, high + k - 1, wide + k - 1) * 2 - 1
    given = x.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1) if rows_first else x.clone()
    with torch.inference_mode():
        result = Winograd(conv)(given, lambda rows: rows)
        wanted = conv.double()(x.double())
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(given, x, atol=0, rtol=0)  # the input is left alone


@pytest.mark.parametrize("k", [5, 7])
def test_rounding_stays_small_at_the_width_of_the_network(k):
    conv = convolution(100, 160, k)
    x = torch.rand(4, 100, k + 7, k + 7) * 2 - 1
    with torch.inference_mode():
        result = Winograd(conv)(x, lambda rows: rows).double()
        error = result - conv.double()(x.double())
    assert error.square().mean().sqrt() < 2e-6
