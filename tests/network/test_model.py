"""PatchNet against loops in float64, the aggregations against their definitions."""

import math

import numpy as np
import pytest
import torch
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lsegrepro import paper
from lsegrepro.network import model

SMALL = paper.Architecture("small", (2, 3, 4, 5), (3, 2, 2), (2, 2), 12, 4, 0)
SCORES = arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 16), st.just(2)),
                elements=st.floats(-1, 1, width=32))


# The network


def convolution(x, layer):
    """y[o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] x[c, i + u, j + v], in float64."""
    w, b = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    side, out = w.shape[-1], x.shape[1] - w.shape[-1] + 1
    y = np.empty((len(w), out, out))
    for o in range(len(w)):
        for i in range(out):
            for j in range(out):
                y[o, i, j] = b[o] + (w[o] * x[:, i : i + side, j : j + side]).sum()
    return y


def pooling(x, p):
    """Maximum of each p x p square, squares side by side."""
    n = x.shape[1] // p
    y = np.empty((len(x), n, n))
    for i in range(n):
        for j in range(n):
            y[:, i, j] = x[:, i * p : (i + 1) * p, j * p : (j + 1) * p].max((1, 2))
    return y


def equation_2(net, patch):
    """F of one patch (3, sz, sz), as the paper writes it."""
    p1, p2 = net.architecture.pools
    h1 = np.tanh(pooling(convolution(patch, net.conv1), p1))
    h2 = np.tanh(pooling(convolution(h1, net.conv2), p2))
    yf = np.tanh(convolution(h2, net.conv3))[:, 0, 0]
    w4, b4, w5, b5 = (p.detach().double().numpy() for f in (net.full4, net.full5) for p in (f.weight, f.bias))
    return np.tanh(w5 @ np.tanh(w4 @ yf + b4) + b5)


@pytest.mark.parametrize("initialisation", ["torch7", "literal"])
def test_forward_is_equation_2(rng, initialisation):
    net = model.PatchNet(SMALL, initialisation=initialisation, generator=torch.Generator().manual_seed(3))
    x = rng.uniform(-1, 1, (3, 3, 12, 12)).astype(np.float32)
    result = net(torch.from_numpy(x)).detach().numpy()
    assert result.shape == (3, 2)
    np.testing.assert_allclose(result, [equation_2(net, patch) for patch in x.astype(np.float64)], atol=1e-5)


@pytest.mark.parametrize("name", paper.ARCHITECTURES)
def test_sizes_between_layers_are_table_1(name):
    """Pooling moves by its own size: the sides of each layer's input are the printed ones."""
    architecture = paper.ARCHITECTURES[name]
    net = model.PatchNet(architecture)
    seen = []
    for layer in (net, net.conv2, net.conv3, net.full4, net.full5):
        layer.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[-1] if x[0].dim() == 4 else 1))
    with torch.no_grad():
        assert net(torch.zeros(2, 3, architecture.patch, architecture.patch)).shape == (2, 2)
    assert seen == ([95, 22, 5, 1, 1] if name == "LSE1" else [133, 16, 7, 1, 1])  # the row "Input Size, sz"


def test_patches_of_another_size_are_refused():
    refused(lambda: model.PatchNet(SMALL)(torch.zeros(1, 3, 11, 12)), "small", "(M, 3, 12, 12)", (1, 3, 11, 12))


def test_initial_weights_fill_their_bounds():
    net = model.PatchNet(paper.ARCHITECTURES["LSE1"], generator=torch.Generator().manual_seed(0))
    literal = model.PatchNet(paper.ARCHITECTURES["LSE1"], initialisation="literal")
    for name, m in {"conv1": 3 * 64, "conv2": 40 * 9, "conv3": 80 * 25, "full4": 160, "full5": 320}.items():
        layer = getattr(net, name)
        for p in (layer.weight, layer.bias):
            assert p.abs().max() <= 1 / math.sqrt(m)
        assert layer.weight.abs().max() > 0.97 / math.sqrt(m)
        # The sentence of the paper: variance sqrt(m). Of a uniform sample, to a few standard errors.
        w = getattr(literal, name).weight.detach().double()
        assert w.var().item() == pytest.approx(math.sqrt(m), rel=4 / math.sqrt(w.numel()))
        assert abs(w.mean().item()) < 5 * (m**0.25) / math.sqrt(w.numel())


# The aggregations


def log_sum_exp(x, axis):
    """Equation (1), right-hand side, in float64."""
    star = x.max(axis, keepdims=True)
    return (star + np.log(np.exp(x - star).sum(axis, keepdims=True))).squeeze(axis)


