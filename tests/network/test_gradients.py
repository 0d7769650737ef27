"""The gradient of a pooled convolution against the two operations one after the other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lsegrepro.network import gradients
from lsegrepro.network.gradients import pooled_convolution


def both(x, weight, bias, pool, chain):
    """Values and gradients of the function under test, and of its definition, under the same chain of gradients."""
    results = []
    for call in (pooled_convolution, lambda x, w, b, p: functional.max_pool2d(functional.conv2d(x, w, b), p)):
        w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        values = call(x, w, b, pool)
        (values * chain).sum().backward()
        results.append((values.detach(), w.grad, b.grad))
    return zip(*results, strict=True)


@settings(max_examples=30)
@given(batch=st.integers(1, 4), channels=st.integers(1, 4), filters=st.integers(1, 5), k=st.integers(1, 4),
       pool=st.integers(1, 4), extra=st.tuples(st.integers(0, 9), st.integers(0, 9)), last=st.booleans(),
       seed=st.integers(0, 1000))
def test_values_and_gradients_are_those_of_the_two_operations(batch, channels, filters, k, pool, extra, last, seed):
    generator = torch.Generator().manual_seed(seed)
    side = k + pool - 1
    x = torch.rand(batch, channels, side + extra[0], side + extra[1], generator=generator)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.rand(filters, channels, k, k, generator=generator) - 0.5
    bias = torch.rand(filters, generator=generator)
    shape = functional.max_pool2d(functional.conv2d(x, weight, bias), pool).shape
    for ours, theirs in both(x, weight, bias, pool, torch.rand(shape, generator=generator) - 0.5):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("table", [1, gradients.TABLE_BYTES])
def test_the_gradient_does_not_depend_on_how_many_images_share_a_table(table, monkeypatch):
    monkeypatch.setattr(gradients, "TABLE_BYTES", table)
    x, weight, bias = torch.rand(5, 3, 30, 30), torch.rand(6, 3, 8, 8) - 0.5, torch.rand(6)
    for ours, theirs in both(x, weight, bias, 4, torch.rand(5, 6, 5, 5)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_where_the_input_needs_a_gradient_it_has_one():
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    weight, bias = torch.rand(2, 3, 3, 3, requires_grad=True), torch.rand(2, requires_grad=True)
    pooled_convolution(x, weight, bias, 2).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