@pytest.mark.parametrize("magnitude", [0, 100, -1e4, 1e30])
def test_lse_is_stable(rng, magnitude):
    x = (rng.uniform(-1, 1, (5, 9, 2)) + magnitude).astype(np.float32)
    result = model.lse(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(result, log_sum_exp(x.astype(np.float64), 1), rtol=3e-7, atol=1e-6)


@pytest.mark.parametrize("name", ["lse", "max", "mean", "tempered:0.001", "tempered:1", "tempered:50"])
def test_gradients_by_finite_differences(rng, name):
    # A permutation of well separated values: the maximum is not differentiable at a tie.
    x = torch.tensor(rng.permuted(np.linspace(-1, 1, 36)).reshape(2, 9, 2), requires_grad=True)
    assert torch.autograd.gradcheck(model.aggregation(name), (x,))


@settings(max_examples=30)
@given(SCORES)
def test_gradient_of_lse_is_the_softmax_and_of_max_one_hot(scores):
    x = torch.tensor(scores, requires_grad=True)
    (g,) = torch.autograd.grad(model.lse(x).sum(), x)
    e = np.exp(scores)
    np.testing.assert_allclose(g, e / e.sum(1, keepdims=True), atol=1e-12)
    (g,) = torch.autograd.grad(model.maximum(x).sum(), x)
    assert (((g == 0) | (g == 1)).all(1) & (g.sum(1) == 1)).all()  # one patch alone, ties included
    assert ((g == 1) <= (x == x.amax(1, keepdim=True))).all()
    (g,) = torch.autograd.grad(model.mean(x).sum(), x)
    np.testing.assert_allclose(g, 1 / scores.shape[1], atol=1e-15)


@settings(max_examples=30)
@given(SCORES, st.floats(0.01, 100))
def test_tempered_is_its_definition_and_lies_between_mean_and_max(scores, r):
    x = torch.tensor(scores)
    result = model.tempered(x, r).numpy()
    np.testing.assert_allclose(result, np.log(np.exp(r * scores).mean(1)) / r, atol=1e-9)
    assert (result >= scores.mean(1) - 1e-9).all() and (result <= scores.max(1) + 1e-9).all()


@settings(max_examples=30)
@given(SCORES)
def test_tempered_limits(scores):
    x = torch.tensor(scores.astype(np.float32))
    for r in (1e-4, 1e-8, 1e-30):
        np.testing.assert_allclose(model.tempered(x, r), x.mean(1), atol=1e-3 if r > 1e-5 else 1e-6)
    for r in (1e4, 1e8, 1e30):
        np.testing.assert_allclose(model.tempered(x, r), x.amax(1), atol=1e-3)
    np.testing.assert_allclose(model.tempered(x, 1.0) + math.log(x.shape[1]), model.lse(x), atol=1e-6)


@pytest.mark.parametrize("name", ["LSE", "tempered:", "tempered:0", "max:2"])
def test_unknown_aggregations_are_refused(name):
    refused(lambda: model.aggregation(name), "lse, max, mean or tempered:R")


# Loss and probability


def test_loss_is_the_negative_log_likelihood(rng):
    f, y = rng.uniform(-3, 3, (7, 2)), rng.integers(0, 2, 7)
    expected = np.mean([-math.log(math.exp(f[i, k]) / np.exp(f[i]).sum()) for i, k in enumerate(y)])
    assert model.loss(torch.tensor(f), torch.tensor(y)).item() == pytest.approx(expected, abs=1e-12)


def test_each_patch_of_a_negative_is_a_sample_and_of_a_positive_the_maximum_alone(rng):
    scores = torch.tensor(rng.uniform(-1, 1, (2, 4, 2)), requires_grad=True)
    labels = torch.tensor([0, 1])
    loss = model.loss_of_each_negative(model.maximum(scores), scores, labels)
    positive, negative = model.maximum(scores)[:1], scores[1]
    alone = model.loss(positive, labels[:1]), model.loss(negative, torch.ones(4, dtype=torch.int64))
    assert loss.item() == pytest.approx(sum(alone).item() / 2, abs=1e-12)
    loss.backward()
    assert (scores.grad[0] != 0).sum() == 2 and (scores.grad[1] != 0).all()


@pytest.mark.parametrize("name", ["lse", "max", "mean", "tempered:5"])
def test_floor_of_the_loss(name):
    """The best that bounded scores can do: every patch at +1 and -1."""
    x = torch.stack([torch.ones(1, 9), -torch.ones(1, 9)], -1).double()
    floor = model.loss(model.aggregation(name)(x), torch.tensor([0])).item()
    assert floor == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-12) and round(floor, 4) == 0.1269


@settings(max_examples=30)
@given(arrays(np.float64, (4, 3, 2), elements=st.floats(-1, 1)))
def test_probability_is_the_softmax(scores):
    e = np.exp(scores)
    result = model.foreground_probability(torch.tensor(scores)).numpy()
    np.testing.assert_allclose(result, e[..., 0] / e.sum(-1), atol=1e-14)
    assert (abs(result - 0.5) <= paper.CEILING - 0.5 + 1e-15).all()
    assert model.foreground_probability(torch.tensor([1.0, -1.0]).double()).item() == pytest.approx(paper.CEILING)
